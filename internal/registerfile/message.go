package registerfile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// perMessage is how many holders go into one message of an import: at most 300
// bytes each, so that it is below [events.MaxMovements] whatever their names.
const perMessage = 1_300

// perMessageEVM is the same for EVM addresses, of at most 41 bytes each.
const perMessageEVM = 9_000

// Import reads a register file twice: to its end first, so that nothing is said
// of a file that has an error, and then calls each for one message of issues
// after another. head gives token, actor and time; Effective of the movements
// is its At.
//
// The messages' ids follow from head.ID, or, where it is empty, from the token
// and the content of the file: so that the same file sent again, whole or from
// where it broke off, changes nothing.
func Import(file io.ReadSeeker, o Options, head events.Movements, each func(events.Movements) error) (Summary, error) {
	start, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return Summary{}, fmt.Errorf("reading a register file: %w", err)
	}
	content := sha256.New()
	content.Write([]byte("aliquot register import 1\n" + string(head.Token) + "\n"))
	per := perMessageEVM
	sum, err := ReadHoldings(io.TeeReader(file, content), o, func(h events.Holder, _ money.Units) error {
		if len(h) != 42 || h[:2] != "0x" {
			per = perMessage
		}
		return nil
	})
	if err != nil {
		return sum, err
	}
	if head.ID == "" {
		head.ID = "import-" + hex.EncodeToString(content.Sum(nil)[:16])
	}
	if _, err := file.Seek(start, io.SeekStart); err != nil {
		return sum, fmt.Errorf("reading a register file again: %w", err)
	}
	number := 0
	open := make([]events.Movement, 0, per)
	flush := func() error {
		m := head
		m.ID = fmt.Sprintf("%s/%d", head.ID, number)
		m.Movements = open
		number++
		err := each(m)
		open = make([]events.Movement, 0, per)
		return err
	}
	again, err := ReadHoldings(file, o, func(h events.Holder, units money.Units) error {
		open = append(open, events.Movement{Kind: events.Issued, To: h, Units: units, Effective: head.At})
		if len(open) == per {
			return flush()
		}
		return nil
	})
	if err == nil && len(open) > 0 {
		err = flush()
	}
	if err == nil && again != sum {
		err = fmt.Errorf("reading a register file: it changed while it was read")
	}
	return sum, err
}
