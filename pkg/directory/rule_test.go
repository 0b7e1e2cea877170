package directory

import (
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Fails when a kind of decision has no rule here, or one of another sort than the
// table of kinds says: what stands can be compared with what is in force.
func TestEveryKindHasARule(t *testing.T) {
	kinds := events.Kinds()
	for _, k := range kinds {
		r, ok := rules[k.Name]
		if !ok || r.effect == nil {
			t.Errorf("%s has no effect", k.Name)
		}
		if (r.current != nil) != k.Standing {
			t.Errorf("%s stands: %v, and what it would replace is known: %v", k.Name, k.Standing, r.current != nil)
		}
	}
	if len(rules) != len(kinds) {
		t.Errorf("%d rules for %d kinds", len(rules), len(kinds))
	}
}
