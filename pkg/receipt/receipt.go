// Package receipt is a file that proves one event, one record of the journal or
// one payout to everybody who trusts the key of its logs and nothing else.
//
// The method: a receipt carries the very bytes that the streams hold, the
// shortest proofs that these bytes are in the signed logs, and what follows from
// them. [Verify] hashes the bytes up to the signed roots and computes what
// follows anew, with the code that settled it. A [Verdict] says what was proved,
// and apart from that what the receipt only states.
//
// # Invariants
//
//   - Self-contained: verifying needs the file and the key; no server, no
//     database, no clock.
//   - Nothing is proved by being said: every word of [Verdict.Kind],
//     [Verdict.ID], [Verdict.Proved] and [Verdict.Signed] follows from bytes under
//     a signed root; everything else is in [Verdict.Stated], quoted or from a
//     closed set.
//   - A verdict cannot be forged by what it quotes: no text of it has a line break
//     or a character that is not printable.
//   - One installation: every checkpoint is signed by the trusted key or by one
//     that handovers lead to, and opens under the origin of its log only.
//   - What rests on a log is proved in the tree whose root was in the streams
//     then, where there is one, and that tree in the one signed now.
//   - Whatever the bytes, [Verify] returns: it never panics, and what it
//     allocates is bounded by [MaxReceipt] and [MaxData].
//
// # Bytes
//
// A receipt is one JSON object; [Receipt] is its schema. Each member stands once
// and is written exactly so; others are refused, and so is what follows the
// object. Hashes are standard base64; the
// hashes of all paths stand once in hashes, and a path is a list of indexes into
// it, from the leaf's sibling to the root's child, because proofs from one tree
// share most of their upper nodes.
package receipt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/strict"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

const (
	// Format names the version of the schema.
	Format = "aliquot receipt 1"
	// MaxReceipt is the length of the longest receipt that is read, bytes.
	MaxReceipt = 64 << 20
	// MaxData is how many bytes all messages of a receipt may have together.
	MaxData = 64 << 20
	// maxID is the length of the longest id that a receipt was asked for by, bytes.
	maxID = 4096
)

// Kind says what a receipt proves.
type Kind string

// The kinds.
const (
	OfEvent  Kind = "event"  // a usage event, what became of it and what it cost
	OfRecord Kind = "record" // a record of the journal
	OfPayout Kind = "payout" // a planned payout and the share that it pays
)

// Receipt is the file. Which of the members that may be missing are there
// depends on the kind.
type Receipt struct {
	Format string      `json:"format"`
	Kind   Kind        `json:"kind"`
	ID     string      `json:"id"` // as it was asked for, 4096 bytes at most: stated, not proved
	Logs   []Log       `json:"logs"`
	Hashes []tlog.Hash `json:"hashes"` // of all paths
	// Handovers are how the key that signed the logs came to be theirs, as signed
	// notes, the first one first; none where it is the installation's first key.
	Handovers []string `json:"handovers,omitempty"`
	// Trees are earlier states of logs, whose roots stand in what is proved: at
	// most one a log. Messages that a tree has are proved in it, and the tree in
	// the checkpoint.
	Trees []Tree `json:"trees,omitempty"`

	Event  *Event  `json:"event,omitempty"`
	Record *Record `json:"record,omitempty"`
	Payout *Payout `json:"payout,omitempty"`

	// Messages of CONTROL, REGISTER, LEDGER and PAYOUT, which the rest follows
	// from, ascending by log and position.
	Messages []Message `json:"messages,omitempty"`
	// Data is the data of all messages, one behind the other, as one DEFLATE
	// stream (RFC 1951): decisions are alike.
	Data []byte `json:"data,omitempty"`
}

// Log is one log as it was signed.
type Log struct {
	Name       string `json:"name"`       // of the stream, in lower case
	Checkpoint string `json:"checkpoint"` // a signed note: C2SP tlog-checkpoint
}

// Tree is a log as it was when something rested on it.
type Tree struct {
	Log  string    `json:"log"`
	Size uint64    `json:"size"`
	Root tlog.Hash `json:"root"`
	Path Path      `json:"path"` // that the checkpoint's tree begins with this one
}

// Path is indexes into the hashes of a receipt.
type Path []int

// Leaf is a leaf of a usage log. Its index is its position less one.
type Leaf struct {
	Bytes []byte `json:"bytes"`
	Path  Path   `json:"path"`
}

