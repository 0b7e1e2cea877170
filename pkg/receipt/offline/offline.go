// Package offline verifies a receipt's file against a key's file: what the
// commands that verify have in common. It reads these files and nothing else.
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

// ErrNotVerified means that the receipt proves nothing; the verdict says why.
var ErrNotVerified = errors.New("the receipt is not verified")

var errLong = fmt.Errorf("longer than %d bytes", receipt.MaxReceipt)

var errNobody = errors.New("nobody is trusted: give the key of the logs, or a policy with a log line")

// Request is what to verify, and by what.
type Request struct {
	File   string // the receipt; "-" is standard input
	Key    string // a public log key, or the name of a file with one; empty: those of the policy
	Policy string // the name of a file in the format of C2SP tlog-policy; empty: no witness is wanted
	JSON   bool   // the verdict as JSON, not as text
	Words  bool   // text without symbols, for what is no terminal
}

// Run verifies a receipt and writes the verdict to out. The error is
// [ErrNotVerified] where a verdict was written that is no, and otherwise says
// what could not be read.
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
		if q.Words { // What is proved and what is stated stand below words that say so.
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

// trust is what the request says to believe. A key that is given stands for the
// log lines of the policy.
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

// Key reads a public log key, or the file that holds it.
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
