package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/aliquot-engine/aliquot/internal/tiles"
	"github.com/aliquot-engine/aliquot/pkg/plain"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/keep/keeper"
)

type logCommand struct {
	Keys   logKeysCommand   `cmd:"" help:"Show or rotate the key that verifies the logs."`
	List   logListCommand   `cmd:"" help:"List the logs and how far each is signed."`
	Export logExportCommand `cmd:"" help:"Pack second copies, logs, checkpoints and key into one folder or tar file, for replay --archives on another machine."`
	Fsck   logFsckCommand   `cmd:"" help:"Compare every message with its second copy, its log and the cursor, while no service runs; exit 1 if anything differs."`
}

type logKeysCommand struct {
	Show   logKeysShowCommand   `cmd:"" default:"1" help:"Show the key that verifies the logs, and its predecessors."`
	Rotate logKeysRotateCommand `cmd:"" help:"Hand the logs over to a new key, while no service runs; needs --as. Receipts from before still verify with the old key, and a verifier that knows the old key follows the handover to the new one."`
}

// shownKeys is the output of log keys.
type shownKeys struct {
	Installation string          `json:"installation"`
	Public       string          `json:"public"`
	File         string          `json:"file"`
	Handovers    []shownHandover `json:"handovers,omitempty"`
}

type shownHandover struct {
	From string    `json:"from"`
	To   string    `json:"to"`
	At   time.Time `json:"at"`
	By   string    `json:"by"`
	Note string    `json:"note"`
}

func showKeys(r *root, keys *tlog.Succession) error {
	shown := shownKeys{Installation: filepath.Base(keys.Installation()), Public: keys.Current().String(), File: keeper.PublicKeyFile(r.Data)}
	notes := keys.Notes()
	for i, h := range keys.Handovers() {
		shown.Handovers = append(shown.Handovers, shownHandover{h.Old.String(), h.New.String(), h.At, h.Actor, string(notes[i])})
	}
	return r.print(shown, func(w io.Writer) { fmt.Fprintln(w, shown.Public) })
}

type logKeysShowCommand struct {
	Make bool `help:"Make a key if the folder has none yet, so that it is known before keep or up starts for the first time."`
}

func (c *logKeysShowCommand) Run(r *root) error {
	if c.Make {
		if err := os.MkdirAll(r.Data, 0o700); err != nil {
			return err
		}
		if _, err := keeper.EnsureKey(r.Data); err != nil {
			return err
		}
	}
	keys, err := keeper.Keys(r.Data)
	if err != nil {
		return err
	}
	return showKeys(r, keys)
}

type logKeysRotateCommand struct{}

func (logKeysRotateCommand) Run(ctx context.Context, r *root) (err error) {
	if r.As == "" {
		return misused("a new key is a decision: name the person who decides with --as")
	}
	if _, err := os.Stat(filepath.Join(r.Data, "streams")); errors.Is(err, fs.ErrNotExist) { // the folder of keep
		keys, err := keeper.RotateApart(r.Data, fmt.Sprintf("log keys rotate, process %d", os.Getpid()), r.As, time.Now())
		if err != nil {
			return err
		}
		return showKeys(r, keys)
	}
	folder, err := keeper.OpenFolder(ctx, r.Data, r.DatabaseURL, quietLogger())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	keys, err := folder.Rotate(r.As, time.Now())
	if err != nil {
		return err
	}
	return showKeys(r, keys)
}

// listedLog is one line of the output of log list.
type listedLog struct {
	Log    string    `json:"log"`
	Origin string    `json:"origin"`
	Size   uint64    `json:"size"`
	Root   string    `json:"root"`
	Time   time.Time `json:"time"`
}

type logListCommand struct{}

func (logListCommand) Run(r *root) error {
	key, err := keeper.Keys(r.Data)
	if err != nil {
		return err
	}
	var all []listedLog
	for _, stream := range keeper.Kept(r.Data) {
		l := listedLog{Log: keeper.LogName(stream)}
		l.Origin = key.Origin(l.Log)
		dir := keeper.LogDir(r.Data, stream)
		reader, err := tiles.OpenReader(dir, l.Origin, key)
		if err != nil {
			return err
		}
		c, _, err := reader.Checkpoint()
		if err != nil {
			return err
		}
		// Checkpoints have no time of their own, so the time of the file says
		// when it was published.
		info, err := os.Stat(filepath.Join(dir, "checkpoint"))
		if err != nil {
			return err
		}
		l.Size, l.Root, l.Time = c.Size, c.Root.String(), info.ModTime().UTC().Truncate(time.Millisecond)
		all = append(all, l)
	}
	return r.print(all, func(w io.Writer) {
		t := plain.NewTable(w, "LOG", "SIZE", "ROOT", "SIGNED")
		for _, l := range all {
			t.Row(l.Log, l.Size, l.Root, l.Time.Format(time.RFC3339Nano))
		}
		t.End()
	})
}
