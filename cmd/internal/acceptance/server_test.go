package acceptance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// provider and book are what the tests of this package declare.
const (
	provider   = "acme"
	book       = "acme-eu"
	batched    = "application/cloudevents-batch+json"
	packedForm = "application/vnd.aliquot.packed"
)

// startPatience is how long aliquot up may take until it answers. It is long,
// since a busy machine is not a failure.
const startPatience = 5 * time.Minute

// server is a running aliquot up.
type server struct {
	t     testing.TB
	dir   string
	url   string
	token string
	// process is aliquot itself; the command may be a wrapper around it.
	process *os.Process
	command *exec.Cmd
	ended   chan struct{} // closed when the command has ended
	log     *journal
	client  *http.Client
}

// journal keeps what a process says, for when a test fails.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) all() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) String() string { return tail(j.all()) }

// launch starts aliquot up and does not wait until it answers. A wrapper, such
// as strace, runs it as its own child.
func launch(t testing.TB, dir string, wrapper []string, arguments ...string) (s *server, answers <-chan string) {
	t.Helper()
	c := command(context.Background(), t, append([]string{"up", "--data", dir, "--listen", "127.0.0.1:0"}, arguments...)...)
	if len(wrapper) > 0 {
		path, err := exec.LookPath(wrapper[0])
		if err != nil {
			t.Fatal(err)
		}
		c.Path, c.Args = path, append(append([]string{}, wrapper...), c.Args...)
	}
	s = &server{
		t: t, dir: dir, command: c, ended: make(chan struct{}), log: new(journal),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: startPatience},
	}
	c.Stderr = s.log
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout = write
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	s.process = c.Process
	said := make(chan string, 1)
	go func() {
		defer close(said)
		lines := bufio.NewScanner(read)
		for lines.Scan() {
			if _, rest, ok := strings.Cut(lines.Text(), "aliquot answers on "); ok {
				url, _, _ := strings.Cut(rest, ",")
				said <- url
			}
		}
	}()
	go func() {
		_ = c.Wait() // How it ended is what the tests ask ProcessState.
		_ = read.Close()
		close(s.ended)
	}()
	t.Cleanup(s.end)
	return s, said
}

// up starts aliquot up and returns when it answers.
func up(t testing.TB, dir string, arguments ...string) *server {
	t.Helper()
	s, answers := launch(t, dir, nil, arguments...)
	s.await(answers)
	return s
}

