package telemetry

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// export runs the binary through a day in which everything happens, as a user
// would, and returns the names that it then exports, each with its labels. The
// binary is that of ALIQUOT_BINARY, or is built here.
func export(t *testing.T) map[string][]string {
	t.Helper()
	dir := t.TempDir()
	binary := os.Getenv("ALIQUOT_BINARY")
	if binary == "" {
		binary = filepath.Join(dir, "aliquot")
		build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/aliquot")
		build.Dir = filepath.Join("..", "..")
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building the binary: %v\n%s", err, out)
		}
	}
	r := start(t, binary, filepath.Join(dir, "data"))
	r.live()
	names := map[string][]string{}
	// The last message is signed soon afterwards.
	deadline := time.Now().Add(time.Minute)
	for {
		clear(names)
		r.page(names)
		if _, ok := names["aliquot_settle_quote_age_seconds"]; ok || time.Now().After(deadline) {
			return names
		}
		time.Sleep(100 * time.Millisecond)
	}
}

type running struct {
	t          *testing.T
	url, token string
}

// start starts `aliquot up` and waits until it prints its address.
func start(t *testing.T, binary, data string) *running {
	t.Helper()
	command := exec.Command(binary, "up", "--data", data, "--listen", "127.0.0.1:0")
	command.Env = append(os.Environ(), "OTEL_SDK_DISABLED=", "OTEL_EXPORTER_OTLP_ENDPOINT=")
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		done := make(chan error, 1)
		go func() { done <- command.Wait() }()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("the binary ended with %v", err)
			}
		case <-time.After(time.Minute):
			_ = command.Process.Kill()
			t.Errorf("the binary did not stop: %v", <-done)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	said := regexp.MustCompile(`answers on (\S+), folder`).FindStringSubmatch(line)
	if err != nil || said == nil {
		t.Fatalf("the binary says %q: %v", line, err)
	}
	token, err := os.ReadFile(filepath.Join(data, "operator.token"))
	if err != nil {
		t.Fatal(err)
	}
	return &running{t, said[1], strings.TrimSpace(string(token))}
}

// live does one of everything that is measured.
func (r *running) live() {
	r.post("/v1/apply?file=book.yaml", "application/yaml", read(r.t, filepath.Join("testdata", "book.yaml")), 200)
	r.post("/v1/quotes", "application/json", `{"pair":"USDC/USD","source":"desk","rounds":[{"round":"1","time":"2026-03-01T00:00:00Z","rate":"1"}]}`, 200)
	event := func(sequence int, end, quantity string) string {
		return fmt.Sprintf(`{"specversion":"1.0","type":"aliquot.usage","source":"/test","id":"%d","sequence":"%d","time":%q,`+
			`"data":{"node":"n1","customer":"c1","meter":"gpu.seconds","quantity":%q}}`, sequence, sequence, end, quantity)
	}
	batch := []string{
		event(1, "2026-03-01T01:00:00Z", "3600"), event(2, "2026-03-01T02:00:00Z", "3600"),
		event(2, "2026-03-01T02:00:00Z", "3600"), event(3, "2026-03-01T03:00:00Z", "-1"),
		event(4, "2026-03-09T00:00:00Z", "60"), // no quote is fresh
	}
	r.post("/v1/events?wait=30", "application/cloudevents-batch+json", "["+strings.Join(batch, ",")+"]", 200)
	r.post("/v1/events", "application/cloudevents-batch+json", "[", 400)
	r.post("/v1/deposits/outstanding", "application/json", `{"book":"eu","reference":"r1"}`, 200)
	r.post("/v1/periods/close", "application/json", `{"book":"eu","period":"2026-03-01"}`, 200)
	r.post("/v1/registers/T1/import?file=r.csv", "text/csv", "holder,units\na,1\nb,2\n", 200)
	r.post("/v1/distributions", "application/json", `{"token":"T1","period":"2026-03-01"}`, 200)
	r.post("/v1/payouts/export", "application/json", `{"distribution":"T1:2026-03-01"}`, 200)
}

func (r *running) post(path, media, body string, want int) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+r.token)
	request.Header.Set("Aliquot-Provider", "acme")
	request.Header.Set("Content-Type", media)
	client := http.Client{Timeout: time.Minute}
	response, err := client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != want {
		text, _ := io.ReadAll(response.Body)
		r.t.Fatalf("POST %s: %s, want %d\n%s", path, response.Status, want, text)
	}
}

// page reads the names and labels of the page as Prometheus would.
func (r *running) page(names map[string][]string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/metrics", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+r.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		r.t.Fatalf("the page: %s: %v", response.Status, err)
	}
	for name, family := range families {
		var have []string
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if !slices.Contains(have, l.GetName()) {
					have = append(have, l.GetName())
				}
			}
		}
		if family.GetMetric()[0].GetHistogram() == nil {
			names[name] = have
			continue
		}
		names[name+"_bucket"] = append(have, "le")
		names[name+"_sum"], names[name+"_count"] = have, have
	}
}
