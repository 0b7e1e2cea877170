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
	// Standing means that the decision declares something that is in force from
	// then on: it can be declared again, and a file can declare it. Other
	// decisions are done once, such as a deposit.
	Standing bool

	decode func(data []byte) (Body, error)
}

// kinds is the table of all kinds of decisions. The table in package directory
// has the effect of each kind, and the table in package apply says how a file
// declares the standing ones; tests check that each table has an entry for
// every kind.
var kinds = []Kind{
	standing[ProviderDeclared]("Provider declared"),
	standing[BookDeclared]("Book declared"),
	standing[NodeDeclared]("Node declared"),
	standing[CustomerDeclared]("Customer declared"),
	standing[MeterDeclared]("Meter declared"),
	standing[CardDeclared]("Rate card declared"),
	standing[QuotePolicyDeclared]("Quote policy declared"),
	done[QuotesObserved]("Quotes observed"),
	done[SuspenseReleased]("Waiting usage released"),
	done[DepositRecorded]("Deposit recorded"),
	done[CollectionRequested]("Collection requested"),
	done[PeriodClosed]("Period closed"),
	done[PeriodReopened]("Period reopened"),
	done[RoundWithdrawn]("Round of quotes withdrawn"),
	done[DepositReversed]("Deposit reversed"),
	standing[TokenDeclared]("Token declared"),
	standing[WaterfallDeclared]("Waterfall declared"),
	standing[KeyIssued]("Key issued"),
	done[KeyRevoked]("Key revoked"),
	standing[HoldersListed]("Screening list declared"),
	done[DistributionDeclared]("Distribution declared"),
	done[PayoutsSubmitted]("Payouts submitted"),
	done[PayoutsConfirmed]("Payouts answered by the rail"),
	done[PayoutCorrected]("Payout corrected"),
	done[PayoutRunDeclared]("Payout run declared"),
}

// byName has the kinds by name.
var byName = func() map[string]Kind {
	m := make(map[string]Kind, len(kinds))
	for _, k := range kinds {
		m[k.Name] = k
	}
	return m
}()

func done[B Body](words string) Kind {
	var b B
	return Kind{Name: b.Kind(), Words: words, decode: decodeBody[B]}
}

func standing[B Body](words string) Kind {
	k := done[B](words)
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
