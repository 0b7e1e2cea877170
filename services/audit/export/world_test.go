package export_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/tiles"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/audit/audittest"
	"github.com/aliquot-engine/aliquot/services/audit/export"
	"github.com/aliquot-engine/aliquot/services/keep/keeper"
)

// kept is a world with logs, and a stream of refused submissions.
type kept struct {
	*audittest.World
	dir     string
	key     *tlog.PublicKey
	refused *eventlog.Stream
}

// keep makes the logs of a world at rest.
func keep(t testing.TB, w *audittest.World) *kept {
	t.Helper()
	k := &kept{World: w, dir: t.TempDir()}
	log, err := eventlog.Open(t.Context(), eventlog.Config{Dir: t.TempDir(), LazySync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	if k.refused, err = log.Refused(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.sign(t)
	return k
}

// sign extends the logs to the ends of the streams.
func (k *kept) sign(t testing.TB) {
	t.Helper()
	streams := []*eventlog.Stream{k.Control, k.Register, k.Ledger, k.Payout}
	loop, err := keeper.Open(t.Context(), keeper.Config{Dir: k.dir, Usage: []*eventlog.Stream{k.Usage}, Streams: streams, Store: k.DB, Every: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	k.key = loop.Key().Public()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := loop.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	if err := loop.Close(); err != nil {
		t.Fatal(err)
	}
}

func (k *kept) log(name string) (export.Log, error) {
	return tiles.OpenReader(keeper.LogDir(k.dir, strings.ToUpper(name)), k.key.Origin(name), k.key)
}

func (k *kept) sources() export.Sources {
	return export.Sources{
		Usage: []*eventlog.Stream{k.Usage}, Control: k.Control, Register: k.Register, Ledger: k.Ledger, Payout: k.Payout, Refused: k.refused,
		Log: k.log, Outcomes: k.DB.Outcomes, Void: k.void,
	}
}

// void returns why a decision had no effect, as the services recorded it.
func (k *kept) void(ctx context.Context, position uint64) (string, error) {
	reason, ok, err := k.DB.VoidReason(ctx, 0, position)
	if err != nil || ok {
		return reason, err
	}
	v, _, err := k.DB.DistributeVoid(ctx, position)
	return v.Reason, err
}

// file makes a report.
func (k *kept) file(t testing.TB, name string, format export.Format, options export.Options) []byte {
	t.Helper()
	return file(t, k.sources(), name, format, options)
}

func file(t testing.TB, from export.Sources, name string, format export.Format, options export.Options) []byte {
	t.Helper()
	made, err := export.Prepare(t.Context(), from, name, format, options)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := made.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// row is a line of a CSV file by the names of its columns.
type row map[string]string

// rows reads a report's CSV; texts are unescaped.
func (k *kept) rows(t testing.TB, name string, options export.Options) []row {
	t.Helper()
	return rowsOf(t, k.file(t, name, export.CSV, options))
}

func rowsOf(t testing.TB, data []byte) (list []row) {
	t.Helper()
	all, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range all[1:] {
		r := row{}
		for i, name := range all[0] {
			r[name] = line[i]
		}
		list = append(list, r)
	}
	return list
}
