package check_test

import (
	"testing"

	"github.com/aliquot-engine/aliquot/services/audit/audittest"
	"github.com/aliquot-engine/aliquot/services/audit/check"
)

func failing(t *testing.T, w *audittest.World) map[string]string {
	t.Helper()
	list, err := check.Run(t.Context(), w.DB, w.Usage, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 19 {
		t.Errorf("%d checks", len(list))
	}
	found := map[string]string{}
	for _, c := range list {
		if !c.OK {
			found[c.Name] = c.Detail
		}
		if c.OK != (c.Detail == "") {
			t.Errorf("%s: ok %v with %q", c.Name, c.OK, c.Detail)
		}
	}
	if check.All(list) != (len(found) == 0) {
		t.Error("All says otherwise")
	}
	return found
}

func TestAWorldAsItIsHasNothingWrong(t *testing.T) {
	for name, detail := range failing(t, audittest.Story(t)) {
		t.Errorf("%s: %s", name, detail)
	}
}

func TestAnEmptyStoreHasNothingWrong(t *testing.T) {
	for name, detail := range failing(t, audittest.New(t)) {
		t.Errorf("%s: %s", name, detail)
	}
}
