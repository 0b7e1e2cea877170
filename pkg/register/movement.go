package register

import (
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Issue creates units. It is void if the supply would exceed 2¹²⁸-1.
func (r *Register) Issue(holder events.Holder, units money.Units) error {
	if err := r.receives(holder, units); err != nil {
		return fmt.Errorf("issuing to %q: %w", holder, err)
	}
	supply, err := r.supply.Add(units)
	if err != nil {
		return fmt.Errorf("issuing %v units to %q: supply: %w", units, holder, err)
	}
	if err := r.grow(holder, units); err != nil {
		return fmt.Errorf("issuing to %q: %w", holder, err)
	}
	r.supply = supply
	return nil
}

// Burn destroys units that are not frozen.
func (r *Register) Burn(holder events.Holder, units money.Units) error {
	if err := r.gives(holder, units, r.free(holder)); err != nil {
		return fmt.Errorf("burning: %w", err)
	}
	r.shrink(holder, units)
	r.supply = less(r.supply, units)
	return nil
}

// Transfer moves units that are not frozen from one holder to another. A frozen
// holder may receive units; those that arrive at a wholly frozen holder are
// frozen.
func (r *Register) Transfer(from, to events.Holder, units money.Units) error {
	if from == to {
		return fmt.Errorf("transferring from %q to itself", from)
	}
	if err := r.gives(from, units, r.free(from)); err != nil {
		return fmt.Errorf("transferring: %w", err)
	}
	return r.carry(from, to, units)
}

// ForceTransfer moves units by authority: first those that are not frozen, then
// frozen ones. The freeze does not move with them.
func (r *Register) ForceTransfer(from, to events.Holder, units money.Units) error {
	if from == to {
		return fmt.Errorf("forcing a transfer from %q to itself", from)
	}
	if err := r.gives(from, units, r.Units(from)); err != nil {
		return fmt.Errorf("forcing a transfer: %w", err)
	}
	if err := r.carry(from, to, units); err != nil {
		return err
	}
	if f, ok := r.frozen[from]; ok && r.Units(from).Cmp(f.part) < 0 {
		f.part = r.Units(from)
		r.setFreeze(from, f)
	}
	return nil
}

// Freeze prevents a holder from moving units. The units still earn, and their
// earnings are held. Zero units freezes the whole holder, including units that
// arrive later. The units must be held by the holder and not frozen yet.
func (r *Register) Freeze(holder events.Holder, units money.Units) error {
	if _, gone := r.recovered[holder]; gone {
		return fmt.Errorf("freezing %q: it was recovered to %q", holder, r.Successor(holder))
	}
	f := r.frozen[holder]
	if units.IsZero() {
		if f.whole {
			return fmt.Errorf("freezing %q: it is already frozen as a whole", holder)
		}
		f.whole = true
		r.setFreeze(holder, f)
		return nil
	}
	part, err := f.part.Add(units)
	if err != nil || part.Cmp(r.Units(holder)) > 0 {
		return fmt.Errorf("freezing %v units of %q: %v of its %v are frozen already", units, holder, f.part, r.Units(holder))
	}
	f.part = part
	r.setFreeze(holder, f)
	return nil
}

// Unfreeze removes a freeze: of the given number of units, or, with zero, of the
// whole holder. The two are independent: a frozen part stays frozen when the
// freeze of the whole holder is removed.
func (r *Register) Unfreeze(holder events.Holder, units money.Units) error {
	f := r.frozen[holder]
	if units.IsZero() {
		if !f.whole {
			return fmt.Errorf("unfreezing %q: it is not frozen as a whole", holder)
		}
		f.whole = false
		r.setFreeze(holder, f)
		return nil
	}
	if f.part.Cmp(units) < 0 {
		return fmt.Errorf("unfreezing %v units of %q: only %v are frozen", units, holder, f.part)
	}
	f.part = less(f.part, units)
	r.setFreeze(holder, f)
	return nil
}

// Recover gives everything of a lost wallet to a new one of the same identity:
// units, freezes, and what it is owed (see [Register.Recoveries]). The lost
// wallet can no longer be used. The new one may already hold units.
func (r *Register) Recover(lost, fresh events.Holder) error {
	if lost == fresh {
		return fmt.Errorf("recovering %q to itself", lost)
	}
	for _, h := range []events.Holder{lost, fresh} {
		if _, gone := r.recovered[h]; gone {
			return fmt.Errorf("recovering %q to %q: %q was already recovered to %q", lost, fresh, h, r.Successor(h))
		}
	}
	// The new wallet was not recovered, so no chain of recoveries leads from it
	// back to the lost one.
	if units := r.Units(lost); !units.IsZero() {
		if err := r.carry(lost, fresh, units); err != nil {
			return err
		}
	}
	if f, ok := r.frozen[lost]; ok {
		g := r.frozen[fresh]
		// Both parts were held, and the successor now holds their sum.
		part, err := g.part.Add(f.part)
		if err != nil {
			return fmt.Errorf("recovering %q to %q: frozen units: %w", lost, fresh, err)
		}
		r.setFreeze(lost, freeze{})
		r.setFreeze(fresh, freeze{whole: f.whole || g.whole, part: part})
	}
	if r.recovered == nil {
		r.recovered = map[events.Holder]events.Holder{}
	}
	r.recovered[lost] = fresh
	r.recoveries = append(r.recoveries, Recovery{Old: lost, New: fresh})
	return nil
}

func (r *Register) setFreeze(holder events.Holder, f freeze) {
	if f == (freeze{}) {
		delete(r.frozen, holder)
		return
	}
	if r.frozen == nil {
		r.frozen = map[events.Holder]freeze{}
	}
	r.frozen[holder] = f
}

// free is the number of units that a holder may move by itself.
func (r *Register) free(holder events.Holder) money.Units {
	return less(r.Units(holder), r.Frozen(holder))
}

func (r *Register) receives(holder events.Holder, units money.Units) error {
	if units.IsZero() {
		return fmt.Errorf("no units")
	}
	if _, gone := r.recovered[holder]; gone {
		return fmt.Errorf("%q was recovered to %q", holder, r.Successor(holder))
	}
	return nil
}

func (r *Register) gives(holder events.Holder, units, available money.Units) error {
	if units.IsZero() {
		return fmt.Errorf("no units of %q", holder)
	}
	if available.Cmp(units) < 0 {
		return fmt.Errorf("%v units of %q: it has %v, of which %v can be moved", units, holder, r.Units(holder), available)
	}
	return nil
}

// carry moves units. The caller has checked that from holds them.
func (r *Register) carry(from, to events.Holder, units money.Units) error {
	if err := r.receives(to, units); err != nil {
		return fmt.Errorf("moving to %q: %w", to, err)
	}
	if err := r.grow(to, units); err != nil {
		return fmt.Errorf("moving to %q: %w", to, err)
	}
	r.shrink(from, units)
	return nil
}

// grow cannot overflow: no holding exceeds the supply.
func (r *Register) grow(holder events.Holder, units money.Units) error {
	at, err := r.table.enter(holder)
	if err != nil {
		return err
	}
	held := r.table.units(at)
	sum, err := held.Add(units)
	if err != nil {
		return err
	}
	if held.IsZero() {
		r.holders++
	}
	*held = sum
	return nil
}

func (r *Register) shrink(holder events.Holder, units money.Units) {
	at, _ := r.table.find(holder)
	held := r.table.units(at)
	*held = less(*held, units)
	if held.IsZero() {
		r.holders--
	}
}

// less returns a - b. The caller has checked that b is at most a.
func less(a, b money.Units) money.Units {
	c, err := a.Sub(b)
	if err != nil {
		panic("register: units below zero") // a caller of this file forgot its check
	}
	return c
}
