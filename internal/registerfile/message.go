package registerfile

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// perMessage is how many holders go into one message of an import: at most 300
// bytes each, so that a message is below [events.MaxMovements] whatever the
// names are.
const perMessage = 1_300

// perMessageEVM is the same for EVM addresses, of at most 41 bytes each.
const perMessageEVM = 9_000

// An Import is a register file that was read to its end without an error.
type Import struct {
	Summary
	// ID follows from the bytes of the file and from the options that decide
	// which holders and units are read from them. Importing the same file
	// again, from the beginning or after an interruption, makes the same
	// messages.
	ID string

	file    io.ReadSeeker
	start   int64 // offset of the register in file
	options Options
	per     int // holders in one message
}

// Open reads a register file to its end, from the current offset. An error names
// what is wrong with the file, as [ReadHoldings] does.
func Open(file io.ReadSeeker, o Options) (*Import, error) {
	start, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, fmt.Errorf("reading a register file: %w", err)
	}
	i := &Import{file: file, start: start, options: o, per: perMessageEVM}
	content := sha256.New()
	bytes := io.TeeReader(file, content)
	i.Summary, err = ReadHoldings(bytes, o, func(h events.Holder, _ money.Units) error {
		if len(h) != 42 || h[:2] != "0x" {
			i.per = perMessage
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, bytes); err != nil { // Bytes after the rows are part of the content too.
		return nil, fmt.Errorf("reading a register file: %w", err)
	}
	if o.Decimals > 0 || o.Holder != "" || o.Units != "" || o.Rows.Decimal != 0 {
		// The same file with other options is another import.
		_, _ = fmt.Fprintf(content, "\n%d %q %q %c", o.Decimals, o.Holder, o.Units, o.Rows.Decimal) // never fails
	}
	i.ID = events.ImportID([sha256.Size]byte(content.Sum(nil)))
	return i, nil
}

// Messages reads the file a second time and calls each for one message of
// issues after another. The messages have the token, actor and time of head;
// their ids follow from ID, the movements take effect at head.At, and ref is
// their reference. An error of each ends the reading and is returned.
func (i *Import) Messages(head events.Movements, ref string, each func(*events.Movements) error) error {
	if _, err := i.file.Seek(i.start, io.SeekStart); err != nil {
		return fmt.Errorf("reading a register file again: %w", err)
	}
	number := 0
	open := make([]events.Movement, 0, i.per)
	flush := func() error {
		whole := head
		whole.ID, whole.Movements = events.ImportMessageID(i.ID, number), open
		number++
		for _, part := range events.SplitMovements(whole, events.MaxMovements) {
			if err := each(&part); err != nil {
				return err
			}
		}
		open = make([]events.Movement, 0, i.per)
		return nil
	}
	again, err := ReadHoldings(i.file, i.options, func(h events.Holder, units money.Units) error {
		open = append(open, events.Movement{Kind: events.Issued, To: h, Units: units, Effective: head.At, Ref: ref})
		if len(open) == i.per {
			return flush()
		}
		return nil
	})
	if err == nil && len(open) > 0 {
		err = flush()
	}
	if err == nil && again != i.Summary {
		err = errors.New("reading a register file: it changed while it was read")
	}
	return err
}
