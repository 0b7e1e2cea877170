package directory

import (
	"fmt"
	"slices"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

func (d *Directory) declareToken(b events.TokenDeclared) error {
	in, err := d.in(b.Book)
	if err != nil {
		return err
	}
	was, known := d.tokens[b.Token]
	if known && was.Book != b.Book {
		return fmt.Errorf("token %q is of book %q and cannot be of %q", b.Token, was.Book, b.Book)
	}
	if b.Pool && in.pool != "" && in.pool != b.Token {
		return fmt.Errorf("token %q stands for all nodes of book %q already", in.pool, b.Book)
	}
	for i, name := range b.Nodes {
		if n := d.nodes[name]; n == nil || n.declared.Book != b.Book {
			return fmt.Errorf("nodes[%d]: node %q is not declared in book %q", i, name, b.Book)
		}
		if other, ok := d.tokenOf[name]; ok && other != b.Token {
			return fmt.Errorf("nodes[%d]: node %q belongs to token %q", i, name, other)
		}
	}
	for _, name := range was.Nodes {
		delete(d.tokenOf, name)
	}
	b.Nodes = slices.Clone(b.Nodes)
	for _, name := range b.Nodes {
		d.tokenOf[name] = b.Token
	}
	switch {
	case b.Pool:
		in.pool = b.Token
	case in.pool == b.Token:
		in.pool = ""
	}
	d.tokens[b.Token] = b
	return nil
}

func (d *Directory) declareWaterfall(b events.WaterfallDeclared) error {
	if _, ok := d.tokens[b.Token]; !ok {
		return fmt.Errorf("token %q is not declared", b.Token)
	}
	d.waterfalls[b.Token] = b
	return nil
}

// declareDistribution checks what follows from CONTROL. Whether the inbox and
// the register allow the distribution is decided by distribute.
func (d *Directory) declareDistribution(b events.DistributionDeclared) error {
	token, ok := d.tokens[b.Token]
	if !ok {
		return fmt.Errorf("token %q is not declared", b.Token)
	}
	if _, ok := d.waterfalls[b.Token]; !ok {
		return fmt.Errorf("token %q has no waterfall", b.Token)
	}
	if _, twice := d.PaidFor(b.Distribution); twice {
		return fmt.Errorf("distribution %q is declared already", b.Distribution)
	}
	if b.ControlSeq >= d.position {
		return fmt.Errorf("control_position %d is not before the declaration's own, %d", b.ControlSeq, d.position)
	}
	in, _ := d.Book(token.Book)
	closed, err := in.IsClosed(b.Period)
	if err != nil {
		return err
	}
	if !closed {
		return fmt.Errorf("period %s of book %q is not closed", b.Period, token.Book)
	}
	d.distributions[b.Distribution] = b
	return nil
}

func (d *Directory) submitPayouts(b events.PayoutsSubmitted) error {
	if _, ok := d.PaidFor(b.Distribution); !ok {
		return fmt.Errorf("distribution %q is not declared", b.Distribution)
	}
	if was, ok := d.batches[b.Batch]; ok && was != b {
		return fmt.Errorf("batch %q is of distribution %q on rail %q", b.Batch, was.Distribution, was.Rail)
	}
	d.batches[b.Batch] = b
	return nil
}

func (d *Directory) checkConfirmation(b events.PayoutsConfirmed) error {
	was, ok := d.batches[b.Batch]
	if !ok || was.Rail != b.Rail {
		return fmt.Errorf("batch %q was not submitted to rail %q", b.Batch, b.Rail)
	}
	return nil
}

// checkCorrection checks what follows from CONTROL. Whether the payout is in
// the state that is corrected is decided by distribute.
func (d *Directory) checkCorrection(b events.PayoutCorrected) error {
	if _, ok := d.PaidFor(b.Distribution); !ok {
		return fmt.Errorf("distribution %q is not declared", b.Distribution)
	}
	d.corrected[b.Distribution] = d.position
	return nil
}

// Token returns a declared token.
func (d *Directory) Token(name events.Token) (events.TokenDeclared, bool) {
	t, ok := d.tokens[name]
	return t, ok
}

// Tokens returns every token.
func (d *Directory) Tokens() []events.TokenDeclared { return ascending(d.tokens) }

// TokenOf returns the token to which a node's revenue goes: the one that names
// it, or otherwise the one for all nodes of its book. If ok is false, the
// revenue belongs to the node's provider.
func (d *Directory) TokenOf(name events.Node) (token events.Token, ok bool) {
	if token, ok = d.tokenOf[name]; ok {
		return token, true
	}
	n := d.nodes[name]
	if n == nil {
		return "", false
	}
	token = d.books[n.declared.Book].pool
	return token, token != ""
}

// Waterfall returns how a token's revenue is divided.
func (d *Directory) Waterfall(name events.Token) (events.WaterfallDeclared, bool) {
	w, ok := d.waterfalls[name]
	return w, ok
}

// Distribution returns a declared distribution.
func (d *Directory) Distribution(id string) (events.DistributionDeclared, bool) {
	b, ok := d.distributions[id]
	return b, ok
}

// Distributions returns every distribution, ascending by id.
func (d *Directory) Distributions() []events.DistributionDeclared { return ascending(d.distributions) }

// Batch returns a batch of payouts that was submitted.
func (d *Directory) Batch(id string) (events.PayoutsSubmitted, bool) {
	b, ok := d.batches[id]
	return b, ok
}
