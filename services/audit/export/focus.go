package export

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/pricing"
)

// focusColumns are all columns of FOCUS 1.2 (FinOps Open Cost and Usage
// Specification, ratified on 2025-05-29), in its order, followed by ours, with
// the prefix x_. Null is allowed where the specification allows it for this kind
// of data: usage without commitments, reservations or sub accounts.
//
// Costs are in the card's currency: BillingCurrency must be a national currency,
// and the stablecoin that settles the charge is not one. x_SettlementAmount is
// exactly what was posted. BilledCost is that amount at the quote of the charge,
// rounded half-even to 18 decimals. All four costs are equal, because there are
// no discounts. ListUnitPrice × PricingQuantity equals ListCost, except for the
// rounding of each to 18 decimals and of each event's charge to the atto.
func focusColumns() []Column {
	return []Column{
		{"AvailabilityZone", Text, true},
		{"BilledCost", Decimal, false},
		{"BillingAccountId", Text, false},
		{"BillingAccountName", Text, true},
		{"BillingAccountType", Text, false},
		{"BillingCurrency", Text, false},
		{"BillingPeriodEnd", Instant, false},
		{"BillingPeriodStart", Instant, false},
		{"CapacityReservationId", Text, true},
		{"CapacityReservationStatus", Text, true},
		{"ChargeCategory", Text, false},
		{"ChargeClass", Text, true},
		{"ChargeDescription", Text, true},
		{"ChargeFrequency", Text, false},
		{"ChargePeriodEnd", Instant, false},
		{"ChargePeriodStart", Instant, false},
		{"CommitmentDiscountCategory", Text, true},
		{"CommitmentDiscountId", Text, true},
		{"CommitmentDiscountName", Text, true},
		{"CommitmentDiscountQuantity", Decimal, true},
		{"CommitmentDiscountStatus", Text, true},
		{"CommitmentDiscountType", Text, true},
		{"CommitmentDiscountUnit", Text, true},
		{"ConsumedQuantity", Decimal, true},
		{"ConsumedUnit", Text, true},
		{"ContractedCost", Decimal, false},
		{"ContractedUnitPrice", Decimal, true},
		{"EffectiveCost", Decimal, false},
		{"InvoiceId", Text, true},
		{"InvoiceIssuerName", Text, false},
		{"ListCost", Decimal, false},
		{"ListUnitPrice", Decimal, true},
		{"PricingCategory", Text, true},
		{"PricingCurrency", Text, true},
		{"PricingCurrencyContractedUnitPrice", Decimal, true},
		{"PricingCurrencyEffectiveCost", Decimal, true},
		{"PricingCurrencyListUnitPrice", Decimal, true},
		{"PricingQuantity", Decimal, true},
		{"PricingUnit", Text, true},
		{"ProviderName", Text, false},
		{"PublisherName", Text, false},
		{"RegionId", Text, true},
		{"RegionName", Text, true},
		{"ResourceId", Text, true},
		{"ResourceName", Text, true},
		{"ResourceType", Text, true},
		{"ServiceCategory", Text, false},
		{"ServiceName", Text, false},
		{"ServiceSubcategory", Text, true},
		{"SkuId", Text, true},
		{"SkuMeter", Text, true},
		{"SkuPriceDetails", Text, true},
		{"SkuPriceId", Text, true},
		{"SubAccountId", Text, true},
		{"SubAccountName", Text, true},
		{"SubAccountType", Text, true},
		{"Tags", Text, true},
		{"x_SettlementAsset", Text, false},
		{"x_SettlementAmount", Decimal, false},
		{"x_Quote", Text, true},
		{"x_QuoteRate", Decimal, false},
		{"x_Card", Text, false},
		{"x_Events", Count, false},
		{"x_JournalRow", Text, false},
	}
}

// focusLogColumns are the [logColumns] with names that FOCUS allows.
func focusLogColumns() []Column {
	list := logColumns()
	for i, name := range []string{"x_Stream", "x_Position", "x_LeafIndex", "x_LogOrigin", "x_TreeSize", "x_RootHash"} {
		list[i].Name = name
	}
	return list
}

// focus lists what was charged for usage, one row for each posting.
func (r *run) focus() error {
	known := newRates()
	if err := r.decided(func(d decided) error { known.note(&d); return nil }); err != nil {
		return err
	}
	return r.entries(func(m *message, row string, record *ledger.Record) error {
		for i := range record.Entries {
			e := &record.Entries[i]
			if !r.wanted(e.Book, e.Period) {
				continue
			}
			for j := range e.Postings {
				if e.Postings[j].Card == "" {
					continue // Not a charge: FOCUS does not cover money that moves later.
				}
				c := charge{entry: e, posting: &e.Postings[j], control: record.Control, row: row}
				if err := r.charge(m, known, &c); err != nil {
					return fmt.Errorf("entry %d, posting %d: %w", i, j, err)
				}
			}
		}
		return nil
	})
}

// charge is one posting for usage, with what is known about it.
type charge struct {
	entry   *ledger.Entry
	posting *ledger.Posting
	control uint64
	row     string

	customer, node   string
	takenBack        bool // a correction, which moves the other way
	rate             money.Amount
	currency         money.Asset
	cost             money.Amount // in the card's currency
	price            priced
	billFrom, billTo int64
	usedFrom, usedTo int64
}

