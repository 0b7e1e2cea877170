package events

import (
	"fmt"
	"slices"
)

// Kind describes all decisions of one kind.
type Kind struct {
	// Name is the stable name in the codec, such as "node_declared".
	Name string
	// Words say in plain words what was decided, such as "Node declared".
	Words string
	// Phrase names such a decision within a sentence, such as "the declaration of a
	// node". Messages for users use it instead of Name.
	Phrase string
	// Standing says that the decision declares something that stays in force until it
	// is declared again, and that a file can declare it. Other decisions are done
	// once, such as a deposit.
	Standing bool

	decode func(data []byte) (Body, error)
}

// kinds is the table of all kinds of decisions. The table in package directory
// has the effect of each kind, and the table in package apply says how a file
// declares the standing ones; tests check that each table has an entry for
// every kind.
var kinds = []Kind{
	standing[ProviderDeclared]("Provider declared", "the declaration of a provider"),
	standing[BookDeclared]("Book declared", "the declaration of a book"),
	standing[NodeDeclared]("Node declared", "the declaration of a node"),
	standing[CustomerDeclared]("Customer declared", "the declaration of a customer"),
	standing[MeterDeclared]("Meter declared", "the declaration of a meter"),
	standing[CardDeclared]("Rate card declared", "the declaration of a rate card"),
	standing[QuotePolicyDeclared]("Quote policy declared", "the declaration of a quote policy"),
	done[QuotesObserved]("Quotes observed", "the import of quotes"),
	done[SuspenseReleased]("Waiting usage released", "the release of waiting usage"),
	done[DepositRecorded]("Deposit recorded", "the deposit"),
	done[CollectionRequested]("Collection requested", "the collection"),
	done[PeriodClosed]("Period closed", "the closing of a period"),
	done[PeriodReopened]("Period reopened", "the reopening of a period"),
	done[RoundWithdrawn]("Round of quotes withdrawn", "the withdrawal of a round"),
	done[DepositReversed]("Deposit reversed", "the reversal of a deposit"),
	standing[TokenDeclared]("Token declared", "the declaration of a token"),
	standing[WaterfallDeclared]("Waterfall declared", "the declaration of a waterfall"),
	standing[KeyIssued]("Key issued", "the issue of a key"),
	done[KeyRevoked]("Key revoked", "the revocation of a key"),
	standing[HoldersListed]("Screening list declared", "the declaration of a screening list"),
	done[DistributionDeclared]("Distribution declared", "the declaration of a distribution"),
	done[PayoutsSubmitted]("Payouts submitted", "the submission of payouts"),
	done[PayoutsConfirmed]("Payouts answered by the rail", "the rail's answer about payouts"),
	done[PayoutCorrected]("Payout corrected", "the correction of a payout"),
	done[PayoutRunDeclared]("Payout run declared", "the declaration of a payout run"),
}

// byName has the kinds by name.
var byName = func() map[string]Kind {
	m := make(map[string]Kind, len(kinds))
	for _, k := range kinds {
		m[k.Name] = k
	}
	return m
}()

func done[B Body](words, phrase string) Kind {
	var b B
	return Kind{Name: b.Kind(), Words: words, Phrase: phrase, decode: decodeBody[B]}
}

func standing[B Body](words, phrase string) Kind {
	k := done[B](words, phrase)
	k.Standing = true
	return k
}

// Kinds returns every kind of decision.
func Kinds() []Kind { return slices.Clone(kinds) }

// KindOf returns the kind with a name; ok is false if there is none.
func KindOf(name string) (k Kind, ok bool) {
	k, ok = byName[name]
	return k, ok
}

// PhraseOf names a decision of a kind within a sentence, see [Kind].Phrase. A name
// that is no kind is its own phrase.
func PhraseOf(name string) string {
	if k, ok := byName[name]; ok {
		return k.Phrase
	}
	return name
}

// DecodeBody reads the JSON object of a body of the given kind, in any spelling
// of its values that JSON allows. Unknown members and kinds are refused, and so
// is a member that occurs twice.
func DecodeBody(kind string, data []byte) (Body, error) {
	k, ok := KindOf(kind)
	if !ok {
		return nil, fmt.Errorf("unknown kind %q", Clip(kind))
	}
	return k.decode(data)
}

// AppendContent appends the content of a body for comparisons: its kind, and
// its canonical form without the roots of logs. The roots were read at the time
// of the decision and do not change its effect.
func AppendContent(dst []byte, b Body) ([]byte, error) {
	dst = append(dst, b.Kind()...)
	if v, ok := b.(interface{ withoutRoots() Body }); ok {
		b = v.withoutRoots()
	}
	return AppendBody(dst, b)
}
