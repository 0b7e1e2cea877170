package receipt

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/plain"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// Names of logs: their streams' in lower case.
const (
	controlLog  = "control"
	registerLog = "register"
	ledgerLog   = "ledger"
	payoutLog   = "payout"
	usagePrefix = "usage-"
)

// Verdict is the result of verifying a receipt. Each of its texts is one line
// of printable characters; names of more than one word are quoted.
type Verdict struct {
	Kind Kind `json:"kind,omitempty"` // of what is proved; empty if nothing is
	// ID names what is proved: an event by its source and its sequence or name, a
	// record by its log and position, a payout by the id that follows from its
	// distribution, asset and holder.
	ID     string   `json:"id,omitempty"`
	OK     bool     `json:"ok"`
	Proved []string `json:"proved,omitempty"`
	Stated []string `json:"stated,omitempty"` // stated by the receipt, but not proved
	Signed []Signed `json:"signed,omitempty"`
	Fault  string   `json:"fault,omitempty"` // why the receipt is not verified
}

// Signed is a log whose signature was verified.
type Signed struct {
	Origin    string    `json:"origin"`
	Size      uint64    `json:"size"`
	Root      tlog.Hash `json:"root"`
	By        string    `json:"by"` // name and id of the key, as in signed notes
	Witnesses []string  `json:"witnesses,omitempty"`
}

var (
	errUnknownKind = errors.New("the kind of receipt is unknown")
	errMembers     = errors.New("does not have exactly the members of its kind")
	errWrongLog    = errors.New("not a log that this can be in")
	errNoLog       = errors.New("the receipt has no checkpoint of this log")
	errLogTwice    = errors.New("the receipt has this log twice")
	errUnused      = errors.New("the receipt has a log that it does not use")
	errHashIndex   = errors.New("a path names a hash that does not exist")
	errPathLong    = errors.New("a path is longer than a tree can be high")
	errRoot        = errors.New("its path does not lead to the root")
	errPosition    = errors.New("position 0")
	errOrder       = errors.New("the messages do not ascend by log and position")
	errID          = fmt.Errorf("the requested id has more than %d bytes", maxID)
	errRow         = errors.New("not the name of a row of the journal that this can be in")
)

// Verify verifies a receipt against the public key of its installation's logs.
// Witnesses are further keys, whose valid signatures are reported. The verdict
// is complete even if err says why the receipt is not verified; nothing counts
// as proved then.
func Verify(data []byte, key *tlog.PublicKey, witnesses ...note.Verifier) (Verdict, error) {
	return VerifyBy(data, Trust{Keys: []*tlog.PublicKey{key}, Witnesses: witnesses})
}

// Trust is what a verifier believes.
type Trust struct {
	// Keys are the keys of installations' logs; of each installation, any of
	// its keys. One of them must have signed, or handovers must lead from it to
	// the key that signed.
	Keys []*tlog.PublicKey
	// Policy says which witnesses must have cosigned every checkpoint; nil
	// requires none. Its logs are ignored.
	Policy *tlog.Policy
	// Witnesses are further keys, whose valid signatures are reported.
	Witnesses []note.Verifier
}

// VerifyBy is [Verify] with several keys and a policy.
func VerifyBy(data []byte, trust Trust) (Verdict, error) {
	v := verification{trust: trust, witnesses: trust.Witnesses}
	if trust.Policy != nil {
		v.witnesses = append(trust.Policy.Verifiers(), v.witnesses...)
	}
	err := v.run(data)
	if err != nil {
		err = fmt.Errorf("verifying: %w", err)
		return Verdict{Fault: plain.Text(err.Error())}, err
	}
	v.verdict.OK = true
	return v.verdict, nil
}

// verification is one run of Verify.
type verification struct {
	trust     Trust
	witnesses []note.Verifier
	keys      *tlog.Succession // of the receipt's installation
	receipt   *Receipt
	logs      []opened // as in the receipt
	messages  []shown
	decisions []decided // the messages of CONTROL
	verdict   Verdict
}

type opened struct {
	tlog.Checkpoint
	name string
	tree *Tree // in which messages are proved, if it includes them
	used bool
	// carried means that something proved contains the root of the tree.
	carried bool
}

// shown is a message that was found in its log.
type shown struct {
	*Message
	data []byte
}

type decided struct {
	position uint64
	decision events.Decision
}

func (v *verification) prove(format string, args ...any) {
	v.verdict.Proved = append(v.verdict.Proved, plain.Sentence(format, args...))
}

func (v *verification) state(format string, args ...any) {
	v.verdict.Stated = append(v.verdict.Stated, plain.Sentence(format, args...))
}

// isRow reports whether a writer of the journal can have a row with this name:
// the writer's name and a number.
func isRow(name, writer string) bool {
	digits, ok := strings.CutPrefix(name, writer+"-")
	n, err := strconv.ParseUint(digits, 10, 63)
	return ok && err == nil && n > 0 && strconv.FormatUint(n, 10) == digits
}

