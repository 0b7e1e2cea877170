package explain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// ErrAmbiguous means that a text names more than one event.
var ErrAmbiguous = errors.New("this names more than one event")

// Identity is the identity that a source gave its event: an id, or a sequence.
type Identity struct {
	Source    string
	ID        string // if it is not sequenced
	Sequenced bool
	Sequence  uint64
	Epoch     uint64
	AnyEpoch  bool // no epoch was given
}

// String returns the identity as flags of the command line, which are
// unambiguous.
func (i Identity) String() string {
	switch {
	case !i.Sequenced:
		return fmt.Sprintf("--source %q --id %q", i.Source, i.ID)
	case i.AnyEpoch:
		return fmt.Sprintf("--source %q --sequence %d", i.Source, i.Sequence)
	}
	return fmt.Sprintf("--source %q --sequence %d/%d", i.Source, i.Epoch, i.Sequence)
}

// ParseSequence reads SEQUENCE or EPOCH/SEQUENCE, in digits without leading zeros.
func ParseSequence(source, text string) (Identity, error) {
	epoch, sequence, both := strings.Cut(text, "/")
	if !both {
		epoch, sequence = "0", text
	}
	i := Identity{Source: source, Sequenced: true, AnyEpoch: !both}
	var okEpoch, okSequence bool
	i.Epoch, okEpoch = canonical(epoch)
	i.Sequence, okSequence = canonical(sequence)
	if !okEpoch || !okSequence {
		return i, fmt.Errorf("%q is neither SEQUENCE nor EPOCH/SEQUENCE", text)
	}
	return i, nil
}

func canonical(digits string) (uint64, bool) {
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && strconv.FormatUint(n, 10) == digits
}

// Readings are all identities that a text SOURCE#ID, SOURCE#SEQUENCE or
// SOURCE#EPOCH/SEQUENCE may mean. There may be several, because sources and ids
// may have a # in them, and an id may be digits. The list is empty for a text
// without a source and a name.
func Readings(text string) []Identity {
	var list []Identity
	for at, c := range []byte(text) {
		if c != '#' || at == 0 || at == len(text)-1 {
			continue
		}
		source, name := text[:at], text[at+1:]
		list = append(list, Identity{Source: source, ID: name})
		if i, err := ParseSequence(source, name); err == nil {
			list = append(list, i)
		}
	}
	return list
}

// match is an accepted event that has an identity.
type match struct {
	handle
	provider events.Provider
	identity Identity
}

// Find returns the handle of the accepted event with an identity, as [Explain]
// and [Locate] take it. It fails with [ErrUnknown] and [ErrAmbiguous]: two
// providers may use the same identity, and a sequence may exist in several
// epochs.
func Find(ctx context.Context, from Sources, identity Identity) (id string, err error) {
	err = from.Store.Snapshot(ctx, func(snapshot *store.Snapshot) error {
		e := &explainer{Sources: from, ctx: ctx, snapshot: snapshot}
		h, err := e.one(identity.String(), []Identity{identity})
		id = h.String()
		return err
	})
	if err != nil {
		return "", fmt.Errorf("finding an event: %w", err)
	}
	return id, nil
}

// identified finds the event that a text names.
func (e *explainer) identified(text string) (handle, error) {
	readings := Readings(text)
	if len(readings) == 0 {
		return handle{}, ErrUnknown
	}
	return e.one(text, readings)
}

// one returns the only event that has one of the identities.
func (e *explainer) one(text string, identities []Identity) (handle, error) {
	var all []match
	for _, identity := range identities {
		found := e.foreign
		if identity.Sequenced {
			found = e.sequenced
		}
		list, err := found(identity)
		if err != nil {
			return handle{}, err
		}
		for _, m := range list {
			if !slices.ContainsFunc(all, func(other match) bool { return other.handle == m.handle }) {
				all = append(all, m)
			}
		}
	}
	switch len(all) {
	case 0:
		return handle{}, fmt.Errorf("%w: no event called %s was accepted", ErrUnknown, text)
	case 1:
		return all[0].handle, nil
	}
	said := make([]string, len(all))
	for i, m := range all {
		said[i] = fmt.Sprintf("%s of provider %q at %s", m.identity, m.provider, m.handle)
	}
	return handle{}, fmt.Errorf("%w: %s", ErrAmbiguous, strings.Join(said, "; "))
}

// sequenced lists the events that have a sequence.
func (e *explainer) sequenced(identity Identity) (list []match, err error) {
	sources, err := e.snapshot.Sources(identity.Source)
	if err != nil {
		return nil, err
	}
	for _, s := range sources {
		if !identity.AnyEpoch && s.Epoch != identity.Epoch {
			continue
		}
		var original settlement.Original
		found := false
		err := e.snapshot.Originals(s, func(o settlement.Original) error {
			if o.Span.First <= identity.Sequence && identity.Sequence <= o.Span.Last {
				original, found = o, true
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		h, err := e.within(s, original, identity.Sequence)
		if err != nil {
			return nil, err
		}
		named := identity
		named.Epoch, named.AnyEpoch = s.Epoch, false
		list = append(list, match{h, s.Provider, named})
	}
	return list, nil
}

// within finds a sequence in the message from which it was accepted.
func (e *explainer) within(s store.SourceID, original settlement.Original, sequence uint64) (h handle, err error) {
	if err := e.choose(s.Partition); err != nil {
		return h, err
	}
	message, err := e.message(original.Position)
	if err != nil {
		return h, err
	}
	h.partition, h.position = s.Partition, original.Position
	for i := range message.segments {
		c := message.segments[i].columns
		if c == nil {
			continue
		}
		if i == original.Segment {
			for j := range c.N {
				ref := c.Sources[c.Source[j]]
				if c.Sequence[j] == sequence && ref.Epoch == s.Epoch && string(c.Strings[ref.Name]) == s.Source.Source {
					h.ordinal += j
					return h, nil
				}
			}
		}
		h.ordinal += c.N
	}
	return h, fmt.Errorf("position %d does not have the event that was accepted from it", original.Position)
}

// foreign lists the events that have an id.
func (e *explainer) foreign(identity Identity) (list []match, err error) {
	if e.IDs == nil {
		return nil, nil
	}
	last, err := e.Control.Last(e.ctx)
	if err != nil {
		return nil, err
	}
	w, err := e.fold(last)
	if err != nil {
		return nil, err
	}
	for _, p := range w.directory.Providers() {
		keys := [][16]byte{packed.IdentityKey(p.Provider, identity.Source, identity.ID)}
		places := make([]settlement.Identity, 1)
		if err := e.IDs.Seen(keys, places); err != nil {
			return nil, err
		}
		if places[0].Position == 0 {
			continue
		}
		h, found, err := e.placed(places[0], identity.Source, identity.ID)
		if err != nil {
			return nil, err
		}
		if found {
			list = append(list, match{h, p.Provider, identity})
		}
	}
	return list, nil
}
