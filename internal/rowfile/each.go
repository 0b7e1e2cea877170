package rowfile

import (
	"errors"
	"io"
)

// MaxProblems is how many faults of a file are reported: more do not help.
const MaxProblems = 20

// Each calls read for every row that is not faulty, with the number of faults so
// far. A faulty row is a fault, and so is an error of read; both do not end the
// reading, so that a file's faults are found at once. It returns all of them,
// joined, and ends after [MaxProblems] of them, after an error that does not
// concern one row, and after one of [End].
func (r *Reader) Each(read func(row *Row, faults int) error) error {
	var faults []error
	for len(faults) < MaxProblems {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		last := err != nil && !OfRow(err) // What follows cannot be trusted.
		if err == nil {
			err = read(row, len(faults))
			var end ended
			if last = errors.As(err, &end); last {
				err = end.error
			}
		}
		if err != nil {
			faults = append(faults, err)
		}
		if last {
			break
		}
	}
	return errors.Join(faults...)
}

// ended is an error after which [Reader.Each] reads no further row.
type ended struct{ error }

func (e ended) Unwrap() error { return e.error }

// End returns an error for a function that [Reader.Each] calls: it is the last one.
func End(err error) error { return ended{err} }
