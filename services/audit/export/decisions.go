package export

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

func decisionColumns() []Column {
	return []Column{
		{"kind", Text, false}, // such as card_declared; "movements" for a register
		{"id", Text, true},
		{"actor", Text, true},
		{"approver", Text, true},
		{"at", Instant, true}, // as stated by the recorder
		{"recorded", Instant, false},
		{"subject", Text, true}, // what it is about
		{"book", Text, true},
		{"effect", Text, false}, // applied, unchanged, repeated, void
		{"reason", Text, true},  // if void
		{"body", Text, true},    // JSON; for movements, how many of each kind
	}
}

// decisions lists what people decided: first CONTROL and then REGISTER, in order.
func (r *run) decisions() error {
	if err := r.decided(r.decision); err != nil {
		return err
	}
	return r.read(r.register, 1, r.register.size, r.movements)
}

func (r *run) decision(d decided) error {
	if d.broken != nil {
		if r.Book != "" {
			return nil
		}
		return r.emit(r.control, d.m.Seq, text("unreadable"), cell{}, cell{}, cell{}, cell{}, moment(d.m.Time), cell{}, cell{}, text(voided), text(d.reason), cell{})
	}
	body, err := events.AppendBody(nil, d.Body)
	if err != nil {
		return err
	}
	subject, book, err := about(body, r.directory)
	if err != nil {
		return err
	}
	if r.Book != "" && book != r.Book {
		return nil
	}
	if d.effect == applied && r.Void != nil {
		if d.reason, err = r.Void(r.ctx, d.m.Seq); err != nil {
			return err
		}
		if d.reason != "" {
			d.effect = voided
		}
	}
	return r.emit(r.control, d.m.Seq, text(d.Body.Kind()), text(d.ID), named(d.Actor), named(d.Approver), moment(d.At), moment(d.m.Time),
		named(subject), named(book), text(d.effect), named(d.reason), text(string(body)))
}

// about finds the subject of a decision and its book from the members of its
// body.
func about(body []byte, d *directory.Directory) (subject string, book events.Book, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return "", "", fmt.Errorf("reading the body of a decision: %w", err)
	}
	member := func(name string) (value string) {
		_ = json.Unmarshal(members[name], &value) // A member that is not a text is not a name.
		return value
	}
	for _, name := range []string{"payout", "batch", "distribution", "run", "card", "node", "meter", "key", "list", "pair", "customer", "token", "period", "book", "provider"} {
		if subject = member(name); subject != "" {
			break
		}
	}
	if book = events.Book(member("book")); book != "" {
		return subject, book, nil
	}
	token := events.Token(member("token"))
	distribution := member("distribution")
	if batch, ok := d.Batch(member("batch")); ok && distribution == "" {
		distribution = batch.Distribution
	}
	if of, ok := d.PaidFor(distribution); ok {
		token = of
	}
	declared, _ := d.Token(token)
	return subject, declared.Book, nil
}

func (r *run) movements(m *message) error {
	moved, err := events.DecodeMovements(m.Data)
	if err != nil {
		if r.Book != "" {
			return nil
		}
		return r.emit(r.register, m.Seq, text("unreadable"), cell{}, cell{}, cell{}, cell{}, moment(m.Time), cell{}, cell{}, text(voided), text(err.Error()), cell{})
	}
	token, _ := r.directory.Token(moved.Token)
	if r.Book != "" && token.Book != r.Book {
		return nil
	}
	kinds := map[events.MovementKind]int{}
	for i := range moved.Movements {
		kinds[moved.Movements[i].Kind]++
	}
	body := []byte{'{'}
	for i, kind := range slices.Sorted(maps.Keys(kinds)) {
		body = fmt.Appendf(comma(body, i), "%q:%d", kind.String(), kinds[kind])
	}
	return r.emit(r.register, m.Seq, text("movements"), text(moved.ID), named(moved.Actor), named(moved.Approver), moment(moved.At), moment(m.Time),
		text(moved.Token), named(token.Book), text(applied), cell{}, text(string(append(body, '}'))))
}
