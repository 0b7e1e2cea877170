package rails

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// CSV is a rail in which a person uploads a file: one file for each batch in a
// folder, answered by a file of confirmations (see [ReadConfirmations]).
//
// The file has the columns payout_id, holder, asset, amount, distribution,
// batch in RFC 4180, lines ending in a line feed, ascending by payout_id. The
// amount has as many decimals as the asset's minor unit: 12.340000 for USDC.
type CSV struct {
	Dir string // created if it is absent
}

// Name implements [Rail].
func (CSV) Name() events.Rail { return "csv" }

// Submit implements [Rail]. It returns the name of the file.
func (c CSV) Submit(ctx context.Context, b Batch) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	var file bytes.Buffer
	if err := WriteBatch(&file, b); err != nil {
		return "", err
	}
	place := filepath.Join(c.Dir, fileName(b.Name))
	if err := os.MkdirAll(c.Dir, 0o750); err != nil {
		return "", fmt.Errorf("exporting batch %q: %w", b.Name, err)
	}
	if err := create(place, file.Bytes()); err != nil {
		return "", fmt.Errorf("exporting batch %q to %s: %w", b.Name, place, err)
	}
	return place, nil
}

// create writes a file whole and synced, or finds it with the same content.
func create(place string, content []byte) (err error) {
	dir := filepath.Dir(place)
	draft, err := os.CreateTemp(dir, ".draft-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(draft.Name()) }()
	_, err = draft.Write(content)
	if err == nil {
		err = draft.Sync()
	}
	if e := draft.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	// Unlike a rename, a link never replaces an existing file.
	if err := os.Link(draft.Name(), place); errors.Is(err, fs.ErrExist) {
		there, err := os.ReadFile(place) //nolint:gosec // the operator chose the folder
		if err != nil {
			return err
		}
		if !bytes.Equal(there, content) {
			return ErrDiffers
		}
	} else if err != nil {
		return err
	}
	folder, err := os.Open(dir) //nolint:gosec // as above
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }()
	return folder.Sync()
}

// fileName keeps letters, digits, hyphens, underscores and dots, except for a dot
// at the beginning, and writes every other byte as % and two digits. So different
// batches have different files, inside the folder.
func fileName(batch string) string {
	var b strings.Builder
	for i := range len(batch) {
		c := batch[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String() + ".csv"
}

// WriteBatch writes the file of a batch.
func WriteBatch(w io.Writer, b Batch) error {
	if err := b.check(); err != nil {
		return err
	}
	file := csv.NewWriter(w)
	if err := file.Write([]string{"payout_id", "holder", "asset", "amount", "distribution", "batch"}); err != nil {
		return fmt.Errorf("writing batch %q: %w", b.Name, err)
	}
	for _, p := range b.Payouts {
		amount, err := minorText(p.Amount, p.Asset)
		if err != nil {
			return fmt.Errorf("writing payout %s: %w", p.ID, err)
		}
		if err := file.Write([]string{p.ID, string(p.Holder), string(p.Asset), amount, b.Distribution, b.Name}); err != nil {
			return fmt.Errorf("writing batch %q: %w", b.Name, err)
		}
	}
	file.Flush()
	if err := file.Error(); err != nil {
		return fmt.Errorf("writing batch %q: %w", b.Name, err)
	}
	return nil
}

// minorText writes an amount with exactly as many decimals as its asset has.
func minorText(a money.Amount, asset money.Asset) (string, error) {
	if _, err := a.Minor(asset); err != nil {
		return "", err // finer than the minor unit, or an unknown asset
	}
	decimals, err := asset.Decimals()
	if err != nil {
		return "", err
	}
	text := a.String()
	whole, fraction, _ := strings.Cut(text, ".")
	if decimals == 0 {
		return whole, nil
	}
	return whole + "." + fraction + strings.Repeat("0", int(decimals)-len(fraction)), nil
}
