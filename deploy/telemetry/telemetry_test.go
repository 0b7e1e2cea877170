// The files in this folder are only right if they match what the binary exports:
// these tests run the binary and compare. They are a module of their own, so that
// Prometheus, which parses and evaluates here, is not part of the product's
// build.
package telemetry

import (
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

const (
	alertsFile    = "alerts.yaml"
	dashboardFile = "dashboard.json"
	runbookFile   = "../../docs/telemetry.md"
)

// expression is one that Prometheus evaluates, and where it is written.
type expression struct{ where, text string }

func TestEveryNameIsExported(t *testing.T) {
	exported := export(t)
	var used []string
	for _, e := range append(alertExpressions(t), dashboardExpressions(t)...) {
		for _, selector := range selectors(t, e) {
			name := nameOf(selector)
			used = append(used, name)
			have, ok := exported[name]
			if !ok {
				t.Errorf("%s: the binary exports no %s", e.where, name)
				continue
			}
			for _, m := range selector.LabelMatchers {
				if m.Name == labels.MetricName || m.Name == "job" || m.Name == "instance" { // Prometheus' own
					continue
				}
				if !slices.Contains(have, m.Name) {
					t.Errorf("%s: %s has no label %s, only %v", e.where, name, m.Name, have)
				}
			}
		}
	}
	// A metric that is exported but shown nowhere is not wrong, but was
	// forgotten.
	for name := range exported {
		base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
		shown := slices.ContainsFunc(used, func(u string) bool { return strings.HasPrefix(u, base) })
		if strings.HasPrefix(name, "aliquot_") && !shown {
			t.Errorf("%s is exported, and in no rule and no panel", name)
		}
	}
	var documented []string
	runbook := read(t, runbookFile)
	for _, name := range regexp.MustCompile(`aliquot\.[a-z._]+[a-z]`).FindAllString(runbook, -1) {
		documented = append(documented, strings.ReplaceAll(name, ".", "_"))
	}
	for _, name := range documented {
		if !slices.ContainsFunc(keys(exported), func(have string) bool { return strings.HasPrefix(have, name) }) {
			t.Errorf("%s names %s, which the binary does not export", runbookFile, name)
		}
	}
	for _, name := range keys(exported) {
		if strings.HasPrefix(name, "aliquot_") && !slices.ContainsFunc(documented, func(d string) bool { return strings.HasPrefix(name, d) }) {
			t.Errorf("%s does not say what %s is", runbookFile, name)
		}
	}
}

func TestEveryAlertHasItsChapter(t *testing.T) {
	runbook := read(t, runbookFile)
	groups := rules(t)
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s has no summary or no description", r.Alert)
			}
			if severity := r.Labels["severity"]; severity != "page" && severity != "ticket" {
				t.Errorf("%s: severity %q is neither page nor ticket", r.Alert, severity)
			}
			_, anchor, found := strings.Cut(r.Annotations["runbook_url"], "docs/telemetry.md#")
			if !found || anchor != strings.ToLower(r.Alert) {
				t.Errorf("%s: its runbook is %q", r.Alert, r.Annotations["runbook_url"])
			}
			if !strings.Contains(runbook, "\n### "+r.Alert+"\n") {
				t.Errorf("%s has no chapter of %s", r.Alert, runbookFile)
			}
		}
	}
	for _, heading := range regexp.MustCompile(`(?m)^### (Aliquot\w+)$`).FindAllStringSubmatch(runbook, -1) {
		if !slices.ContainsFunc(groups.Groups, func(g rulefmt.RuleGroup) bool {
			return slices.ContainsFunc(g.Rules, func(r rulefmt.Rule) bool { return r.Alert == heading[1] })
		}) {
			t.Errorf("%s explains %s, which is no alert", runbookFile, heading[1])
		}
	}
}

func rules(t *testing.T) *rulefmt.RuleGroups {
	t.Helper()
	groups, problems := rulefmt.Parse([]byte(read(t, alertsFile)), false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, problem := range problems {
		t.Error(problem)
	}
	if groups == nil || len(groups.Groups) == 0 {
		t.Fatalf("%s has no rules", alertsFile)
	}
	return groups
}

func alertExpressions(t *testing.T) (list []expression) {
	t.Helper()
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			list = append(list, expression{r.Alert, r.Expr})
		}
	}
	return list
}

// dashboardExpressions also returns the expressions of the variables.
func dashboardExpressions(t *testing.T) (list []expression) {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string `json:"title"`
			Type    string `json:"type"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
		Templating struct {
			List []struct {
				Name, Definition string
			} `json:"list"`
		} `json:"templating"`
	}
	if err := json.Unmarshal([]byte(read(t, dashboardFile)), &dashboard); err != nil {
		t.Fatalf("%s: %v", dashboardFile, err)
	}
	for _, p := range dashboard.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			list = append(list, expression{"panel " + p.Title, target.Expr})
		}
	}
	for _, v := range dashboard.Templating.List {
		if values, found := strings.CutPrefix(v.Definition, "label_values("); found {
			name, _, _ := strings.Cut(values, ",")
			list = append(list, expression{"variable " + v.Name, name})
		}
	}
	if len(list) == 0 {
		t.Fatalf("%s has no expression", dashboardFile)
	}
	return list
}

// macros are what Grafana replaces in an expression before it sends the query.
var macros = strings.NewReplacer("$__rate_interval", "5m", "$job", ".*")

func selectors(t *testing.T, e expression) (list []*parser.VectorSelector) {
	t.Helper()
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(macros.Replace(e.text))
	if err != nil {
		t.Errorf("%s: %v", e.where, err)
		return nil
	}
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok {
			list = append(list, selector)
		}
		return nil
	})
	if len(list) == 0 {
		t.Errorf("%s: %q asks for no metric", e.where, e.text)
	}
	return list
}

func nameOf(selector *parser.VectorSelector) string {
	if selector.Name != "" {
		return selector.Name
	}
	for _, m := range selector.LabelMatchers {
		if m.Name == labels.MetricName && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return selector.String()
}

func read(t *testing.T, name string) string {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func keys(m map[string][]string) (list []string) {
	for name := range m {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}
