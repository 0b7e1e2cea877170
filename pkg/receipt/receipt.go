// Package receipt defines a file that proves one event, one record of the
// journal or one payout to anybody who trusts only the key of its logs.
//
// The method: a receipt contains original messages of the streams byte for
// byte, the shortest proofs that these bytes are in the signed logs, and the
// figures that follow from them. [Verify] hashes the bytes up to the signed
// roots and computes the figures again, with the code that settled them. A
// [Verdict] says what was proved and, separately, what the receipt only states.
//
// # Invariants
//
//   - Self-contained: verifying needs the file and the key; no server, no
//     database, no clock.
//   - Nothing is proved merely because the receipt says it: every word of
//     [Verdict.Kind], [Verdict.ID], [Verdict.Proved] and [Verdict.Signed]
//     follows from bytes under a signed root; everything else is in
//     [Verdict.Stated], quoted or from a closed set.
//   - A verdict cannot be forged by what it quotes: no text of it has a line break
//     or a character that is not printable.
//   - One installation: every checkpoint is signed by the trusted key or by one
//     to which handovers lead, and opens only under the origin of its log.
//   - What rests on an earlier state of a log is proved in the tree whose root
//     was in the streams at that time, if there is one, and that tree is proved
//     in the signed one.
//   - Whatever the bytes, [Verify] returns: it never panics, and what it
//     allocates is bounded by [MaxReceipt] and [MaxData].
//
// # Bytes
//
// A receipt is one JSON object; [Receipt] is its schema. Each member occurs
// once and is spelled exactly as in the schema; other members are refused, and
// so are bytes after the object. Hashes are in standard base64. Each hash of a
// path occurs once in hashes, and a path is a list of indexes into hashes, from
// the leaf's sibling to the root's child, because proofs from one tree share
// most of their upper nodes.
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
	// MaxReceipt is the length of the longest receipt that is read, in bytes.
	MaxReceipt = 64 << 20
	// MaxData is how many bytes all messages of a receipt may have together.
	MaxData = 64 << 20
	// maxID is the length of the longest id by which a receipt can be
	// requested, in bytes.
	maxID = 4096
)

// Kind says what a receipt proves.
type Kind string

// The kinds.
const (
	OfEvent  Kind = "event"  // a usage event, its outcome and its charge
	OfRecord Kind = "record" // a record of the journal
	OfPayout Kind = "payout" // a planned payout and the share that it pays
)

// Receipt is the file. The kind decides which optional members it has.
type Receipt struct {
	Format string      `json:"format"`
	Kind   Kind        `json:"kind"`
	ID     string      `json:"id"` // the id by which it was requested, at most 4096 bytes: stated, not proved
	Logs   []Log       `json:"logs"`
	Hashes []tlog.Hash `json:"hashes"` // of all paths
	// Handovers are the signed notes that lead from the installation's first
	// key to the key that signed the logs, the first one first; there are none
	// if it is the first key.
	Handovers []string `json:"handovers,omitempty"`
	// Trees are earlier states of logs, whose roots are in what is proved: at
	// most one for each log. The messages in a tree are proved in it, and the
	// tree in the checkpoint.
	Trees []Tree `json:"trees,omitempty"`

	Event  *Event  `json:"event,omitempty"`
	Record *Record `json:"record,omitempty"`
	Payout *Payout `json:"payout,omitempty"`

	// Messages of CONTROL, REGISTER, LEDGER and PAYOUT, from which the rest
	// follows, ascending by log and position.
	Messages []Message `json:"messages,omitempty"`
	// Data is the data of all messages, one after the other, as one DEFLATE
	// stream (RFC 1951), because decisions are similar.
	Data []byte `json:"data,omitempty"`
}

// Log is one log as it was signed.
type Log struct {
	Name       string `json:"name"`       // of the stream, in lower case
	Checkpoint string `json:"checkpoint"` // a signed note: C2SP tlog-checkpoint
}

// Tree is an earlier state of a log, on which something rests.
type Tree struct {
	Log  string    `json:"log"`
	Size uint64    `json:"size"`
	Root tlog.Hash `json:"root"`
	Path Path      `json:"path"` // proof that the checkpoint's tree begins with this one
}

// Path is indexes into the hashes of a receipt.
type Path []int

// Leaf is a leaf of a usage log. Its index is its position less one.
type Leaf struct {
	Bytes []byte `json:"bytes"`
	Path  Path   `json:"path"`
}

// Event is a usage event. Its leaf and that of its context are made from its
// members by package leaf.
type Event struct {
	// Covered by the context's leaf.
	Provider   events.Provider `json:"provider"`
	Book       events.Book     `json:"book"`
	Source     string          `json:"source"`
	Epoch      uint64          `json:"epoch,omitempty"`
	Meter      events.Meter    `json:"meter"`
	Attributes []Attribute     `json:"attributes,omitempty"`

	// Covered by the event's leaf, with the number of the context.
	Sequence *uint64         `json:"sequence,omitempty"` // if the source numbers its events
	Name     string          `json:"name,omitempty"`     // if the source names its events
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
	Message Leaf   `json:"message"` // the message with that root, and the outcomes of its events
	Runs    []byte `json:"runs,omitempty"`
	// Barrier is the last barrier before the message: decisions up to the
	// position that it names were in effect.
	Barrier *Leaf `json:"barrier,omitempty"`
	// BarrierData is the barrier itself, if it contains the root of CONTROL.
	BarrierData []byte `json:"barrier_data,omitempty"`

	Charge *Charge `json:"charge,omitempty"` // nil if nothing was charged
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
	// Posted is the name of the journal row whose sum contains the charge:
	// stated, not proved. It is only checked that the settler of the event's
	// partition can have a row with this name.
	Posted string `json:"posted,omitempty"`
}

// Record is the journal record of the receipt's one message.
type Record struct {
	// Row is the record's name in its writer's journal. It is checked that this
	// writer can have a row with this name; its number is stated, not proved.
	Row string `json:"row"`
}

// Payout is a planned payout. A payout of a payout run has no units and no
// share; the messages of its receipt are the declaration of the run, the result
// of the run, the record that posts the payout, and the plan. The messages for
// a payout of a distribution are the declaration and the result of the
// distribution, the record that posts the share, the plan, and movements of the
// register.
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
	// Revenue is what the journal has handed over to the token since the
	// previous distribution, if that is short enough to be shown.
	Revenue *Revenue `json:"revenue,omitempty"`
}

// Revenue is a section of LEDGER. The receipt has every message of it, and the
// cards and rounds of quotes that its charges name.
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
	// and supply are proved, and the division among all holders is computed
	// again.
	WholeRegister RegisterExtent = "whole"
	// OwnMovements are the messages that name the holder; that there are no
	// others is only stated.
	OwnMovements RegisterExtent = "own"
	// NoRegister is the extent for a payout run, which divides nothing.
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

// Marshal returns the file, without white space except for a final newline.
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
