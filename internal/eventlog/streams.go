package eventlog

import (
	"context"
	"errors"
	"fmt"
)

// The streams that exist once; design, section 4.
const (
	RefusedStream  = "REFUSED"
	ControlStream  = "CONTROL"
	RegisterStream = "REGISTER"
	LedgerStream   = "LEDGER"
	PayoutStream   = "PAYOUT"
)

// RefusedBytes bounds the refused submissions that are kept: at 4 KB each
// about 60,000. The oldest go first.
const RefusedBytes = 256 << 20

// UsageStream names one epoch of a partition's usage.
func UsageStream(partition, epoch uint32) string {
	return fmt.Sprintf("USAGE-%d-%d", partition, epoch)
}

// UsageSubject is the subject of a partition's usage.
func UsageSubject(partition uint32) string { return fmt.Sprintf("usage.%d", partition) }

// RefusedSubject is the subject of a provider's refused submissions.
func RefusedSubject(provider string) string { return "refused." + SubjectToken(provider) }

// ControlSubject is the subject of decisions of one kind.
func ControlSubject(kind string) string { return "control." + SubjectToken(kind) }

// RegisterSubject is the subject of a token's movements.
func RegisterSubject(token string) string { return "register." + SubjectToken(token) }

// LedgerSubject is the subject of a book's journal entries.
func LedgerSubject(book string) string { return "ledger." + SubjectToken(book) }

// PayoutSubject is the subject of a token's distributions and payouts.
func PayoutSubject(token string) string { return "payout." + SubjectToken(token) }

// Usage opens or creates one epoch of a partition's usage.
func (l *Log) Usage(ctx context.Context, partition, epoch uint32) (*Stream, error) {
	return l.Stream(ctx, UsageStream(partition, epoch), []string{UsageSubject(partition)})
}

// Refused opens or creates the bounded stream of refused submissions.
func (l *Log) Refused(ctx context.Context) (*Stream, error) {
	return l.Stream(ctx, RefusedStream, []string{"refused.>"}, Bounded(RefusedBytes))
}

// Control opens or creates the stream of decisions.
func (l *Log) Control(ctx context.Context) (*Stream, error) {
	return l.Stream(ctx, ControlStream, []string{"control.>"})
}

// Register opens or creates the stream of holdings' movements.
func (l *Log) Register(ctx context.Context) (*Stream, error) {
	return l.Stream(ctx, RegisterStream, []string{"register.>"})
}

// Ledger opens or creates the stream of journal entries.
func (l *Log) Ledger(ctx context.Context) (*Stream, error) {
	return l.Stream(ctx, LedgerStream, []string{"ledger.>"})
}

// Payout opens or creates the stream of distributions and payouts.
func (l *Log) Payout(ctx context.Context) (*Stream, error) {
	return l.Stream(ctx, PayoutStream, []string{"payout.>"})
}

const upperHex = "0123456789ABCDEF"

// SubjectToken writes an id as one token of a subject. ASCII letters, digits,
// hyphen and underscore stand for themselves, every other byte is a percent
// sign and two upper-case hexadecimal digits, and the empty id is a lone
// percent sign. Different ids give different tokens.
func SubjectToken(id string) string {
	if id == "" {
		return "%"
	}
	token := make([]byte, 0, len(id)+8)
	for i := range len(id) {
		if c := id[i]; plain(c) {
			token = append(token, c)
		} else {
			token = append(token, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return string(token)
}

var errBadToken = errors.New("not a subject token")

// ParseSubjectToken is the inverse of SubjectToken; it accepts only what
// SubjectToken writes.
func ParseSubjectToken(token string) (string, error) {
	if token == "%" {
		return "", nil
	}
	id := make([]byte, 0, len(token))
	for i := 0; i < len(token); i++ {
		c := token[i]
		if plain(c) {
			id = append(id, c)
			continue
		}
		if c != '%' || i+2 >= len(token) {
			return "", fmt.Errorf("reading %.64q: %w", token, errBadToken)
		}
		high, low := hexValue(token[i+1]), hexValue(token[i+2])
		if high > 15 || low > 15 || plain(high<<4|low) {
			return "", fmt.Errorf("reading %.64q: %w", token, errBadToken)
		}
		id = append(id, high<<4|low)
		i += 2
	}
	if len(id) == 0 {
		return "", fmt.Errorf("reading %.64q: %w", token, errBadToken)
	}
	return string(id), nil
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// hexValue returns the value of an upper-case hexadecimal digit, and more than
// 15 for any other character.
func hexValue(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
