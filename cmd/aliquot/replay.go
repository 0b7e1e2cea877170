package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/cmd/internal/apply"
	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/plain"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/audit/replay"
	"github.com/aliquot-engine/aliquot/services/keep/keeper"
	"github.com/aliquot-engine/aliquot/services/keep/pack"
)

type stateCommand struct{}

func (stateCommand) Run(ctx context.Context, r *root) error {
	var now settlement.State
	if err := r.ask(ctx, http.MethodGet, "/v1/state", nil, &now); err != nil {
		return err
	}
	return r.print(now, func(w io.Writer) { printState(w, &now) })
}

// printState prints the state root, which two machines compare, and the
// positions that it covers.
func printState(w io.Writer, s *settlement.State) {
	for _, p := range s.Partitions {
		plain.Fprintf(w, "%s up to %d, CONTROL up to %d\n", p.Stream, p.Usage, p.Control)
	}
	plain.Fprintf(w, "distributed up to CONTROL %d\njournal_hash %s\nstate_root %s\n", s.Distributed, s.JournalHash, s.Root)
}

type replayCommand struct {
	Archives  string `help:"Read a folder or file that log export has made instead of the streams: neither a server nor a ledger is needed." placeholder:"DIR|FILE"`
	Key       string `help:"File with the public key that must have signed the archives; by default the key inside them." placeholder:"FILE"`
	StateRoot string `help:"State root that the replay must have." placeholder:"HEX"`
	AsOf      string `help:"Derive everything as it was at a point: usage=POSITION, usage=PARTITION/POSITION, control=POSITION, or a time." placeholder:"POSITION"`
	Balances  bool   `help:"Print the balances of every account; with --as-of always."`
	Card      string `help:"Derive the ledger with the cards of a YAML file, and list the accounts that would differ." placeholder:"FILE"`
	Since     uint64 `help:"With --card: position of CONTROL from which the cards are in force; by default the position at which the card was first declared." placeholder:"POSITION"`
	Against   string `help:"Compare with the output of another replay, perhaps of another program, with --json --balances, and list the accounts that differ." placeholder:"FILE"`
}

// Validate refuses flags that contradict each other.
func (c *replayCommand) Validate() error {
	switch {
	case c.Since > 0 && c.Card == "":
		return errors.New("--since needs --card")
	case c.Card != "" && (c.Against != "" || c.StateRoot != ""):
		return errors.New("--card is compared with the ledger as it was: omit --against and --state-root")
	case c.Key != "" && c.Archives == "":
		return errors.New("--key needs --archives")
	}
	return nil
}

func (c *replayCommand) Run(ctx context.Context, r *root) error {
	var with *replay.Outcome
	if c.Against != "" {
		data, err := os.ReadFile(c.Against)
		if err != nil {
			return err
		}
		if with, err = replay.ParseOutcome(data); err != nil {
			return fmt.Errorf("%s: %w", c.Against, err)
		}
	}
	done, err := c.run(ctx, r, with != nil)
	if damage := (*pack.Damage)(nil); errors.As(err, &damage) {
		return r.damaged(damage)
	}
	if err != nil {
		return err
	}
	if c.StateRoot != "" {
		done.Root(strings.ToLower(c.StateRoot))
	}
	if with != nil {
		done.Against(with)
	}
	if !c.balances() {
		done.Balances = nil
	}
	if err := r.print(done, func(w io.Writer) { printReplay(w, done) }); err != nil {
		return err
	}
	if !done.Identical && !done.Shadow {
		return errFalse
	}
	return nil
}

func (c *replayCommand) balances() bool { return c.Balances || c.AsOf != "" }

func (c *replayCommand) run(ctx context.Context, r *root, balances bool) (*replay.Result, error) {
	balances = balances || c.balances()
	var cards []events.CardDeclared
	if c.Card != "" {
		var err error
		if cards, err = readCards(c.Card); err != nil {
			return nil, err
		}
	}
	if c.Archives != "" {
		defer newWaiting(r).during("replay of "+c.Archives, &counter{}, &counter{})()
		return c.offline(ctx, cards, balances)
	}
	var done replay.Result
	query := fmt.Sprintf("?as_of=%s&balances=%t", url.QueryEscape(c.AsOf), balances)
	if cards == nil {
		return &done, r.ask(ctx, http.MethodPost, "/v1/replay"+query, nil, &done)
	}
	bodies := make([]events.Body, len(cards))
	for i, card := range cards {
		bodies[i] = card
	}
	data, err := apply.Format(bodies)
	if err != nil {
		return nil, err
	}
	s, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	err = s.send(ctx, http.MethodPost, fmt.Sprintf("/v1/shadow%s&since=%d", query, c.Since), "application/yaml", bytes.NewReader(data), &done)
	return &done, errors.Join(err, s.close())
}

func readCards(name string) ([]events.CardDeclared, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return api.Cards(name, data)
}

