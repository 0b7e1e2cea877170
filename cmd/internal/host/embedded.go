package host

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store/database"
	"github.com/aliquot-engine/aliquot/internal/store/ids"
	"github.com/aliquot-engine/aliquot/services/ingest/natsapi"
	"github.com/aliquot-engine/aliquot/services/keep/keeper"
)

// openEmbedded starts every role on a folder.
func (p *Process) openEmbedded(ctx context.Context) (err error) {
	if err := openFolder(p.config.Dir, p.config.Logger); err != nil {
		return fmt.Errorf("opening the folder: %w", err)
	}
	if err := p.openLog(ctx); err != nil {
		return err
	}
	if p.store, err = database.Open(ctx, p.config.Dir, p.config.DatabaseURL, p.config.Logger); err != nil {
		return err
	}
	if err := p.enough(ctx); err != nil {
		return err
	}
	if err := p.openStreams(ctx); err != nil {
		return err
	}
	if id := p.log.Installation(); id != "" && p.config.DatabaseURL != "" {
		// The file in a folder belongs to this installation.
		if err := p.store.Belong(ctx, id); err != nil {
			return err
		}
	}
	for _, partition := range p.partitions {
		index, err := ids.Open(ids.Dir(p.config.Dir, partition))
		if err != nil {
			return err
		}
		p.ids = append(p.ids, index)
	}
	if p.token, err = ownToken(p.TokenFile()); err != nil {
		return err
	}
	p.operator = sha256.Sum256([]byte(p.token))
	if !p.config.Unkept {
		// If streams, copies and logs differ, no service starts.
		if p.keeper, err = p.newKeeper(ctx); err != nil {
			return err
		}
	}
	return p.startEmbedded(ctx, p.begin(ctx))
}

// startEmbedded assembles and runs the services, and serves the API once they
// know all declarations.
func (p *Process) startEmbedded(ctx, background context.Context) error {
	loops := map[int]func(context.Context) error{}
	p.settlers = map[int]settler{}
	for i, partition := range p.partitions {
		loop, _, err := p.takeSettle(ctx, partition, p.ids[i], nonce())
		if err != nil {
			return err
		}
		p.settlers[partition], loops[partition] = loop, loop.Run
	}
	payer, _, err := p.takeDistribute(ctx, nonce())
	if err != nil {
		return err
	}
	p.payer = payer
	if err := p.newIngest(p.ids); err != nil {
		return err
	}
	if err := p.watch(); err != nil {
		return err
	}
	if p.keeper != nil {
		p.group.Go(func() error {
			p.runKeeper(background)
			return nil
		})
	}
	for _, partition := range p.partitions {
		p.run(background, "settle", loops[partition])
	}
	p.run(background, "distribute", payer.Run)
	p.run(background, "ingest", p.ingest.Run)
	if p.config.NATSListen != "" {
		p.run(background, "ingest over NATS", p.overNATS)
	}
	if err := p.caughtUp(ctx, background, p.effective); err != nil {
		return err
	}
	close(p.ready)
	if err := p.serve(background, p.api()); err != nil {
		return err
	}
	if err := p.running.save(p.config.Dir, p.URL()); err != nil {
		return fmt.Errorf("saving the address of the API: %w", err)
	}
	return nil
}

// effective waits until every service has read the existing decisions, so that
// everything declared is in effect for the first request.
func (p *Process) effective(ctx context.Context) error {
	last, err := p.streams.control.Last(ctx)
	if err != nil {
		return err
	}
	return p.WaitEffective(ctx, last)
}

// enough uses as many partitions as were settled before if Config does not say
// how many, and refuses fewer: the books of the others would not be settled.
func (p *Process) enough(ctx context.Context) error {
	now, err := p.store.Progress(ctx)
	if err != nil {
		return err
	}
	before := 1
	if n := len(now.Settled); n > 0 {
		before = now.Settled[n-1].Partition + 1
	}
	// A ledger that is being derived again does not know them yet.
	for _, name := range keeper.Kept(p.config.Dir) {
		if partition, ok := eventlog.PartitionOf(name); ok {
			before = max(before, partition+1)
		}
	}
	count := p.config.Partitions
	if count == 0 {
		count = before
	}
	if count < before {
		return fmt.Errorf("%d partitions were settled in this folder, but this start has %d: use --partitions %d or more", before, count, before)
	}
	for partition := range count {
		p.partitions = append(p.partitions, partition)
	}
	return nil
}

// grant returns the subjects to which the owner of an nkey may publish: a
// provider may publish to its own subject, and nobody else to any.
func (p *Process) grant(nkey string) (eventlog.Grant, error) {
	select {
	case <-p.ready:
		return natsapi.Grant(p.ingest, nkey)
	default:
		return eventlog.Grant{}, errors.New("not ready")
	}
}

// finish lets an embedded keeper keep the last commits, if every service has
// stopped in order. Messages that cannot be kept now are kept after the next
// start.
func (p *Process) finish(inOrder bool) {
	if p.config.Shared != nil || p.keeper == nil || p.server == nil || !inOrder {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	if err := p.keeper.Finish(ctx); err != nil {
		p.config.Logger.Warn("the last messages are kept after the next start", "cause", err)
	}
}

// NATSAddr is the address at which an embedded process accepts NATS clients;
// empty if it accepts none.
func (p *Process) NATSAddr() string { return p.log.Addr() }

// Token is the bearer token of the folder's own operator; empty for a shared
// process.
func (p *Process) Token() string { return p.token }

// TokenFile is the file with the token.
func (p *Process) TokenFile() string { return filepath.Join(p.config.Dir, tokenFile) }

// ownToken reads the folder's token, or makes one if there is none.
func ownToken(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err == nil {
		if token := strings.TrimSpace(string(data)); token != "" {
			return token, nil
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("reading the operator token: %w", err)
	}
	token := "alq_" + challenge()
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("writing the operator token: %w", err)
	}
	return token, nil
}
