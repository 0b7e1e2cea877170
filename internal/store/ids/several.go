package ids

import "github.com/aliquot-engine/aliquot/pkg/settlement"

// Several are the indexes of several partitions, for a caller that does not
// know which partition has an event. A result may come from any of them, so the
// caller reads the message and compares.
type Several []*Store

// Lookup is [Store.Lookup] of the first index that has the key.
func (list Several) Lookup(key [16]byte) (id settlement.Identity, ok bool, err error) {
	for _, s := range list {
		if id, ok, err = s.Lookup(key); ok || err != nil {
			return id, ok, err
		}
	}
	return id, false, nil
}

// Seen is [Store.Seen] of all indexes.
func (list Several) Seen(keys [][16]byte, found []settlement.Identity) error {
	for _, s := range list {
		if err := s.Seen(keys, found); err != nil {
			return err
		}
	}
	return nil
}
