package keeper

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/aliquot-engine/aliquot/internal/durable"
	"github.com/aliquot-engine/aliquot/internal/tiles"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/keep/archive"
)

var (
	errNothingSigned = errors.New("no signed checkpoint of it is left, so its content cannot be verified: restore tlog or archive from a backup")
	errNoLeaf        = errors.New("nothing is left from which its leaf can be made")
	// ErrUnsettled means that a log of usage cannot be rebuilt yet, because the
	// store that has the outcomes is not settled up to the end of the log.
	ErrUnsettled = errors.New("the store has not settled what the log had signed")
)

// signedTree is a tree of a log that was signed.
type signedTree struct {
	tlog.Checkpoint
	note []byte // the signed checkpoint; nil if a handover of the key names the tree
	by   string // the key that signed the note
}

// signedTrees lists the signed trees of a stream's log whose signatures still
// exist, the largest first: the published checkpoint, its second copy beside the
// archive, those that witnesses have cosigned, and those that handovers of the
// key name.
func signedTrees(dir, stream string, keys *tlog.Succession) (list []signedTree) {
	log := LogDir(dir, stream)
	for _, file := range []string{
		filepath.Join(log, "checkpoint"), rememberedFile(dir, stream),
		filepath.Join(log, tiles.CosignedByAll), filepath.Join(log, tiles.CosignedBySome),
	} {
		signed, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if c, _, by, err := keys.Open(signed, LogName(stream)); err == nil {
			list = append(list, signedTree{c, signed, by.String()})
		}
	}
	for _, h := range keys.Handovers() {
		for _, l := range h.Logs {
			if l.Log == LogName(stream) {
				list = append(list, signedTree{Checkpoint: tlog.Checkpoint{Origin: keys.Origin(l.Log), Size: l.Size, Root: l.Root}})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b signedTree) int { return cmp.Compare(b.Size, a.Size) })
	return list
}

// relog writes a damaged log again, from the second copy, the stream, what is
// left of the log, and for usage the outcomes in the store. It replaces the
// damaged log, which is kept below aside, only if it hashes to every root of the
// log whose signature is left; otherwise nothing is changed.
func (f *Folder) relog(ctx context.Context, e *Examination, aside string) (r *Restored, err error) {
	reasons := e.of(SideLog)
	if len(reasons) == 0 {
		return nil, nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("rebuilding the log of %s: %w", e.Stream, err)
		}
	}()
	list := signedTrees(f.dir, e.Stream, f.key)
	if len(list) == 0 && f.neverKept(e) {
		list = []signedTree{{Checkpoint: tlog.Checkpoint{Origin: f.key.Origin(LogName(e.Stream)), Root: tlog.EmptyRoot()}}}
	}
	if len(list) == 0 {
		return nil, errNothingSigned
	}
	last := list[0]
	if last.by != f.key.Current().String() { // Another key signed it, or only a handover names it.
		if f.private == nil {
			return nil, errNothingSigned
		}
		if last.note, err = last.Sign(f.private); err != nil {
			return nil, err
		}
	}
	var before []tlog.Checkpoint
	for _, t := range list[1:] {
		before = append(before, t.Checkpoint)
	}
	made := filepath.Join(aside, "tlog.new", LogName(e.Stream))
	for _, trusting := range []bool{true, false} {
		if err = os.RemoveAll(made); err == nil {
			err = durable.MakeFolder(filepath.Dir(made), 0o700)
		}
		if err != nil {
			return nil, err
		}
		l := &leaves{ctx: ctx, folder: f, e: e, size: last.Size, trusting: trusting, remains: tiles.NewRemains(LogDir(f.dir, e.Stream))}
		err = errors.Join(tiles.Rebuild(made, last.note, last.Checkpoint, before, l.leaf), l.close())
		if !errors.Is(err, tiles.ErrOtherRoot) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(made))
	}
	if err := f.install(e, made, last, aside); err != nil {
		return nil, err
	}
	return &Restored{Stream: e.Stream, Log: true, Root: last.Root.String(), Messages: last.Size, Reasons: reasons,
		Did: fmt.Sprintf("its log was written again: its %d leaves hash to the signed root %s", last.Size, last.Root)}, nil
}

