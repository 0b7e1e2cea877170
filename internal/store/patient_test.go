package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// Fails when a database that is gone is asked as often as one that is busy: each
// try is a new connection, and a database that is starting spends its time on them.
func TestADatabaseThatIsGoneIsAskedSeldom(t *testing.T) {
	t.Parallel()
	gone := fmt.Errorf("connection refused: %w", settlement.ErrInterrupted)
	busy := fmt.Errorf("%w: %w", ErrContended, settlement.ErrInterrupted)
	for _, row := range []struct {
		name        string
		err         error
		least, most int
	}{
		{"gone", gone, absences + 1, 20},
		{"busy", busy, contentions, contentions},
		{"another error", errors.New("no such table"), 1, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			tries, began := 0, time.Now()
			err := again(t.Context(), func() error { tries++; return row.err }, func() bool { return true })
			if !errors.Is(err, row.err) || tries < row.least || tries > row.most {
				t.Errorf("%s: %d tries, want %d to %d: %v", row.name, tries, row.least, row.most, err)
			}
			if took := time.Since(began); row.err == gone && (took < absence || took > 2*absence) {
				t.Errorf("%s: told of after %v", row.name, took)
			}
		})
	}
	// Contention after an absence, and the other way round, are repeated too.
	synctest.Test(t, func(t *testing.T) {
		answers := []error{gone, busy, busy, gone, busy, nil}
		err := again(t.Context(), func() (err error) { err, answers = answers[0], answers[1:]; return err }, func() bool { return true })
		if err != nil || len(answers) > 0 {
			t.Errorf("%v, %d answers left", err, len(answers))
		}
	})
	// What may not be repeated is not.
	synctest.Test(t, func(t *testing.T) {
		for _, interruption := range []error{gone, busy} {
			tries := 0
			err := again(context.Background(), func() error { tries++; return interruption }, func() bool { return false })
			if tries != 1 || !errors.Is(err, interruption) {
				t.Errorf("%d tries: %v", tries, err)
			}
		}
	})
}
