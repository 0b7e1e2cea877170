package keeper

import (
	"errors"
	"fmt"

	"github.com/aliquot-engine/aliquot/services/audit/tiles"
)

var errNoLog = errors.New("no such log is kept")

// Log returns what reads the published log of a stream, named in lower case.
func (k *Keeper) Log(name string) (*tiles.Reader, error) {
	for _, s := range k.kept {
		if LogName(s.stream.Name()) == name {
			return s.log.Reader(), nil
		}
	}
	return nil, fmt.Errorf("%q: %w", name, errNoLog)
}
