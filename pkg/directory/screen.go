package directory

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// screen is one screening list. A new list arrives in parts, 0 first, and
// replaces the old one when its last part arrives. Until then both lists are in
// effect, so that a holder who is on both is never unlisted in between,
// whatever parts the names are in.
type screen struct {
	list    string
	current generation
	next    generation
}

type generation struct {
	parts   []events.HoldersListed
	holders map[events.Holder]struct{}
}

func (g *generation) add(b events.HoldersListed) {
	b.Holders = slices.Clone(b.Holders)
	if g.holders == nil {
		g.holders = make(map[events.Holder]struct{}, len(b.Holders))
	}
	for _, h := range b.Holders {
		g.holders[events.CanonicalHolder(string(h))] = struct{}{}
	}
	g.parts = append(g.parts, b)
}

// has reports whether the list in effect has this part and no new list has
// begun to replace it.
func (s *screen) has(b events.HoldersListed) bool {
	return len(s.next.parts) == 0 && b.Part >= 0 && b.Part < len(s.current.parts) && equal(s.current.parts[b.Part], b)
}

func (d *Directory) screen(list string) *screen {
	i, ok := slices.BinarySearchFunc(d.screens, list, byList)
	if !ok {
		return nil
	}
	return d.screens[i]
}

func byList(s *screen, list string) int { return strings.Compare(s.list, list) }

func (d *Directory) listHolders(b events.HoldersListed) error {
	s := d.screen(b.List)
	if b.Part > 0 {
		if s == nil || len(s.next.parts) != b.Part || s.next.parts[0].Parts != b.Parts {
			return fmt.Errorf("part %d of %d of list %q does not follow part %d", b.Part, b.Parts, b.List, b.Part-1)
		}
	}
	if s == nil {
		s = &screen{list: b.List}
		i, _ := slices.BinarySearchFunc(d.screens, b.List, byList)
		d.screens = slices.Insert(d.screens, i, s)
	}
	if b.Part == 0 {
		s.next = generation{}
	}
	s.next.add(b)
	if b.Part == b.Parts-1 {
		s.current, s.next = s.next, generation{}
	}
	return nil
}

// Listed returns the first list, in ascending order, that contains a holder.
// Normal forms are compared, so the spelling does not matter.
func (d *Directory) Listed(holder events.Holder) (list string, ok bool) {
	holder = events.CanonicalHolder(string(holder))
	for _, s := range d.screens {
		if _, ok := s.current.holders[holder]; ok {
			return s.list, true
		}
		if _, ok := s.next.holders[holder]; ok {
			return s.list, true
		}
	}
	return "", false
}

// List is a screening list in effect.
type List struct {
	List    string
	Holders int // number of distinct holders
}

// Lists returns every screening list in effect, ascending by name.
func (d *Directory) Lists() []List {
	var lists []List
	for _, s := range d.screens {
		lists = append(lists, List{List: s.list, Holders: len(s.current.holders)})
	}
	return lists
}