// parties finds the customer and the node of a charge, whichever way the posting
// moves.
func (c *charge) parties() error {
	for _, a := range []ledger.Account{c.posting.Debit, c.posting.Credit} {
		switch kind, id, _ := a.Split(); kind {
		case ledger.OfCustomer:
			c.customer = id
			c.takenBack = a == c.posting.Credit
		case ledger.OfNode:
			c.node = id
		}
	}
	if c.customer == "" || c.node == "" {
		return fmt.Errorf("a charge from %s to %s", c.posting.Credit, c.posting.Debit)
	}
	return nil
}

func (r *run) charge(m *message, known *rates, c *charge) (err error) {
	if err := c.parties(); err != nil {
		return err
	}
	book, ok := r.directory.Book(c.entry.Book)
	if !ok {
		return fmt.Errorf("book %s is not declared", c.entry.Book)
	}
	calendar := events.Calendar(book.Calendar)
	if c.billFrom, c.billTo, err = calendar.Parse(c.entry.Period); err != nil {
		return err
	}
	if c.usedFrom, c.usedTo, err = calendar.Parse(c.entry.Origin); err != nil {
		return err
	}
	if err := r.price(known, c); err != nil {
		return err
	}
	return r.focusRow(m, c, book.Provider)
}

func (r *run) focusRow(m *message, c *charge, of events.Provider) error {
	p := c.posting
	provider, _ := r.directory.Provider(of)
	issuer := provider.Name
	if issuer == "" {
		issuer = string(of)
	}
	customer, _ := r.directory.Customer(events.Customer(c.customer))
	node, _ := r.directory.Node(events.Node(c.node))
	meter, _ := r.directory.Meter(c.entry.Book, p.Meter)
	var region string
	tags := map[string]string{}
	for _, a := range node.Attributes {
		tags[a.Name] = a.Value
		if a.Name == "region" {
			region = a.Value
		}
	}
	tagged, err := json.Marshal(tags)
	if err != nil {
		return err
	}
	details, err := json.Marshal(map[string]string{"x_Card": p.Card, "x_Rule": c.price.rule})
	if err != nil {
		return err
	}
	class, settled, billed := cell{}, p.Amount, p.Quantity
	if c.takenBack {
		class = text("Correction")
		if settled, err = settled.Neg(); err != nil {
			return err
		}
	}
	category, subcategory := service(meter.Unit)
	null := cell{}
	unit := amountOrNull(c.price.unitPrice, c.price.known)
	card := string(pricing.CardOf(p.Card))
	sku := string(c.entry.Book) + "/" + string(p.Meter)
	return r.emit(m.of, m.Seq,
		null, amount(c.cost), text(c.customer), named(customer.Name), text("Customer"), text(c.currency),
		instant(c.billTo), instant(c.billFrom), null, null, text("Usage"), class,
		text(fmt.Sprintf("%v %s of %s on node %s by %s", billed, meter.Unit, p.Meter, c.node, p.Card)), text("Usage-Based"),
		instant(c.usedTo), instant(c.usedFrom), null, null, null, null, null, null, null,
		quantity(billed), text(unitName(meter.Unit)), amount(c.cost), unit, amount(c.cost), null, text(issuer), amount(c.cost), unit,
		text("Standard"), text(c.currency), unit, amount(c.cost), unit, quantity(c.price.quantity), text(c.price.unit),
		text(issuer), text(issuer), named(region), named(region), text(c.node), text(c.node), text("Compute Node"),
		text(category), text(c.entry.Book), text(subcategory), text(sku), text(p.Meter), text(string(details)), text(sku+"/"+card+c.price.rule),
		null, null, null, text(string(tagged)),
		text(p.Asset), amount(settled), named(p.Quote), amount(c.rate), text(p.Card), count(p.Events), text(c.row))
}

func amountOrNull(a money.Amount, known bool) cell {
	if !known {
		return cell{}
	}
	return amount(a)
}

// service returns the category and subcategory of FOCUS for a meter's unit:
// tokens mean models.
func service(unit string) (category, subcategory string) {
	if unitName(unit) == "Tokens" {
		return "AI and Machine Learning", "Generative AI"
	}
	return "Compute", "Other (Compute)"
}

// unitName writes a known unit as FOCUS recommends: plural and capitalized.
func unitName(unit string) string {
	switch strings.ToLower(unit) {
	case "s", "sec", "second", "seconds":
		return "Seconds"
	case "ms", "millisecond", "milliseconds":
		return "Milliseconds"
	case "min", "minute", "minutes":
		return "Minutes"
	case "h", "hour", "hours":
		return "Hours"
	case "token", "tokens":
		return "Tokens"
	case "":
		return "Units"
	}
	return unit
}

// ruleName names a rule by what it matches, so that the name stays the same in
// later versions.
func ruleName(rule *pricing.Rule) string {
	pairs := make([]string, 0, len(rule.Match))
	for _, a := range rule.Match {
		pairs = append(pairs, a.Name+"="+a.Value)
	}
	slices.Sort(pairs)
	return "/" + strings.Join(pairs, ",")
}
