package cockroach

import (
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/store/postgrestest"
	"github.com/aliquot-engine/aliquot/internal/store/sqlite"
	"github.com/aliquot-engine/aliquot/internal/store/storetest"
)

func host(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// Each says what is wrong in one line, and changes nothing.
func aDatabaseThatIsNotOursIsRefused(t *testing.T, server *postgrestest.Server) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = silent.Close() // nobody listens there any more
	empty, foreign, newerOne, older := server.Database(t), server.Database(t), migrated(t, server), migrated(t, server)
	server.Run(t, foreign, "CREATE TABLE customers (id BIGINT PRIMARY KEY)")
	server.Run(t, newerOne, "UPDATE aliquot SET version = 99")
	server.Run(t, older, "UPDATE aliquot SET version = 1")
	for _, c := range []struct{ name, address, want string }{
		{"empty", empty, "it is empty: run aliquot migrate"},
		{"another's", foreign, "it has tables that are not aliquot's"},
		{"newer", newerOne, "its schema is version 99, this program knows up to 5: use the newer program"},
		{"older", older, "its schema is version 1, this program needs 5: run aliquot migrate"},
		{"nobody there", strings.Replace(empty, host(t, empty), silent.Addr().String(), 1), "connection refused"},
		{"no such database", strings.Replace(empty, "aliquot_test_", "missing_", 1), "does not exist"},
		{"no URL", "", "its URL is empty"},
		{"nonsense", "postgres://user:secret@host:port:9/x", "its URL is not of the form"},
	} {
		t.Run(c.name, func(t *testing.T) {
			db, err := Open(t.Context(), c.address, nil)
			if err == nil {
				_ = db.Close()
				t.Fatal("it was opened")
			}
			if text := err.Error(); !strings.Contains(text, c.want) || strings.Contains(text, "\n") || strings.Contains(text, "secret") {
				t.Errorf("it says %q, want %q", text, c.want)
			}
		})
	}
	for address, want := range map[string]string{foreign: "it has tables that are not aliquot's", newerOne: "use the newer program"} {
		if _, err := Migrate(t.Context(), address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("migrating: %v, want %q", err, want)
		}
	}
}

// Migrations may be repeated, and two may be started at once: each step is done
// once.
func migrationsAreDoneOnce(t *testing.T, server *postgrestest.Server) {
	url := server.Database(t)
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if m, err := Migrate(t.Context(), url); err != nil || m.To != len(steps()) {
				t.Errorf("one of two at once: %+v, %v", m, err)
			}
		})
	}
	both.Wait()
	m, err := Migrate(t.Context(), url)
	if err != nil || m.To != len(steps()) {
		t.Fatalf("%+v, %v", m, err)
	}
	if m, err = Migrate(t.Context(), url); err != nil || m.From != len(steps()) || m.To != len(steps()) {
		t.Errorf("again: %+v, %v", m, err)
	}
	storetest.Fill(t, opened(t, url))
}

// What both engines were told alike, both have alike, to the byte. Fails when a
// view, the order of text or the bytes of an amount differ.
func bothEnginesHoldTheSame(t *testing.T, server *postgrestest.Server) {
	there := opened(t, migrated(t, server))
	here, err := sqlite.Open(filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = here.Close() }()
	storetest.Fill(t, here)
	storetest.Fill(t, there)
	relations := store.Relations(100)
	err = here.Snapshot(t.Context(), func(a *store.Snapshot) error {
		return there.Snapshot(t.Context(), func(b *store.Snapshot) error {
			for _, relation := range relations {
				first, rows, equal, err := a.Compare(b, relation, nil)
				if err != nil || !equal || rows == 0 {
					t.Errorf("%s: %d rows are equal, then %+v, %v", relation.Name, rows, first, err)
				}
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}