func (s *server) await(answers <-chan string) {
	s.t.Helper()
	select {
	case url, ok := <-answers:
		if !ok {
			<-s.ended
			s.t.Fatalf("aliquot up ended: %s\n%s", s.command.ProcessState, s.log)
		}
		s.url = url
	case <-time.After(startPatience):
		s.t.Fatalf("aliquot up does not answer after %s\n%s", startPatience, s.log)
	}
	secret, err := os.ReadFile(filepath.Join(s.dir, "operator.token"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.token = strings.TrimSpace(string(secret))
	var running struct {
		PID int `json:"pid"`
	}
	data, err := os.ReadFile(filepath.Join(s.dir, "running.json"))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := json.Unmarshal(data, &running); err != nil {
		s.t.Fatal(err)
	}
	if s.process, err = os.FindProcess(running.PID); err != nil {
		s.t.Fatal(err)
	}
}

// kill ends the process as kill -9 does; nothing is left to run afterwards.
func (s *server) kill() {
	select {
	case <-s.ended:
		return
	default:
	}
	_ = s.process.Kill()
	select {
	case <-s.ended:
	case <-time.After(10 * time.Second):
		_ = s.command.Process.Kill() // the wrapper
		<-s.ended
	}
	s.client.CloseIdleConnections()
}

// end kills what still runs when the test is over. After a failure it is asked
// for its goroutines first: what it waited for may be what failed.
func (s *server) end() {
	select {
	case <-s.ended:
		return
	default:
	}
	if s.t.Failed() {
		_ = s.process.Signal(syscall.SIGQUIT)
		select {
		case <-s.ended:
		case <-time.After(10 * time.Second):
		}
		s.t.Log("the server was running still", kept(s.t, s.log.all()))
	}
	s.kill()
}

// stop ends the process in order and asserts that it does.
func (s *server) stop() {
	s.t.Helper()
	if err := s.process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.ended:
	case <-time.After(startPatience):
		s.t.Fatalf("aliquot up does not stop\n%s", s.log)
	}
	if code := s.command.ProcessState.ExitCode(); code != 0 {
		s.t.Fatalf("aliquot up stopped with exit %d\n%s", code, s.log)
	}
	s.client.CloseIdleConnections()
}

// request is one question to the API.
type request struct {
	method, path, kind string
	body               []byte
	header             http.Header
	token              string // the operator's where empty
}

// do asks and returns the answer whatever it is; an error means that none came.
func (s *server) do(r request) (status int, answer []byte, err error) {
	asked, err := http.NewRequest(r.method, s.url+r.path, bytes.NewReader(r.body))
	if err != nil {
		return 0, nil, err
	}
	for name, values := range r.header {
		asked.Header[name] = values
	}
	if r.token == "" {
		r.token = s.token
	}
	asked.Header.Set("Authorization", "Bearer "+r.token)
	if asked.Header.Get("Aliquot-Provider") == "" {
		asked.Header.Set("Aliquot-Provider", provider)
	}
	if r.kind != "" {
		asked.Header.Set("Content-Type", r.kind)
	}
	response, err := s.client.Do(asked)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// ask asks, wants an answer below 300 and decodes it.
func (s *server) ask(method, path, kind, body string, out any) {
	s.t.Helper()
	status, answer, err := s.do(request{method: method, path: path, kind: kind, body: []byte(body)})
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", method, path, err, s.log)
	}
	if status >= 300 {
		s.t.Fatalf("%s %s: %d\n%s", method, path, status, answer)
	}
	if out == nil {
		return
	}
	d := json.NewDecoder(bytes.NewReader(answer))
	d.UseNumber()
	if err := d.Decode(out); err != nil {
		s.t.Fatalf("%s %s: %v\n%s", method, path, err, answer)
	}
}

// handle is where accepted events are.
type handle struct {
	Partition, First, Count int
	Position                uint64
}

// accepted is the answer to a submission.
type accepted struct {
	Accepted, Refused int
	Handle            []handle
	Refusals          []struct {
		Index, Line       int
		ID, Field, Reason string
		Detail            string
	}
	Outcomes *outcomes
}

type outcomes struct {
	Settled                            bool
	Accepted, Late, Duplicate, Refused int
}

// errNotAccepted means that an answer came and was not 202.
var errNotAccepted = errors.New("not accepted")

// send submits usage.
func (s *server) send(kind string, body []byte) (accepted, error) {
	status, answer, err := s.do(request{method: "POST", path: "/v1/events", kind: kind, body: body})
	if err != nil {
		return accepted{}, err
	}
	if status != http.StatusAccepted {
		return accepted{}, fmt.Errorf("%w: %d %s", errNotAccepted, status, answer)
	}
	var a accepted
	return a, json.Unmarshal(answer, &a)
}

// settled waits until everything accepted is settled.
func (s *server) settled() {
	s.t.Helper()
	s.ask("POST", "/v1/settled", "", "", nil)
}

// balance is what an account holds.
type balance struct{ Account, Asset, Debit, Credit, Net string }

// balances lists accounts by name.
func (s *server) balances() map[string]balance {
	s.t.Helper()
	var all []balance
	s.ask("GET", "/v1/balances", "", "", &all)
	found := make(map[string]balance, len(all))
	for _, b := range all {
		found[b.Account] = b
	}
	return found
}

// tally counts events of a node by outcome.
type tally struct {
	Node, Period, Reason string
	Outcome              int
	Events               int
}

func (s *server) tallies() []tally {
	s.t.Helper()
	var all []tally
	s.ask("GET", "/v1/tallies?book="+book, "", "", &all)
	return all
}

// declare applies YAML and wants all of it to take effect.
func (s *server) declare(yaml string) {
	s.t.Helper()
	var done struct {
		Void []any
	}
	s.ask("POST", "/v1/apply?file=test.yaml", "application/yaml", yaml, &done)
	if len(done.Void) > 0 {
		s.t.Fatalf("void: %v", done.Void)
	}
}

// clean asserts that check finds nothing, and replay neither where asked.
func (s *server) clean(replay bool) {
	s.t.Helper()
	aliquot(s.t, "check", "--data", s.dir, "--json").ok(s.t)
	if replay {
		aliquot(s.t, "replay", "--data", s.dir, "--json").ok(s.t)
	}
}
