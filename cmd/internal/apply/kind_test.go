package apply

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Every decision that stands can be declared by a file: it has a name, a document
// that declares it and is described in the format, and is written as such a one.
// Nothing that is done and does not stand has one. Fails when an entry or a part
// of it is left out.
func TestEveryKindThatStandsIsDeclaredByADocument(t *testing.T) {
	format, err := os.ReadFile("../../../docs/book-format.md")
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]bool{}
	for _, d := range documents {
		declared[d.declares] = true
		if !strings.Contains(string(format), "**"+d.name+"**") {
			t.Errorf("docs/book-format.md does not describe documents of kind %s", d.name)
		}
		if d.read == nil || reader(d.name) == nil {
			t.Errorf("nothing reads documents of kind %s", d.name)
		}
		if k, ok := events.KindOf(d.declares); !ok || !k.Standing {
			t.Errorf("%s declares %q, which is not a declaration that stands", d.name, d.declares)
		}
	}
	count := 0
	for _, k := range events.Kinds() {
		entry, ok := kinds[k.Name]
		if ok != k.Standing || declared[k.Name] != k.Standing {
			t.Errorf("%s stands: %v, has an entry: %v, and a document: %v", k.Name, k.Standing, ok, declared[k.Name])
		}
		if !ok {
			continue
		}
		count++
		body, err := events.DecodeBody(k.Name, []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if Identity(body) == k.Name || entry.identity(body) == "" {
			t.Errorf("%s has no identity", k.Name)
		}
		if key, ok := body.(events.KeyIssued); ok {
			key.NKey, key.Scope = "U", "provider"
			body = key
		}
		document, err := entry.format(body)
		if err != nil {
			t.Errorf("%s: %v", k.Name, err)
			continue
		}
		if name := kindIn(document); reader(name) == nil {
			t.Errorf("%s is written as a document of kind %q, which nothing reads", k.Name, name)
		}
	}
	if count != len(kinds) {
		t.Errorf("%d entries, of which %d are of a kind that there is", len(kinds), count)
	}
}

// docs/control.md lists every kind of decision. Fails when one is left out, or when
// its words or its document are others by now.
func TestControlIsDescribedAsItIs(t *testing.T) {
	text, err := os.ReadFile("../../../docs/control.md")
	if err != nil {
		t.Fatal(err)
	}
	table := "| kind | what was decided | declared by a document of kind |\n|---|---|---|\n"
	for _, k := range events.Kinds() {
		var by []string
		for _, d := range documents {
			if d.declares == k.Name {
				by = append(by, "`"+d.name+"`")
			}
		}
		table += strings.TrimRight(fmt.Sprintf("| `%s` | %s | %s", k.Name, k.Words, strings.Join(by, ", ")), " ") + " |\n"
	}
	if !strings.Contains(string(text), table) {
		t.Errorf("docs/control.md should have this table:\n%s", table)
	}
}

// kindIn returns the kind of a document that format has made.
func kindIn(document any) string {
	if t, ok := document.(texts); ok {
		return t["kind"].(string)
	}
	return reflect.ValueOf(document).Elem().FieldByName("Kind").String()
}
