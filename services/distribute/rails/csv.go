package rails

import (
	"encoding/csv"
	"fmt"
	"io"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// CSV is the rail of a file that a person uploads, answered by a file of
// confirmations (see [ReadConfirmations]).
//
// The file has the columns payout_id, holder, asset, amount, distribution,
// batch in RFC 4180, lines ending in a line feed, ascending by payout_id. The
// amount has as many decimals as the asset's minor unit: 12.340000 for USDC.
type CSV struct{}

// Name implements [Rail].
func (CSV) Name() events.Rail { return "csv" }

// ContentType implements [Rail].
func (CSV) ContentType() string { return "text/csv" }

// Write implements [Rail].
func (CSV) Write(w io.Writer, b Batch) error {
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

// minorText writes an amount with exactly the decimals of its asset.
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
