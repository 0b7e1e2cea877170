package receipt

import (
	"errors"
	"fmt"
	"slices"

	"github.com/aliquot-engine/aliquot/pkg/plain"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

var (
	errNoKey      = errors.New("no key of a log is trusted")
	errTreeTwice  = errors.New("the receipt has two trees of this log")
	errTreeSize   = errors.New("the tree is not the beginning of the signed one")
	errNoTree     = errors.New("an earlier tree on which something rests is not shown")
	errNotCarried = errors.New("the receipt has a tree whose root is not in anything that is proved")
	errOtherRoot  = errors.New("the tree shown does not have the root that was in the streams")
	errOtherSize  = errors.New("the tree shown is not as large as the one on which something rests")
)

// open verifies the checkpoints with the trusted key of their installation.
func (v *verification) open() error {
	notes := make([][]byte, len(v.receipt.Handovers))
	for i := range notes {
		notes[i] = []byte(v.receipt.Handovers[i])
	}
	first := errNoKey
	for i, key := range v.trust.Keys {
		keys, err := tlog.NewSuccession(key, notes...)
		if err == nil {
			if err = v.openBy(keys); err == nil {
				v.keys = keys
				return v.plant()
			}
		}
		if i == 0 {
			first = err
		}
	}
	return first
}

// openBy verifies the checkpoints with the keys of one installation.
func (v *verification) openBy(keys *tlog.Succession) error {
	v.logs, v.verdict.Signed = nil, nil
	for i := range v.receipt.Logs {
		l := &v.receipt.Logs[i]
		if slices.ContainsFunc(v.logs, func(o opened) bool { return o.name == l.Name }) {
			return fmt.Errorf("%.80q: %w", l.Name, errLogTwice)
		}
		checkpoint, signed, by, err := keys.Open([]byte(l.Checkpoint), l.Name, v.witnesses...)
		if err != nil {
			return err
		}
		if v.trust.Policy != nil {
			if err := v.trust.Policy.Check(signed); err != nil {
				return fmt.Errorf("the checkpoint of %s: %w", checkpoint.Origin, err)
			}
		}
		v.logs = append(v.logs, opened{Checkpoint: checkpoint, name: l.Name})
		s := Signed{Origin: plain.Word(checkpoint.Origin), Size: checkpoint.Size, Root: checkpoint.Root}
		for _, sig := range signed.Sigs {
			name := plain.Word(fmt.Sprintf("%s+%08x", sig.Name, sig.Hash))
			if sig.Name == by.Name() && sig.Hash == by.KeyHash() {
				s.By = name
				continue
			}
			s.Witnesses = append(s.Witnesses, name)
		}
		v.verdict.Signed = append(v.verdict.Signed, s)
	}
	return nil
}

// plant verifies that the signed logs begin with the trees.
func (v *verification) plant() error {
	for i := range v.receipt.Trees {
		t := &v.receipt.Trees[i]
		l := v.log(t.Log)
		if l == nil {
			return fmt.Errorf("%.80q: %w", t.Log, errNoLog)
		}
		if l.tree != nil {
			return fmt.Errorf("%s: %w", l.name, errTreeTwice)
		}
		path, err := v.path(t.Path)
		if err != nil {
			return err
		}
		if t.Size == 0 || tlog.VerifyConsistency(t.Size, l.Size, path, t.Root, l.Root) != nil {
			return fmt.Errorf("%s, %d leaves: %w", l.name, t.Size, errTreeSize)
		}
		l.tree = t
	}
	return nil
}

// log returns an opened log, or nil if the receipt has no log with this name.
func (v *verification) log(name string) *opened {
	for i := range v.logs {
		if v.logs[i].name == name {
			return &v.logs[i]
		}
	}
	return nil
}

// carries compares the tree of a log with a root that something proved
// contains. It returns false if the receipt has no tree of that log.
func (v *verification) carries(name string, size uint64, root tlog.Hash) (bool, error) {
	l := v.log(name)
	if l == nil || l.tree == nil {
		return false, nil
	}
	switch {
	case l.tree.Size != size:
		return false, fmt.Errorf("%s: %w", name, errOtherSize)
	case l.tree.Root != root:
		return false, fmt.Errorf("%s: %w", name, errOtherRoot)
	}
	l.carried, l.used = true, true
	return true, nil
}

// includes verifies that the leaf of a position is in a log: in the receipt's
// tree of the log if that has the position, otherwise in the signed tree.
func (v *verification) includes(log string, position uint64, leaf tlog.Hash, by Path) error {
	if position == 0 {
		return errPosition
	}
	path, err := v.path(by)
	if err != nil {
		return err
	}
	l := v.log(log)
	if l == nil {
		return fmt.Errorf("%.80q: %w", log, errNoLog)
	}
	l.used = true
	size, root := l.Size, l.Root
	if l.tree != nil && position <= l.tree.Size {
		size, root = l.tree.Size, l.tree.Root
	}
	if tlog.VerifyInclusion(leaf, position-1, size, path, root) != nil {
		return fmt.Errorf("position %d is not in log %s: %w", position, log, errRoot)
	}
	return nil
}
