package apply

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Format writes declarations as documents that [Parse] reads back as they are,
// one a line in the flow style that is JSON as well. It names no other file, so
// it is also the way to send what [ReadFile] has read from several. It fails
// for bodies that are done rather than declared, as a deposit.
func Format(bodies []events.Body) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	for i := 0; i < len(bodies); i++ {
		document, err := format(bodies[i])
		if err != nil {
			return nil, err
		}
		if list, ok := document.(*holdsDocument); ok {
			for i+1 < len(bodies) {
				next, more := bodies[i+1].(events.HoldersListed)
				if !more || next.List != list.List || next.Part == 0 {
					break
				}
				list.Holders = append(list.Holders, next.Holders...)
				i++
			}
		}
		out.WriteString("--- ")
		if err := encoder.Encode(document); err != nil {
			return nil, fmt.Errorf("writing %s: %w", bodies[i].Kind(), err)
		}
	}
	return out.Bytes(), nil
}

type holdsDocument struct {
	Kind    string          `json:"kind"`
	List    string          `json:"list"`
	Holders []events.Holder `json:"holders"`
}

type tokenDocument struct {
	Kind     string        `json:"kind"`
	Token    events.Token  `json:"token"`
	Book     events.Book   `json:"book"`
	Nodes    []events.Node `json:"nodes,omitempty"`
	AllNodes bool          `json:"all_nodes,omitempty"`
	Minimum  money.Amount  `json:"minimum_payout"`
}

// texts are the fields of a document, which JSON writes ascending. Values that
// are empty are left out, where that means the same.
type texts map[string]any

func (t texts) set(name, value string) {
	if value != "" {
		t[name] = value
	}
}

func format(body events.Body) (any, error) {
	if body != nil {
		if k, ok := kinds[body.Kind()]; ok {
			return k.format(body)
		}
	}
	return nil, notDeclared(body)
}

func notDeclared(body events.Body) error {
	return fmt.Errorf("writing %T: is done and not declared", body)
}

func formatProvider(b events.ProviderDeclared) (any, error) {
	t := texts{"kind": "Provider", "provider": b.Provider}
	t.set("name", b.Name)
	return t, nil
}

func formatBook(b events.BookDeclared) (any, error) {
	t := texts{
		"kind": "Book", "book": b.Book, "provider": b.Provider, "calendar": b.Calendar, "time_zone": b.TimeZone, "asset": b.Asset,
		"horizon": duration(b.HorizonSeconds), "future": duration(b.FutureSeconds), "partition": b.Partition,
	}
	if b.HorizonSeconds == 0 {
		t["horizon"] = "none"
	}
	if b.ReceivedFromEvent {
		t["received"] = "event"
	}
	return t, nil
}

func formatMeter(b events.MeterDeclared) (any, error) {
	return texts{"kind": "Meter", "meter": b.Meter, "book": b.Book, "unit": b.Unit, "max": b.Max}, nil
}

func formatPolicy(b events.QuotePolicyDeclared) (any, error) {
	if b.Fixed.Sign() > 0 {
		return texts{"kind": "QuotePolicy", "pair": b.Pair, "fixed": b.Fixed}, nil
	}
	return texts{
		"kind": "QuotePolicy", "pair": b.Pair, "heartbeat": duration(b.HeartbeatSeconds), "margin": duration(b.MarginSeconds),
		"max_deviation": b.MaxDeviation, "min_sources": b.MinSources, "peg": b.Peg, "peg_warn": b.PegWarn, "peg_hold": b.PegHold,
	}, nil
}

func formatCard(b events.CardDeclared) (any, error) {
	var rules []texts
	for _, r := range b.Rules {
		rule := texts{"meter": r.Meter, "price": r.Price, "per": r.Per, "granularity": r.Granularity}
		if len(r.Match) > 0 {
			rule["match"] = r.Match
		}
		rules = append(rules, rule)
	}
	return texts{
		"kind": "Card", "card": b.Card, "version": b.Version, "book": b.Book, "currency": b.Currency, "effective": b.Effective.UTC(), "rules": rules,
	}, nil
}

func formatNode(b events.NodeDeclared) (any, error) {
	t := texts{"kind": "Node", "node": b.Node, "book": b.Book}
	if len(b.Attributes) > 0 {
		t["attributes"] = b.Attributes
	}
	return t, nil
}

func formatCustomer(b events.CustomerDeclared) (any, error) {
	t := texts{"kind": "Customer", "customer": b.Customer, "book": b.Book}
	t.set("name", b.Name)
	t.set("plan", b.Plan)
	return t, nil
}

func formatToken(b events.TokenDeclared) (any, error) {
	return &tokenDocument{"Token", b.Token, b.Book, b.Nodes, b.Pool, b.Minimum}, nil
}

func formatWaterfall(b events.WaterfallDeclared) (any, error) {
	points, err := money.ParseAmount(strconv.Itoa(b.FeeBasisPoints) + "e-4")
	return texts{"kind": "Waterfall", "token": b.Token, "fee": points}, err
}

// formatKey writes the key of an nkey: a secret does not belong into a file.
func formatKey(b events.KeyIssued) (any, error) {
	if b.NKey == "" || b.Scope != "provider" {
		return nil, notDeclared(b)
	}
	return texts{"kind": "Key", "key": b.Key, "provider": b.Provider, "nkey": b.NKey}, nil
}

func formatList(b events.HoldersListed) (any, error) {
	return &holdsDocument{"Holds", b.List, append([]events.Holder{}, b.Holders...)}, nil
}

func duration(seconds int64) string { return strconv.FormatInt(seconds, 10) + "s" }
