// Package register folds the movements of one token into its holdings: who
// holds how many units, and how many of them are frozen.
//
// The method is one method for each movement on a [Register], in the order of the
// stream. A movement that is not possible (more units than there are, a wallet
// that was recovered) is void: it returns an error with the reason and changes
// nothing, so that every reader of the stream arrives at the same holdings.
//
// Holders are stored compactly: one sorted text of names beside an array of
// units, and a small map of new holders that is merged into them when it has
// grown to an eighth of their number. A holder with an EVM address costs 62 bytes
// (BenchmarkImport), and twice that during a merge.
//
// # Invariants
//
//   - Supply: the sum of all holdings is what was issued less what was burned.
//   - Frozen: no holding has more frozen units than units.
//   - Void: a movement either happens whole, or the register is unchanged.
//   - Identity: a recovered wallet holds nothing and never will again; what it
//     held, its freezes and what it was owed are its successor's.
//   - Deterministic: the same movements give the same holdings in the same
//     order, ascending by holder, byte for byte.
package register

import (
	"fmt"
	"math"
	"slices"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Holding is one line of the register at one point of the stream.
type Holding struct {
	Holder events.Holder
	Units  money.Units
	Frozen money.Units // part of Units; all of them if the whole holder is frozen
}

// Recovery records that a wallet was lost and another one took its place.
// Everything that the old one held or was owed belongs to the new one.
type Recovery struct {
	Old, New events.Holder
}

// Register is the state of one token. The zero value is an empty register.
// It is not safe for concurrent use.
type Register struct {
	table      table
	frozen     map[events.Holder]freeze
	recovered  map[events.Holder]events.Holder
	recoveries []Recovery            // in the order of the stream
	ids        map[[16]byte]struct{} // of messages, and of movements that have their own
	supply     money.Units
	holders    int // with units above zero
}

// freeze is the part of a holding that the holder cannot move.
type freeze struct {
	whole bool        // everything, including what arrives later
	part  money.Units // this number of units, at most what is held
}

// Supply is the sum of all holdings.
func (r *Register) Supply() money.Units { return r.supply }

// Len is how many holders have units.
func (r *Register) Len() int { return r.holders }

// Units returns what a holder has; zero for an unknown holder.
func (r *Register) Units(holder events.Holder) money.Units {
	if at, ok := r.table.find(holder); ok {
		return *r.table.units(at)
	}
	return money.Units{}
}

// Frozen returns how many of a holder's units are frozen.
func (r *Register) Frozen(holder events.Holder) money.Units {
	f, ok := r.frozen[holder]
	if !ok {
		return money.Units{}
	}
	return f.of(r.Units(holder))
}

// FrozenWhole reports whether a holder is frozen as a whole. This includes a
// holder without units: what it is owed is not paid either.
func (r *Register) FrozenWhole(holder events.Holder) bool { return r.frozen[holder].whole }

func (f freeze) of(units money.Units) money.Units {
	if f.whole {
		return units
	}
	return f.part
}

// Successor returns the wallet that a holder was recovered to, or the holder
// itself.
func (r *Register) Successor(holder events.Holder) events.Holder {
	for {
		next, ok := r.recovered[holder]
		if !ok {
			return holder
		}
		holder = next // recoveries form no circle: see Recover
	}
}

// Recoveries returns every recovery so far, in the order of the stream. The
// slice is the register's own.
func (r *Register) Recoveries() []Recovery { return r.recoveries }

// Holdings returns every holder with units, ascending by holder. The names share
// memory with the register, but later changes of the register do not change the
// result.
func (r *Register) Holdings() []Holding {
	r.table.merge()
	list := make([]Holding, 0, r.holders)
	for i := range r.table.count() {
		units := r.table.base[i]
		if units.IsZero() {
			continue
		}
		h := Holding{Holder: r.table.name(i), Units: units}
		if f, ok := r.frozen[h.Holder]; ok {
			h.Frozen = f.of(units)
		}
		list = append(list, h)
	}
	return list
}

// table maps holders to units: a sorted base and an overlay of new holders.
type table struct {
	names string        // of the base, one after the other, ascending
	ends  []uint32      // names[ends[i-1]:ends[i]] is holder i
	base  []money.Units // of holder i

	fresh map[events.Holder]int // into added
	added []newcomer
}

type newcomer struct {
	holder events.Holder
	units  money.Units
}

// place is where a holder's units are: zero or above in the base, below zero
// among the new holders (-1 is the first).
type place int

func (t *table) count() int { return len(t.base) }

func (t *table) name(i int) events.Holder {
	start := uint32(0)
	if i > 0 {
		start = t.ends[i-1]
	}
	return events.Holder(t.names[start:t.ends[i]])
}

func (t *table) units(at place) *money.Units {
	if at >= 0 {
		return &t.base[at]
	}
	return &t.added[-at-1].units
}

func (t *table) find(holder events.Holder) (place, bool) {
	low, high := 0, len(t.base)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if t.name(middle) < holder {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low < len(t.base) && t.name(low) == holder {
		return place(low), true
	}
	i, ok := t.fresh[holder]
	return place(-i - 1), ok
}

// enter returns the place of a holder and adds an unknown holder with no units.
// Places that were returned earlier may become invalid.
func (t *table) enter(holder events.Holder) (place, error) {
	if at, ok := t.find(holder); ok {
		return at, nil
	}
	if len(t.added) >= 1024+len(t.base)/8 {
		t.merge()
	}
	// Names are addressed by 32 bits: some 100 million wallets.
	if uint64(len(t.names))+uint64(len(t.added)+1)*events.MaxName > math.MaxUint32 {
		return 0, fmt.Errorf("register has no room for another holder: %d hold already", len(t.base)+len(t.added))
	}
	if t.fresh == nil {
		t.fresh = map[events.Holder]int{}
	}
	t.fresh[holder] = len(t.added)
	t.added = append(t.added, newcomer{holder: holder})
	return place(-len(t.added)), nil
}

// merge sorts the new holders into the base.
func (t *table) merge() {
	if len(t.added) == 0 {
		return
	}
	slices.SortFunc(t.added, func(a, b newcomer) int {
		if a.holder < b.holder {
			return -1
		}
		return 1 // no holder is there twice
	})
	size := len(t.names)
	for _, n := range t.added {
		size += len(n.holder)
	}
	total := len(t.base) + len(t.added)
	names := make([]byte, 0, size)
	ends := make([]uint32, 0, total)
	base := make([]money.Units, 0, total)
	put := func(name string, units money.Units) {
		names = append(names, name...)
		ends = append(ends, uint32(len(names))) //nolint:gosec // enter keeps it below 2³²
		base = append(base, units)
	}
	next := 0
	for _, n := range t.added {
		for next < len(t.base) && t.name(next) < n.holder {
			put(string(t.name(next)), t.base[next])
			next++
		}
		put(string(n.holder), n.units)
	}
	for ; next < len(t.base); next++ {
		put(string(t.name(next)), t.base[next])
	}
	*t = table{names: string(names), ends: ends, base: base}
}
