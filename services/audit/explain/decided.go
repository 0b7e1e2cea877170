package explain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// mostShown is how many bytes of one member of a decision are shown.
const mostShown = 240

// decisionOf explains the decisions that share an id: the first one that had an
// effect, or otherwise the last one, with the others below it.
func (e *explainer) decisionOf(positions []uint64) (Node, error) {
	shown := positions[len(positions)-1]
	for _, position := range positions {
		reason, _, err := e.voidReason(position)
		if err != nil {
			return Node{}, err
		}
		if reason == "" {
			shown = position
			break
		}
	}
	n, err := e.decision(shown)
	for _, position := range positions {
		if err == nil && position != shown {
			var other Node
			other, err = e.decision(position)
			n.To = append(n.To, other)
		}
	}
	return n, err
}

// decision explains the decision at a position of CONTROL: who decided what,
// when and why, and whether it has an effect.
func (e *explainer) decision(position uint64) (Node, error) {
	n := Node{Kind: "decision", ID: fmt.Sprintf("control:%d", position)}
	last, err := e.Control.Last(e.ctx)
	if err != nil {
		return n, err
	}
	if position == 0 || position > last {
		return n, fmt.Errorf("%w: CONTROL ends at %d", ErrUnknown, last)
	}
	m, err := e.Control.Get(e.ctx, position)
	if err != nil {
		return n, err
	}
	decision, err := events.DecodeDecision(m.Data)
	if err != nil {
		n.Summary = fmt.Sprintf("Decision %d cannot be read: %v", position, err)
		return n, nil
	}
	who := decided{position, decision.Body.Kind(), decision.Actor, decision.Approver, decision.At}
	n.Summary = summary(&who)
	n.fact("kind", who.kind)
	n.fact("id", decision.ID)
	body, err := events.AppendBody(nil, decision.Body)
	if err != nil {
		return n, err
	}
	if err := n.members(body); err != nil {
		return n, err
	}
	reason, where, err := e.voidReason(position)
	switch {
	case err != nil:
		return n, err
	case reason == directory.ErrRepeat.Error():
		n.fact("effect", "none: "+reason)
	case reason != "":
		n.fact("effect", fmt.Sprintf("void %s: %s", where, reason))
	default:
		n.fact("effect", "in effect")
	}
	return n, nil
}

// members adds every member of a JSON object as a fact, in its order.
func (n *Node) members(object []byte) error {
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		text := string(value)
		if len(text) > mostShown {
			text = strings.ToValidUTF8(text[:mostShown], "") + fmt.Sprintf("… (%d bytes)", len(value))
		}
		n.fact(fmt.Sprint(name), text)
	}
	return nil
}

// voidReason returns why a decision has no effect, and where that was found;
// the reason is empty if it has one.
func (e *explainer) voidReason(position uint64) (reason, where string, err error) {
	w, err := e.fold(position)
	if err != nil {
		return "", "", err
	}
	if voids := w.directory.Voids(); len(voids) > 0 && voids[len(voids)-1].Position == position {
		return voids[len(voids)-1].Reason, "at its position in CONTROL", nil
	}
	for partition := range e.Usage {
		if reason, ok, err := e.snapshot.VoidReason(partition, position); err != nil || ok {
			return reason, fmt.Sprintf("in settlement, partition %d", partition), err
		}
	}
	list, err := e.snapshot.DistributeVoids()
	if err != nil {
		return "", "", err
	}
	for _, v := range list {
		if v.Control == position {
			where = "in distribution"
			if v.Partly {
				where = "in part, in distribution"
			}
			return v.Reason, where, nil
		}
	}
	return "", "", nil
}