// Event is a usage event. Its leaf and its context's are made from its members,
// as events.AppendLeaf and events.Context.Append do.
type Event struct {
	// Covered by the context's leaf.
	Provider   events.Provider `json:"provider"`
	Book       events.Book     `json:"book"`
	Source     string          `json:"source"`
	Epoch      uint64          `json:"epoch,omitempty"`
	Meter      events.Meter    `json:"meter"`
	Attributes []Attribute     `json:"attributes,omitempty"`

	// Covered by the event's leaf, with the number of the context.
	Sequence *uint64         `json:"sequence,omitempty"` // where the source numbers its events
	Name     string          `json:"name,omitempty"`     // where it names them
	Node     events.Node     `json:"node"`
	Customer events.Customer `json:"customer"`
	Quantity money.Quantity  `json:"quantity"`
	Start    time.Time       `json:"start"`
	End      time.Time       `json:"end"`
	Replaces string          `json:"replaces,omitempty"`
	Retracts string          `json:"retracts,omitempty"`

	// Where it is.
	Log     string `json:"log"`
	Ordinal uint64 `json:"ordinal"` // in its message, from 0
	Path    Path   `json:"path"`    // to the root of the message's events
	Context Place  `json:"context"` // of the context in the same tree
	Message Leaf   `json:"message"` // has that root, and what became of its events
	Runs    []byte `json:"runs,omitempty"`
	// Barrier is the last one before the message: decisions up to the position
	// that it names were in effect.
	Barrier *Leaf `json:"barrier,omitempty"`
	// BarrierData is the barrier itself, where it carries the root of CONTROL.
	BarrierData []byte `json:"barrier_data,omitempty"`

	Charge *Charge `json:"charge,omitempty"` // none where nothing was charged
}

// Place says where a context is in its message.
type Place struct {
	Number uint64 `json:"number"` // from 0
	Path   Path   `json:"path"`   // to the root of the message's events
}

// Attribute is one name and value.
type Attribute struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Charge is what an event cost. It is computed again from the messages.
type Charge struct {
	Asset  money.Asset    `json:"asset"`
	Amount money.Amount   `json:"amount"`
	Billed money.Quantity `json:"billed"`
	Card   string         `json:"card"` // card@version
	Rule   int            `json:"rule"` // from 0
	Quote  string         `json:"quote,omitempty"`
	Rate   money.Amount   `json:"rate"`
	// Posted names the journal row that has it in a sum: stated, not proved; that
	// the settler of the event's partition names its rows so is checked.
	Posted string `json:"posted,omitempty"`
}

// Record is the journal record of the receipt's one message.
type Record struct {
	// Row is the record's name in its writer's journal. That it is one of this
	// writer's names is checked; its number is stated, not proved.
	Row string `json:"row"`
}

// Payout is a planned payout. That of a payout run has no units and no share; its
// messages are the declaration of the run, what the run said of itself, the record
// that posts the payout, and the plan. Of a distribution's, the messages are the declaration of its
// distribution, what the distribution said of itself, the record that posts the
// share, the plan, and movements of the register.
type Payout struct {
	Payout       string         `json:"payout"`
	Distribution string         `json:"distribution"` // or payout run
	Token        events.Token   `json:"token"`
	Holder       events.Holder  `json:"holder"`
	Asset        money.Asset    `json:"asset"`
	Amount       money.Amount   `json:"amount"`
	Units        money.Units    `json:"units"`
	Share        money.Amount   `json:"share"`
	State        string         `json:"state"` // a distribution.State, when the receipt was made: stated, not proved
	Evidence     RegisterExtent `json:"register"`
	// Revenue is what the journal hands over to the token since the distribution
	// before, where that is short enough to be shown.
	Revenue *Revenue `json:"revenue,omitempty"`
}

// Revenue is a piece of LEDGER, of which a receipt has every message, with the
// cards and the rounds of quotes that its charges name.
type Revenue struct {
	First  uint64       `json:"first"` // position in LEDGER
	Last   uint64       `json:"last"`  // the one that the distribution rests on
	Amount money.Amount `json:"amount"`
}

// RegisterExtent says how much of REGISTER a receipt has.
type RegisterExtent string

// The extents.
const (
	// WholeRegister is every message up to the distribution's position: holding
	// and supply are proved, and the division among all holders is done again.
	WholeRegister RegisterExtent = "whole"
	// OwnMovements are the messages that name the holder: that there are no
	// others is stated.
	OwnMovements RegisterExtent = "own"
	// NoRegister is that of a payout run, which divides nothing.
	NoRegister RegisterExtent = "none"
)

var (
	errFormat = errors.New("not of the format " + Format)
	errLong   = errors.New("longer than a receipt can be")
)

// Parse reads a receipt. It checks the form only: see [Verify].
func Parse(data []byte) (*Receipt, error) {
	if len(data) > MaxReceipt {
		return nil, fmt.Errorf("reading a receipt: %w", errLong)
	}
	var r Receipt
	if err := strict.Decode(data, &r); err != nil {
		return nil, fmt.Errorf("reading a receipt: %w", err)
	}
	if r.Format != Format {
		return nil, fmt.Errorf("reading a receipt: %w", errFormat)
	}
	return &r, nil
}

// Marshal returns the file, without white space but for a last newline.
func (r *Receipt) Marshal() ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil {
		return nil, fmt.Errorf("writing a receipt: %w", err)
	}
	if out.Len() > MaxReceipt {
		return nil, fmt.Errorf("writing a receipt: %w", errLong)
	}
	return out.Bytes(), nil
}
