package ingest

import (
	"context"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// follow folds CONTROL into the directory, each decision once it is in effect in
// every partition. So an event that is accepted because of a decision comes after
// its barrier, and settle knows the same names.
func (s *Service) follow(ctx context.Context) error {
	reader, err := s.config.Control.Read(ctx, 1, "")
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer reader.Stop()
	for {
		message, err := reader.Next(ctx)
		if err == nil && s.config.Settler != nil {
			err = s.config.Settler.WaitEffective(ctx, message.Seq)
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("following CONTROL: %w", err)
		}
		// A message that cannot be read is void, like every other decision
		// without a body.
		decision, err := events.DecodeDecision(message.Data)
		if err != nil {
			decision = events.Decision{}
		}
		s.mu.Lock()
		_ = s.folded.Apply(message.Seq, decision) // A void decision changes nothing.
		known := s.folded.Position()
		s.mu.Unlock()
		s.known.Advance(known)
	}
}

// Directory calls f with the directory, as far as it is in effect here. f must
// neither keep it nor take long.
func (s *Service) Directory(f func(*directory.Directory)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	f(s.folded)
}

// WaitDirectory returns when the decisions up to position k of CONTROL are known
// here, or with the context's error.
func (s *Service) WaitDirectory(ctx context.Context, k uint64) error {
	return s.known.Wait(ctx, k)
}

// gate says what one submission may contain. It implements [events.Gate].
type gate struct {
	service   *Service
	provider  events.Provider
	received  int64
	fromEvent bool // each event counts as received at its own last instant, if its book allows it

	last packed.Route // of the last node; most events belong to the same book
}

// Node finds the book of a node, if the node is the provider's and this process
// accepts its usage.
func (g *gate) Node(name []byte) (packed.Route, bool) {
	g.service.mu.RLock()
	defer g.service.mu.RUnlock()
	node, ok := g.service.folded.Node(events.Node(name))
	if !ok {
		return packed.Route{}, false
	}
	if node.Book == g.last.Book && g.last.Book != "" {
		return g.last, true
	}
	book, ok := g.service.folded.Book(node.Book)
	if !ok || book.Provider != g.provider || g.service.publishers[book.Partition] == nil {
		return packed.Route{}, false
	}
	route := packed.Route{Book: node.Book, Window: book.Window(g.received, g.fromEvent)}
	g.last = route
	return route, true
}

// Customer reports whether the book has the customer.
func (g *gate) Customer(book events.Book, name []byte) bool {
	g.service.mu.RLock()
	defer g.service.mu.RUnlock()
	customer, ok := g.service.folded.Customer(events.Customer(name))
	return ok && customer.Book == book
}

// Meter returns the largest quantity of one event of the meter.
func (g *gate) Meter(book events.Book, name []byte) (money.Quantity, bool) {
	g.service.mu.RLock()
	defer g.service.mu.RUnlock()
	meter, ok := g.service.folded.Meter(book, events.Meter(name))
	return meter.Max, ok
}

// partition returns the partition to which a book's usage goes.
func (s *Service) partition(name events.Book) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	book, _ := s.folded.Book(name)
	return book.Partition
}
