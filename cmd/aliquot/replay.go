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

// printState shows the line that two machines compare, and where it is from.
func printState(w io.Writer, s *settlement.State) {
	for _, p := range s.Partitions {
		plain.Fprintf(w, "%s up to %d, CONTROL up to %d\n", p.Stream, p.Usage, p.Control)
	}
	plain.Fprintf(w, "distributed up to CONTROL %d\njournal_hash %s\nstate_root %s\n", s.Distributed, s.JournalHash, s.Root)
}

type replayCommand struct {
	Archives  string `help:"Read a folder or file that log export has made, instead of the streams: nothing else is needed, neither server nor ledger." placeholder:"DIR|FILE"`
	Key       string `help:"File with the public key that must have signed the archives; the one that they bring by default." placeholder:"FILE"`
	StateRoot string `help:"State root that must come out." placeholder:"HEX"`
	AsOf      string `help:"Derive everything as it was at usage=POSITION, usage=PARTITION/POSITION, control=POSITION, or a time." placeholder:"POSITION"`
	Balances  bool   `help:"Print the balances of every account; with --as-of always."`
	Card      string `help:"Derive what would be with the cards of a YAML file, and list the accounts that would differ." placeholder:"FILE"`
	Since     uint64 `help:"With --card: from this position of CONTROL on; from where the card was first declared by default." placeholder:"POSITION"`
	Against   string `help:"Compare with what another replay printed with --json --balances, of another program perhaps, and list the accounts that differ." placeholder:"FILE"`
}

// Validate refuses what does not go together.
func (c *replayCommand) Validate() error {
	switch {
	case c.Since > 0 && c.Card == "":
		return errors.New("--since needs --card")
	case c.Card != "" && (c.Against != "" || c.StateRoot != ""):
		return errors.New("--card is compared with what was: leave --against and --state-root out")
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

// offline replays archives, here and in a temporary folder.
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
		// One was met on the way; the caller wants to know of all.
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

// sourcesOf are the streams of a pack.
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

// damaged says everything that is wrong of archives.
func (r *root) damaged(d *pack.Damage) error {
	said := struct {
		Identical bool                 `json:"identical"`
		Damage    []*keeper.Difference `json:"damage"`
	}{false, d.Differences}
	err := r.print(said, func(w io.Writer) {
		fmt.Fprintln(w, "the archives are not what was signed:")
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
		plain.Fprintf(w, "every message is one that was signed by %s\n", done.SignedBy)
	}
	if done.State != nil {
		printState(w, done.State)
	}
}

// printTrialBalance lists every account, and sums each asset.
func printTrialBalance(w io.Writer, list []replay.Balance) {
	t := plain.NewTable(w, "ACCOUNT", "ASSET", "DEBIT", "CREDIT")
	totals := map[money.Asset]replay.Sides{}
	for _, b := range list {
		t.Row(b.Account, b.Asset, b.Debit, b.Credit)
		sum := totals[b.Asset]
		debit, errDebit := sum.Debit.Add(b.Debit)
		credit, errCredit := sum.Credit.Add(b.Credit)
		if errDebit != nil || errCredit != nil {
			continue // Beyond what any ledger holds: the accounts are shown above.
		}
		totals[b.Asset] = replay.Sides{Debit: debit, Credit: credit}
	}
	for _, asset := range slices.Sorted(maps.Keys(totals)) {
		t.Row("total", asset, totals[asset].Debit, totals[asset].Credit)
	}
	t.End()
}
