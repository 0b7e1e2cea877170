package ledger

import (
	"fmt"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// PlatformFees is what the platform has earned from waterfalls.
const PlatformFees Account = "platform:fees"

// CustomerPrepaid is a customer's money that covers no charge yet.
func CustomerPrepaid(c events.Customer) Account { return account("customer", string(c), "prepaid") }

// CustomerReceivable is what a customer owes for usage.
func CustomerReceivable(c events.Customer) Account {
	return account("customer", string(c), "receivable")
}

// NodeEarned is what a node's usage was charged and nobody has paid yet.
func NodeEarned(n events.Node) Account { return account("node", string(n), "earned") }

// NodeCollected is what has been paid for a node's usage and not handed over.
func NodeCollected(n events.Node) Account { return account("node", string(n), "collected") }

// ProviderPayable is the collected revenue of nodes that no token stands for.
func ProviderPayable(p events.Provider) Account { return account("provider", string(p), "payable") }

// TokenInbox is collected revenue handed over to a token: the one kind of
// account that both settle (credit) and distribute (debit) post to, each in a
// row of its own.
func TokenInbox(t events.Token) Account { return account("token", string(t), "inbox") }

// TokenPool is revenue on its way through a distribution.
func TokenPool(t events.Token) Account { return account("token", string(t), "pool") }

// HolderPayable is what a holder is owed, the carry below a minor unit included.
func HolderPayable(h events.Holder) Account { return account("holder", string(h), "payable") }

// HolderHeld is what a holder is owed but may not be paid.
func HolderHeld(h events.Holder) Account { return account("holder", string(h), "held") }

// Treasury is the world outside: where deposits of an asset come from.
func Treasury(asset money.Asset) Account { return Account("treasury:" + string(asset)) }

// RailInFlight is what was planned for a rail and not answered by it.
func RailInFlight(r events.Rail) Account { return account("rail", string(r), "in_flight") }

// RailPaid is what a rail has paid.
func RailPaid(r events.Rail) Account { return account("rail", string(r), "paid") }

func account(kind, id, part string) Account { return Account(kind + ":" + id + ":" + part) }

// Split returns what an account is made of: kind and part are words of this
// package; id may hold colons. The treasury has no part and the platform no id.
// It returns three empty strings for an account that is not of a known form.
func (a Account) Split() (kind, id, part string) {
	kind, rest, _ := strings.Cut(string(a), ":")
	switch kind {
	case "treasury":
		id = rest
	case "platform":
		part = rest
	default:
		last := strings.LastIndexByte(rest, ':')
		if last < 0 {
			return "", "", ""
		}
		id, part = rest[:last], rest[last+1:]
	}
	if !known(kind, part) || id == "" && kind != "platform" {
		return "", "", ""
	}
	return kind, id, part
}

func known(kind, part string) bool {
	switch kind {
	case "customer":
		return part == "prepaid" || part == "receivable"
	case "node":
		return part == "earned" || part == "collected"
	case "provider":
		return part == "payable"
	case "platform":
		return part == "fees"
	case "token":
		return part == "inbox" || part == "pool"
	case "holder":
		return part == "payable" || part == "held"
	case "treasury":
		return part == ""
	case "rail":
		return part == "in_flight" || part == "paid"
	}
	return false
}

// Valid says why a posting cannot be posted, or nil. It does not allocate for
// one that can.
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
			return fmt.Errorf("posting from %q to %q: %q is no account", p.Credit, p.Debit, a)
		}
	}
	return nil
}
