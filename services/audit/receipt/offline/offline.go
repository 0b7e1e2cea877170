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

	"github.com/aliquot-engine/aliquot/services/audit/receipt"
	"github.com/aliquot-engine/aliquot/services/audit/tlog"
)

// ErrNotVerified means that the receipt proves nothing; the verdict says why.
var ErrNotVerified = errors.New("the receipt is not verified")

var errLong = fmt.Errorf("longer than %d bytes", receipt.MaxReceipt)

// Run verifies the receipt in a file ("-" is in) and writes the verdict to out,
// as text or as JSON. Key is a public log key, or the name of a file with one.
// The error is [ErrNotVerified] where a verdict was written that is no, and
// otherwise says what could not be read.
func Run(file, key string, asJSON bool, in io.Reader, out io.Writer) error {
	public, err := Key(key)
	if err != nil {
		return err
	}
	data, err := read(file, in)
	if err != nil {
		return fmt.Errorf("reading the receipt: %w", err)
	}
	verdict, failed := receipt.Verify(data, public)
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(verdict)
	} else {
		_, err = io.WriteString(out, verdict.String())
	}
	if err != nil {
		return fmt.Errorf("writing the verdict: %w", err)
	}
	if failed != nil {
		return ErrNotVerified
	}
	return nil
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
