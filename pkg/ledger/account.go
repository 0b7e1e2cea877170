package ledger

import (
	"fmt"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// PlatformFees is what the platform has earned from waterfalls.
const PlatformFees = Account(OfPlatform) + ":" + Account(Fees)

// CustomerPrepaid is a customer's money that covers no charge yet.
func CustomerPrepaid(c events.Customer) Account { return account(OfCustomer, string(c), Prepaid) }

// CustomerReceivable is what a customer owes for usage.
func CustomerReceivable(c events.Customer) Account {
	return account(OfCustomer, string(c), Receivable)
}

// NodeEarned is what was charged for a node's usage and has not been paid yet.
func NodeEarned(n events.Node) Account { return account(OfNode, string(n), Earned) }

// NodeCollected is what was paid for a node's usage and has not been handed
// over yet.
func NodeCollected(n events.Node) Account { return account(OfNode, string(n), Collected) }

// ProviderPayable is the collected revenue of nodes without a token.
func ProviderPayable(p events.Provider) Account { return account(OfProvider, string(p), Payable) }

// TokenInbox is collected revenue handed over to a token: the only kind of
// account to which both settle (credit) and distribute (debit) post, each in
// its own rows.
func TokenInbox(t events.Token) Account { return account(OfToken, string(t), Inbox) }

// TokenPool is revenue on its way through a distribution.
func TokenPool(t events.Token) Account { return account(OfToken, string(t), Pool) }

// HolderPayable is what a holder is owed, including the carry below a minor
// unit.
func HolderPayable(h events.Holder) Account { return account(OfHolder, string(h), Payable) }

// HolderHeld is what a holder is owed but may not be paid.
func HolderHeld(h events.Holder) Account { return account(OfHolder, string(h), Held) }

// Treasury is the world outside: where deposits of an asset come from.
func Treasury(asset money.Asset) Account { return Account(OfTreasury.Prefix() + string(asset)) }

// RailInFlight is what was planned for a rail that has not answered yet.
func RailInFlight(r events.Rail) Account { return account(OfRail, string(r), InFlight) }

// RailPaid is what a rail has paid.
func RailPaid(r events.Rail) Account { return account(OfRail, string(r), Paid) }

func account(kind AccountKind, id string, part Part) Account {
	return Account(string(kind) + ":" + id + ":" + string(part))
}

// Split returns the parts of an account's name; the id may contain colons. The
// treasury has no part and the platform no id. All three are empty for an
// account that is not of a known form.
func (a Account) Split() (kind AccountKind, id string, part Part) {
	first, rest, _ := strings.Cut(string(a), ":")
	kind = AccountKind(first)
	switch kind {
	case OfTreasury:
		id = rest
	case OfPlatform:
		part = Part(rest)
	default:
		last := strings.LastIndexByte(rest, ':')
		if last < 0 {
			return "", "", ""
		}
		id, part = rest[:last], Part(rest[last+1:])
	}
	if !kind.has(part) || id == "" && kind != OfPlatform {
		return "", "", ""
	}
	return kind, id, part
}

// Is reports whether an account is of a kind and part.
func (a Account) Is(kind AccountKind, part Part) bool {
	k, _, p := a.Split()
	return k == kind && p == part
}

// Valid returns why a posting cannot be posted, or nil. It does not allocate
// for a valid posting.
func (p *Posting) Valid() error {
	switch {
	case p.Debit == p.Credit:
		return fmt.Errorf("posting from %q to itself", p.Debit)
	case p.Amount.Sign() <= 0:
		return fmt.Errorf("posting from %q to %q: amount %v is not above zero", p.Credit, p.Debit, p.Amount)
	case p.Quantity.Sign() < 0:
		return fmt.Errorf("posting from %q to %q: quantity %v is negative", p.Credit, p.Debit, p.Quantity)
	}
	if err := p.Asset.Valid(); err != nil {
		return fmt.Errorf("posting from %q to %q: %w", p.Credit, p.Debit, err)
	}
	for _, a := range [2]Account{p.Debit, p.Credit} {
		if kind, _, _ := a.Split(); kind == "" {
			return fmt.Errorf("posting from %q to %q: %q is not an account", p.Credit, p.Debit, a)
		}
	}
	return nil
}