// decided adds a decision to what is proved.
func (v *verification) decided(d *decided) {
	by := plain.Sentence("%s", d.decision.Actor)
	if d.decision.Approver != "" {
		by = plain.Sentence("%s, approved by %s", d.decision.Actor, d.decision.Approver)
	}
	what := plain.Phrase(events.PhraseOf(d.decision.Body.Kind()))
	v.prove("%s (control record %d, %q) was decided by %s at %s", what, d.position, d.decision.ID, plain.Phrase(by), stamp(d.decision.At))
}

func (v *verification) run(data []byte) error {
	r, err := Parse(data)
	if err != nil {
		return err
	}
	if len(r.ID) > maxID {
		return errID
	}
	v.receipt = r
	if err := v.open(); err != nil {
		return err
	}
	if err := v.find(); err != nil {
		return err
	}
	if v.trust.Policy != nil {
		v.prove("every checkpoint is cosigned as the policy requires")
	}
	for _, h := range v.keys.Handovers() {
		v.prove("the logs were handed over by %s to %s at %s, decided by %s", h.Old.Name(), h.New.Name(), stamp(h.At), h.Actor)
	}
	members := 0
	for _, there := range []bool{r.Event != nil, r.Record != nil, r.Payout != nil} {
		if there {
			members++
		}
	}
	switch {
	case members != 1:
		return errMembers
	case r.Kind == OfEvent && r.Event != nil:
		err = v.event(r.Event)
	case r.Kind == OfRecord && r.Record != nil:
		err = v.record(r.Record)
	case r.Kind == OfPayout && r.Payout != nil:
		err = v.payout(r.Payout)
	case r.Kind != OfEvent && r.Kind != OfRecord && r.Kind != OfPayout:
		return fmt.Errorf("%.40q: %w", string(r.Kind), errUnknownKind)
	default:
		return errMembers
	}
	if err != nil {
		return err
	}
	for _, l := range v.logs {
		if !l.used {
			return fmt.Errorf("%s: %w", l.name, errUnused)
		}
		if l.tree != nil && !l.carried {
			return fmt.Errorf("%s: %w", l.name, errNotCarried)
		}
	}
	v.verdict.Kind = r.Kind
	v.state("that it was requested as %q", r.ID)
	return nil
}

func (v *verification) path(indexes Path) ([]tlog.Hash, error) {
	if len(indexes) > 64 {
		return nil, errPathLong
	}
	path := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		if at < 0 || at >= len(v.receipt.Hashes) {
			return nil, errHashIndex
		}
		path[i] = v.receipt.Hashes[at]
	}
	return path, nil
}

func (v *verification) usageLeaf(log string, l *Leaf) (tlog.UsageLeaf, error) {
	leaf, err := tlog.DecodeUsageLeaf(l.Bytes)
	if err != nil {
		return leaf, err
	}
	return leaf, v.includes(log, leaf.Position, tlog.LeafHash(l.Bytes), l.Path)
}

// find verifies that every message is in its log, and decodes decisions.
func (v *verification) find() error {
	list, err := v.receipt.split()
	if err != nil {
		return err
	}
	for i := range v.receipt.Messages {
		m := &v.receipt.Messages[i]
		if i > 0 {
			if before := &v.receipt.Messages[i-1]; before.Log > m.Log || before.Log == m.Log && before.Position >= m.Position {
				return errOrder
			}
		}
		if !slices.Contains([]string{controlLog, registerLog, ledgerLog, payoutLog}, m.Log) {
			return fmt.Errorf("%.80q: %w", m.Log, errWrongLog)
		}
		data := list[i]
		if err := v.includes(m.Log, m.Position, m.leaf(data), m.Path); err != nil {
			return err
		}
		v.messages = append(v.messages, shown{m, data})
		if m.Log != controlLog {
			continue
		}
		d, err := events.DecodeDecision(data)
		if err != nil {
			return fmt.Errorf("CONTROL %d: %w", m.Position, err)
		}
		v.decisions = append(v.decisions, decided{m.Position, d})
	}
	return nil
}

// of returns the messages of one log.
func (v *verification) of(log string) []shown {
	var list []shown
	for _, m := range v.messages {
		if m.Log == log {
			list = append(list, m)
		}
	}
	return list
}

// String returns the verdict as text.
func (v *Verdict) String() string {
	var text strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) }
	if !v.OK {
		line("NOT VERIFIED: %s", v.Fault)
		return text.String()
	}
	line("verified: receipt of %s %s", v.Kind, v.ID)
	line("proved:")
	for _, p := range v.Proved {
		line("  ✓ %s", p)
	}
	if len(v.Stated) > 0 {
		line("stated, not proved:")
		for _, s := range v.Stated {
			line("  · %s", s)
		}
	}
	line("signed:")
	for _, s := range v.Signed {
		line("  %s, %d leaves, root %s, by %s", s.Origin, s.Size, s.Root, s.By)
		for _, w := range s.Witnesses {
			line("    witnessed by %s", w)
		}
	}
	return text.String()
}
