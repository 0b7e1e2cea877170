package keeper

import (
	"errors"
	"fmt"
	"slices"

	"github.com/aliquot-engine/aliquot/internal/tiles"
)

var errNoLog = errors.New("there is no log of this name")

// Logs returns the names of the logs, ascending.
func (k *Keeper) Logs() []string {
	names := make([]string, len(k.kept))
	for i, s := range k.kept {
		names[i] = LogName(s.stream.Name())
	}
	slices.Sort(names)
	return names
}

// Log returns a reader of the published log of a stream, named in lower case.
func (k *Keeper) Log(name string) (*tiles.Reader, error) {
	for _, s := range k.kept {
		if LogName(s.stream.Name()) == name {
			return s.log.Reader(), nil
		}
	}
	return nil, fmt.Errorf("%q: %w", name, errNoLog)
}
