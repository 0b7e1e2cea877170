package directory

import (
	"maps"
	"slices"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Rehearse returns, for each declaration, why it would be void if all of them
// were declared now, one after the other, or nil if it would take effect or
// change nothing. As in CONTROL, a void declaration has no effect on later
// ones. The second result is the directory after these declarations. The
// directory itself does not change; the cost is that of copying its tables
// once.
func (d *Directory) Rehearse(bodies []events.Body) ([]error, *Directory) {
	after := d.clone()
	reasons := make([]error, len(bodies))
	for i, body := range bodies {
		if reasons[i] = body.Validate(); reasons[i] == nil {
			reasons[i] = after.effect("", body)
		}
	}
	return reasons, after
}

// clone returns a copy of the directory that shares only what neither of them
// will change.
func (d *Directory) clone() *Directory {
	c := *d
	c.ids, c.voids = maps.Clone(d.ids), slices.Clone(d.voids)
	c.providers = maps.Clone(d.providers)
	c.books = make(map[events.Book]*book, len(d.books))
	for name, b := range d.books { // map order: each is copied independently.
		copied := *b
		// A version is appended to a clipped slice, so the slices may be shared.
		copied.meters, copied.cards, copied.closings = maps.Clone(b.meters), maps.Clone(b.cards), slices.Clone(b.closings)
		c.books[name] = &copied
	}
	c.nodes = maps.Clone(d.nodes) // A node that is declared again is another one.
	c.customers, c.policies = maps.Clone(d.customers), maps.Clone(d.policies)
	c.tokens, c.tokenOf = maps.Clone(d.tokens), maps.Clone(d.tokenOf)
	c.waterfalls = maps.Clone(d.waterfalls)
	c.keys, c.secrets = maps.Clone(d.keys), maps.Clone(d.secrets)
	c.screens = slices.Clone(d.screens)
	for i, s := range d.screens {
		copied := *s
		copied.next = generation{parts: slices.Clone(s.next.parts), holders: maps.Clone(s.next.holders)}
		c.screens[i] = &copied
	}
	c.distributions, c.batches = maps.Clone(d.distributions), maps.Clone(d.batches)
	c.runs, c.corrected = maps.Clone(d.runs), maps.Clone(d.corrected)
	c.reversed = maps.Clone(d.reversed)
	return &c
}
