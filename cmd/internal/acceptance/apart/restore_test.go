package apart

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/client"
)

// "Yesterday's database restored under today's streams: it re-derives, compares,
// publishes and signs nothing different."
//
// Fails when the relay does not compare what is in the streams already with what
// is derived again, and when anything derived rests on more than the streams.
func TestYesterdaysDatabaseUnderTodaysStreams(t *testing.T) {
	t.Parallel()
	i := install(t)
	begin := func() []*service {
		list := []*service{i.up("settle"), i.up("distribute")}
		return append(list, i.up("ingest"))
	}
	stop := func(list []*service) {
		for n := range list {
			list[len(list)-1-n].stop()
		}
	}
	running := begin()
	i.declare()
	senders := []*sender{newSender(t, i, "/source/a", client.Packed), newSender(t, i, "/source/b", client.JSON)}
	sendAll(t, senders, 10, func() {})
	i.exact(senders, 0)
	stop(running)
	yesterday := i.copyDatabase("yesterday")

	running = begin()
	sendAll(t, senders, 10, func() {})
	i.exact(senders, 0)
	for n := range books {
		i.ask("POST", "/v1/deposits/outstanding", asJSON, fmt.Sprintf(`{"book":%q,"reference":"all"}`, book(n)), nil)
		i.ask("POST", "/v1/periods/close", asJSON, fmt.Sprintf(`{"book":%q,"period":%q}`, book(n), period), nil)
		i.ask("POST", "/v1/distributions", asJSON, fmt.Sprintf(`{"token":"T%d","period":%q}`, n, period), nil)
	}
	i.ask("POST", "/v1/payouts/export", asJSON, fmt.Sprintf(`{"distribution":"T0:%s"}`, period), nil)
	today := i.asks("balances", "--json").ok(t).out
	stop(running)
	published := i.published()

	i.database = yesterday
	running = begin()
	i.exact(senders, 0)
	i.eventually("the balances derived again", patience, func(context.Context) error {
		if again := i.asks("balances", "--json").ok(t).out; again != today {
			return fmt.Errorf("balances are not what they were:\n%s\n%s", tail(today), tail(again))
		}
		return nil
	})
	stop(running)
	if again := i.published(); again != published {
		t.Error("what was derived again was published differently, or twice")
	}
	running = begin()
	sendAll(t, senders, 5, func() {})
	i.exact(senders, 0)
	i.clean()
	stop(running)
}

// copyDatabase is a backup: the database as it is, under another name.
func (i *installation) copyDatabase(name string) string {
	i.t.Helper()
	u, err := url.Parse(i.database)
	if err != nil {
		i.t.Fatal(err)
	}
	from := strings.TrimPrefix(u.Path, "/")
	u.Path = "/postgres"
	i.postgres.Run(i.t, u.String(), fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", name, from))
	u.Path = "/" + name
	return u.String()
}