// neverKept reports that a stream, its second copy and its log never had a
// message: the first checkpoint with a leaf is copied beside the archive.
func (f *Folder) neverKept(e *Examination) bool {
	for _, name := range []string{rememberedFile(f.dir, e.Stream), filepath.Join(LogDir(f.dir, e.Stream), "tile")} {
		if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return e.stream != nil && e.Messages == 0 && e.Archived == 0
}

// install puts a new log in the place of the damaged one. After a crash, at
// least the second copy of the checkpoint is left, from which the log is made
// again.
func (f *Folder) install(e *Examination, made string, last signedTree, aside string) error {
	target, old := LogDir(f.dir, e.Stream), filepath.Join(aside, "tlog", LogName(e.Stream))
	for _, by := range []string{tiles.CosignedByAll, tiles.CosignedBySome} {
		signed, err := os.ReadFile(filepath.Join(target, by))
		if err != nil {
			continue
		}
		if _, _, _, err := f.key.Open(signed, LogName(e.Stream)); err != nil {
			continue // The witnesses are asked again.
		}
		if err := durable.Replace(filepath.Join(made, by), signed, 0o644, nil); err != nil {
			return err
		}
	}
	if err := durable.MakeFolder(filepath.Join(f.dir, "archive"), 0o700); err != nil {
		return err
	}
	if err := durable.Replace(rememberedFile(f.dir, e.Stream), last.note, 0o600, nil); err != nil {
		return err
	}
	for _, dir := range []string{filepath.Dir(old), filepath.Dir(target)} {
		if err := durable.MakeFolder(dir, 0o700); err != nil {
			return err
		}
	}
	if err := os.Rename(target, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(made, target); err != nil {
		return err
	}
	if err := os.Remove(filepath.Dir(made)); err != nil {
		return err
	}
	return errors.Join(durable.SyncFolder(filepath.Dir(old)), durable.SyncFolder(filepath.Dir(target)))
}

// leaves makes the leaves of a log again, in ascending order.
type leaves struct {
	ctx     context.Context
	folder  *Folder
	e       *Examination
	size    uint64
	remains *tiles.Remains
	// trusting uses what is left of the log to decide between several possible
	// leaves of a position; otherwise the log is used only if there is no other
	// source.
	trusting bool

	copies   *archive.Reader
	lacks    uint64 // copies has no message up to this position
	usage    *usage
	outcomes map[uint64]settlement.Outcome
	loaded   uint64 // outcomes has everything up to this position
}

func (l *leaves) close() error {
	if l.copies == nil {
		return nil
	}
	return l.copies.Close()
}

// leaf chooses the leaf of a position. The root shows in the end whether the
// choice was right.
func (l *leaves) leaf(i uint64) ([]byte, error) {
	position := i + 1
	var left [][]byte
	for _, leaf := range l.remains.Leaves(i) {
		if s, err := ReadLeaf(leaf); err == nil && s.Position == position {
			left = append(left, leaf)
		}
	}
	have, whole, err := l.copied(position)
	if err != nil {
		return nil, err
	}
	hashes := l.remains.Hashes(i)
	if l.trusting {
		for _, leaf := range left {
			if slices.Contains(hashes, tlog.LeafHash(leaf)) {
				return leaf, nil
			}
		}
	}
	var first []byte
	var missing error
	try := func(m archive.Message) bool {
		leaf, err := l.make(m)
		if err != nil {
			missing = err
			return false
		}
		if first == nil {
			first = leaf
		}
		if !l.trusting || len(hashes) == 0 || slices.Contains(hashes, tlog.LeafHash(leaf)) {
			first = leaf
			return true
		}
		return false
	}
	if whole && try(have) {
		return first, nil
	}
	if l.e.stream != nil {
		m, err := l.e.stream.Get(l.ctx, position)
		if err := l.ctx.Err(); err != nil {
			return nil, err
		}
		if err == nil && try(copyOf(m, hashOf(m.Data))) {
			return first, nil
		}
	}
	switch {
	case first != nil:
		return first, nil
	case len(left) > 0:
		return left[0], nil
	case missing != nil:
		return nil, missing
	}
	return nil, fmt.Errorf("position %d: %w", position, errNoLeaf)
}

// copied returns the message of a position from the second copy; false if it has
// no whole one.
func (l *leaves) copied(position uint64) (m archive.Message, whole bool, err error) {
	if l.copies == nil {
		if l.copies, err = archive.Read(l.e.dir, l.e.Stream, 1, l.size); err != nil {
			return m, false, err
		}
	}
	if position <= l.lacks {
		return m, false, nil
	}
	m, err = l.copies.Next()
	var fault *archive.Fault
	switch {
	case errors.As(err, &fault):
		l.lacks = fault.Last
		return m, false, nil
	case errors.Is(err, io.EOF):
		l.lacks = l.size
		return m, false, nil
	case err != nil:
		return m, false, err
	}
	m.Data = bytes.Clone(m.Data)
	return m, m.Position == position && m.Intact(), nil
}

// make makes the leaf of a message.
func (l *leaves) make(m archive.Message) ([]byte, error) {
	if l.e.partition < 0 {
		leaf := tlog.StreamLeaf{Position: m.Position, Subject: m.Subject, Data: m.SHA256}
		return leaf.Append(nil), nil
	}
	if l.usage == nil {
		l.usage = &usage{}
	}
	leaf := l.usage.read(m.Position, m.Data, m.SHA256)
	if err := l.load(m.Position); err != nil {
		return nil, err
	}
	return encoded(leaf, l.outcomes[m.Position])
}

// load reads outcomes up to a position and some after it.
func (l *leaves) load(position uint64) error {
	if position <= l.loaded {
		return nil
	}
	if l.folder.store == nil {
		return fmt.Errorf("position %d: %w", position, ErrUnsettled)
	}
	c, err := l.folder.store.Cursor(l.ctx, l.e.partition)
	if err != nil {
		return err
	}
	if c.Position < position {
		return fmt.Errorf("position %d: %w", position, ErrUnsettled)
	}
	const step = 1000
	l.outcomes = map[uint64]settlement.Outcome{}
	l.loaded = min(position+step-1, c.Position)
	return l.folder.store.Outcomes(l.ctx, l.e.partition, position, l.loaded, func(o settlement.Outcome) error {
		l.outcomes[o.Position] = o
		return nil
	})
}
