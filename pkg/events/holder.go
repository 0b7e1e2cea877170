package events

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/sha3"
	"golang.org/x/text/unicode/norm"
)

// A holder is an EVM address or an opaque name. This file has all rules that
// distinguish the two, refuse invalid ones and decide when two spellings mean
// one holder; registers, screening lists, files and requests all use it.
//
// An address is 0x and 40 hexadecimal digits. Mixed case must be the checksum
// of EIP-55; the address is kept in lower case. CAIP-10 writes it after its
// chain, as eip155:1:0x…; because a holder has no chain, this means the address
// itself. The zero address owns nothing and is refused.
//
// A name is compared in Unicode's normal form C, with upper and lower case
// distinguished. It is refused if a person would mistake it for an address, if
// it has a character that separates the cells of a file, or if a spreadsheet
// would run it as a formula.

// zeroAddress is the address for which nobody has a key.
const zeroAddress = "0x0000000000000000000000000000000000000000"

// digits of an address
const addressDigits = 40

// ParseHolder reads a holder as people write it and returns its one normal
// form, or an error that says what is wrong, without naming the field.
func ParseHolder(s string) (Holder, error) {
	address, chained := cutChain(s)
	if chained || hasPrefix0x(address) {
		return parseAddress(address)
	}
	if err := CheckName(s); err != nil {
		return "", err
	}
	if !isPlainASCII(s) {
		s = norm.NFC.String(s)
		if err := CheckName(s); err != nil { // the normal form may be longer
			return "", err
		}
	}
	if err := checkHolderName(s); err != nil {
		return "", err
	}
	return Holder(s), nil
}

// IsZeroAddress reports whether s is the zero address, in any spelling.
func IsZeroAddress(s string) bool { return CanonicalHolder(s) == zeroAddress }

// CheckHolder returns why h is not a holder in its normal form, or nil. Results
// of [ParseHolder] always are. It allocates nothing for an address.
func CheckHolder(h Holder) error {
	if isEVM(h) && h != zeroAddress {
		return nil
	}
	parsed, err := ParseHolder(string(h))
	if err != nil {
		return err
	}
	if parsed != h {
		return fmt.Errorf("%q is not in its normal form, which is %q", Clip(string(h)), Clip(string(parsed)))
	}
	return nil
}

// CanonicalHolder returns the form in which two spellings of one holder are
// equal, even for texts that [ParseHolder] refuses: an address, alone or after
// its chain, in lower case; any other text in normal form C.
func CanonicalHolder(s string) Holder {
	if isEVM(Holder(s)) {
		return Holder(s)
	}
	if address, _ := cutChain(s); hasPrefix0x(address) && addressProblem(address) == nil {
		return Holder(strings.ToLower(address))
	}
	if isPlainASCII(s) {
		return Holder(s)
	}
	return Holder(norm.NFC.String(s))
}

// isEVM reports whether h is an EVM address in lower case.
func isEVM(h Holder) bool {
	if len(h) != 2+addressDigits || h[0] != '0' || h[1] != 'x' {
		return false
	}
	for i := 2; i < len(h); i++ {
		if c := h[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// cutChain removes the chain from an account of CAIP-10: eip155, the chain's
// number of 1 to 32 digits, and the address.
func cutChain(s string) (address string, ok bool) {
	rest, ok := strings.CutPrefix(s, "eip155:")
	if !ok {
		return s, false
	}
	chain, address, ok := strings.Cut(rest, ":")
	if !ok || chain == "" || len(chain) > 32 || strings.Trim(chain, "0123456789") != "" || chain[0] == '0' && len(chain) > 1 {
		return s, false
	}
	return address, true
}

func hasPrefix0x(s string) bool { return len(s) >= 2 && s[0] == '0' && s[1]|0x20 == 'x' }

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

// addressProblem returns why s is not an address in any case, or nil.
func addressProblem(s string) error {
	if !hasPrefix0x(s) {
		return fmt.Errorf("%q is not an address: an address begins with 0x", Clip(s))
	}
	for i := 2; i < len(s); i++ {
		if !isHex(s[i]) {
			r, _ := utf8.DecodeRuneInString(s[i:])
			return fmt.Errorf("%q is not an address: %q is not a hexadecimal digit", Clip(s), r)
		}
	}
	if n := len(s) - 2; n != addressDigits {
		return fmt.Errorf("%q is not an address: it has %d digits after 0x instead of %d", Clip(s), n, addressDigits)
	}
	return nil
}

func parseAddress(s string) (Holder, error) {
	if err := addressProblem(s); err != nil {
		return "", err
	}
	lower := strings.ToLower(s)
	switch digits := s[2:]; {
	case lower == zeroAddress:
		return "", fmt.Errorf("is the zero address, which owns nothing")
	case digits == lower[2:] || digits == strings.ToUpper(digits):
	case digits != checksummed(lower[2:]):
		return "", fmt.Errorf("%q is not an address: its checksum (EIP-55) is wrong, so a digit or the case of a letter is wrong", Clip(s))
	}
	return Holder(lower), nil
}

// checksummed returns the digits of an address in the case that EIP-55 gives
// them: a letter is in upper case if the same half byte of the Keccak-256 of
// the lower-case digits is 8 or above.
func checksummed(lower string) string {
	h := sha3.NewLegacyKeccak256()
	_, _ = h.Write([]byte(lower)) // never fails
	var sum [32]byte
	h.Sum(sum[:0])
	out := []byte(lower)
	for i, c := range out {
		if half := sum[i/2] >> (4 * (1 - i%2)) & 15; half >= 8 && c >= 'a' {
			out[i] = c - 'a' + 'A'
		}
	}
	return string(out)
}

func isPlainASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// checkHolderName returns why a name that [CheckName] allows cannot be a
// holder.
func checkHolderName(s string) error {
	first, _ := utf8.DecodeRuneInString(s)
	// The wide forms are those that spreadsheets treat alike (OWASP, CSV Injection).
	if strings.ContainsRune("=+-@＝＋－＠", first) {
		return fmt.Errorf("%q begins with %q, which a spreadsheet takes for a formula", Clip(s), first)
	}
	if at := strings.IndexAny(s, ",;|\"\t\r\n"); at >= 0 {
		return fmt.Errorf("%q has the character %q, which separates the cells of a file", Clip(s), s[at])
	}
	if looksLikeAddress(s) {
		return fmt.Errorf("%q looks like an address but is not one: an address is 0x and %d hexadecimal digits", Clip(s), addressDigits)
	}
	return nil
}

// looksLikeAddress reports whether a person would take a name for an address:
// it begins with 0x, or has about as many hexadecimal digits in a row as an
// address. Letters that look like Latin letters count as such.
func looksLikeAddress(s string) bool {
	if !isPlainASCII(s) {
		s = strings.Map(latin, norm.NFKC.String(s))
	}
	if hasPrefix0x(s) {
		return true
	}
	run := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && isHex(s[i]) {
			run++
			continue
		}
		if run >= addressDigits-2 && run <= addressDigits+2 {
			return true
		}
		run = 0
	}
	return false
}

// latin returns the Latin letter of an address that a Cyrillic or Greek letter,
// or a sign, looks like.
func latin(r rune) rune {
	switch unicode.ToLower(r) {
	case 'х', 'χ', '×':
		return 'x'
	case 'а', 'α':
		return 'a'
	case 'в', 'β':
		return 'b'
	case 'с':
		return 'c'
	case 'е', 'ε':
		return 'e'
	case 'о', 'ο':
		return '0'
	}
	return r
}
