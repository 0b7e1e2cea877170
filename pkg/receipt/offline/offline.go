// Package offline verifies the file of a receipt with the file of a key, for
// all commands that verify receipts. It reads no other files.
package offline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/plain"
	"github.com/aliquot-engine/aliquot/pkg/receipt"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// ErrNotVerified means that the receipt is not verified; the verdict says why.
var ErrNotVerified = errors.New("the receipt is not verified")

var errLong = fmt.Errorf("longer than %d bytes", receipt.MaxReceipt)

var errNobody = errors.New("nobody is trusted: give the key of the logs, or a policy with a log line")

// Request says what to verify and with which keys.
type Request struct {
	File   string // the receipt; "-" is standard input
	Key    string // a public log key, or the name of a file with one; empty uses the keys of the policy
	Policy string // the name of a file in the format of C2SP tlog-policy; empty requires no witness
	JSON   bool   // the verdict as JSON, not as text
	Words  bool   // text without symbols, if the output is not a terminal
}

// Run verifies a receipt and writes the verdict to out. The error is
// [ErrNotVerified] if the verdict is negative; any other error says what could
// not be read.
func Run(q Request, in io.Reader, out io.Writer) error {
	trust, err := q.trust()
	if err != nil {
		return err
	}
	data, err := read(q.File, in)
	if err != nil {
		return fmt.Errorf("reading the receipt: %w", err)
	}
	verdict, failed := receipt.VerifyBy(data, trust)
	if q.JSON {
		var text []byte
		if text, err = json.MarshalIndent(verdict, "", "  "); err == nil {
			_, err = out.Write(append(plain.JSON(text), '\n'))
		}
	} else {
		text := verdict.String()
		if q.Words { // Headings distinguish what is proved from what is only stated.
			text = strings.NewReplacer("\n  ✓ ", "\n  ", "\n  · ", "\n  ").Replace(text)
		}
		_, err = io.WriteString(out, text)
	}
	if err != nil {
		return fmt.Errorf("writing the verdict: %w", err)
	}
	if failed != nil {
		return ErrNotVerified
	}
	return nil
}

// trust returns what the request says to believe. A given key replaces the log
// lines of the policy.
func (q *Request) trust() (trust receipt.Trust, err error) {
	if q.Policy != "" {
		if trust.Policy, err = Policy(q.Policy); err != nil {
			return trust, err
		}
		for _, l := range trust.Policy.Logs {
			trust.Keys = append(trust.Keys, l.Key)
		}
	}
	if q.Key != "" {
		key, err := Key(q.Key)
		if err != nil {
			return trust, err
		}
		trust.Keys = []*tlog.PublicKey{key}
	}
	if len(trust.Keys) == 0 {
		return trust, errNobody
	}
	return trust, nil
}

// Policy reads a policy from a file.
func Policy(file string) (*tlog.Policy, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, tlog.MaxPolicy+1))
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	policy, err := tlog.ParsePolicy(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return policy, nil
}

// Key reads a public log key, or the file that contains it.
func Key(key string) (*tlog.PublicKey, error) {
	text, err := os.ReadFile(key)
	switch {
	case err == nil:
		key = string(text)
	case !errors.Is(err, fs.ErrNotExist) && !strings.Contains(key, "+"):
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	public, err := tlog.ParsePublicKey(strings.TrimSpace(key))
	if err != nil {
		return nil, fmt.Errorf("%.120q is neither a public log key nor a file with one: %w", key, err)
	}
	return public, nil
}

func read(file string, in io.Reader) ([]byte, error) {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, receipt.MaxReceipt+1))
	if err == nil && len(data) > receipt.MaxReceipt {
		err = errLong
	}
	return data, err
}