// offline replays archives in this process, with a temporary folder.
func (c *replayCommand) offline(ctx context.Context, cards []events.CardDeclared, balances bool) (done *replay.Result, err error) {
	config := replay.Config{Cards: cards, Since: c.Since, Balances: balances}
	if c.AsOf != "" {
		if config.At, err = replay.ParseAsOf(c.AsOf); err != nil {
			return nil, err
		}
	}
	scratch, err := os.MkdirTemp("", "aliquot-archives-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	p, err := openPack(c.Archives, c.Key, scratch)
	if err != nil {
		return nil, err
	}
	if config.From, err = sourcesOf(p); err != nil {
		return nil, err
	}
	if m := p.Manifest(); m != nil {
		config.Expected = m.State
	}
	result, err := replay.Run(ctx, config)
	if one := (*keeper.Difference)(nil); errors.As(err, &one) {
		// Replay stopped at the first damage; the caller wants to know all of
		// it.
		found, examined := p.Examine(ctx)
		if examined != nil || len(found) == 0 {
			return nil, errors.Join(err, examined)
		}
		return nil, &pack.Damage{Differences: found}
	}
	result.SignedBy = fmt.Sprint(p.Key())
	return &result, err
}

// openPack opens a folder or a file that log export has made.
func openPack(name, keyFile, scratch string) (*pack.Pack, error) {
	var key keeper.Verifier
	if keyFile != "" {
		text, err := os.ReadFile(keyFile)
		if err != nil {
			return nil, err
		}
		if key, err = tlog.ParsePublicKey(string(text)); err != nil {
			return nil, fmt.Errorf("%s: %w", keyFile, err)
		}
	}
	dir, err := pack.Folder(name, scratch)
	if err != nil {
		return nil, err
	}
	return pack.Open(dir, key)
}

// sourcesOf returns the streams of a pack.
func sourcesOf(p *pack.Pack) (from replay.Sources, err error) {
	for _, name := range p.Usage() {
		s, err := p.Stream(name)
		if err != nil {
			return from, err
		}
		from.Usage = append(from.Usage, s)
	}
	for _, one := range []struct {
		to   **eventlog.Stream
		name string
	}{{&from.Control, eventlog.ControlStream}, {&from.Register, eventlog.RegisterStream}, {&from.Ledger, eventlog.LedgerStream}, {&from.Payout, eventlog.PayoutStream}} {
		if *one.to, err = p.Stream(one.name); err != nil {
			return from, err
		}
	}
	return from, nil
}

// damaged prints everything that is wrong with archives.
func (r *root) damaged(d *pack.Damage) error {
	said := struct {
		Identical bool                 `json:"identical"`
		Damage    []*keeper.Difference `json:"damage"`
	}{false, d.Differences}
	err := r.print(said, func(w io.Writer) {
		fmt.Fprintln(w, "the archives differ from what was signed:")
		for _, one := range d.Differences {
			plain.Fprintf(w, "  %v\n", one)
		}
	})
	return errors.Join(err, errFalse)
}

func printReplay(w io.Writer, done *replay.Result) {
	if len(done.Balances) > 0 {
		printTrialBalance(w, done.Balances)
	}
	if len(done.Accounts) > 0 {
		t := plain.NewTable(w, "ACCOUNT", "ASSET", "WAS", "IS", "DIFFERENCE")
		for _, a := range done.Accounts {
			t.Row(a.Account, a.Asset, a.Was.Net(), a.Is.Net(), a.Difference)
		}
		t.End()
	}
	if d := done.Difference; d != nil {
		plain.Fprintf(w, "different: %s\n  live      %s\n  replayed  %s\n", d.Where, d.Live, d.Replayed)
		return
	}
	if done.Shadow {
		plain.Fprintf(w, "%d accounts would differ; USAGE up to %d\n", len(done.Accounts), done.Usage)
		return
	}
	switch {
	case len(done.Accounts) > 0:
		plain.Fprintf(w, "different: %d accounts\n", len(done.Accounts))
	case done.Rows > 0:
		plain.Fprintf(w, "identical: %d rows; %d journal rows, %d messages of LEDGER and PAYOUT, byte for byte\n", done.Rows, done.Journal, done.Messages)
	default:
		plain.Fprintf(w, "derived: %d journal rows; %d messages of LEDGER and PAYOUT are identical, byte for byte\n", done.Journal, done.Messages)
	}
	if done.SignedBy != "" {
		plain.Fprintf(w, "every message was signed by %s\n", done.SignedBy)
	}
	if done.State != nil {
		printState(w, done.State)
	}
}

// printTrialBalance lists every account, and the sum of each asset.
func printTrialBalance(w io.Writer, list []replay.Balance) {
	t := plain.NewTable(w, "ACCOUNT", "ASSET", "DEBIT", "CREDIT")
	totals := map[money.Asset]replay.Sides{}
	for _, b := range list {
		t.Row(b.Account, b.Asset, b.Debit, b.Credit)
		sum := totals[b.Asset]
		debit, errDebit := sum.Debit.Add(b.Debit)
		credit, errCredit := sum.Credit.Add(b.Credit)
		if errDebit != nil || errCredit != nil {
			continue // No ledger can hold this sum: the accounts are shown above.
		}
		totals[b.Asset] = replay.Sides{Debit: debit, Credit: credit}
	}
	for _, asset := range slices.Sorted(maps.Keys(totals)) {
		t.Row("total", asset, totals[asset].Debit, totals[asset].Credit)
	}
	t.End()
}
