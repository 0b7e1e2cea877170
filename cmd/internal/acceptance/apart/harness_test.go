// Package apart has no code: its tests run the services as processes of their
// own, with the built binary, on a JetStream cluster of three servers and on
// PostgreSQL, and see them survive what operators meet.
package apart

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
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

	"github.com/aliquot-engine/aliquot/internal/eventlog/clustertest"
	"github.com/aliquot-engine/aliquot/internal/porttest"
	"github.com/aliquot-engine/aliquot/internal/store/postgrestest"
)

// binaryVariable names the binary to test. Where it is not set, the binary is
// built once for all tests.
const binaryVariable = "ALIQUOT_BINARY"

// patience bounds every wait for what must come.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	clustertest.Main()
	flag.Parse()
	if err := besideEachOther(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code, err := withBinary(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// atOnce is how many tests run beside each other, however few CPUs there are: each
// has a cluster and a database of its own, and they wait most of the time, for
// elections and for standbys.
const atOnce = "4"

// besideEachOther sets -parallel where it is not given.
func besideEachOther() error {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if given {
		return nil
	}
	return flag.Set("test.parallel", atOnce)
}

func withBinary(run func() int) (code int, err error) {
	if os.Getenv(binaryVariable) != "" {
		return run(), nil
	}
	dir, err := os.MkdirTemp("", "aliquot-apart-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary := filepath.Join(dir, "aliquot")
	build := exec.Command("go", "build", "-o", binary, "../../../aliquot")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("building the binary: %w\n%s", err, out)
	}
	if err := os.Setenv(binaryVariable, binary); err != nil {
		return 0, err
	}
	return run(), nil
}

// installation is a cluster, a database and the services on them.
type installation struct {
	t        testing.TB
	cluster  *clustertest.Cluster
	postgres *postgrestest.Server
	database string
	dir      string
	token    string
	url      string // of ingest, the same after each start
	client   *http.Client
}

// install starts a cluster and PostgreSQL, and prepares the database.
func install(t testing.TB) *installation {
	t.Helper()
	i := &installation{
		t: t, dir: t.TempDir(), token: "operator-token-of-the-test",
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: patience},
	}
	i.cluster = clustertest.Launch(t, clustertest.Options{})
	i.postgres = postgrestest.Start(t, "fsync=on", "full_page_writes=on")
	if i.postgres.Foreign() {
		t.Skip("the database of ALIQUOT_TEST_DATABASE is not ours to kill")
	}
	i.database = i.postgres.Database(t)
	if err := os.WriteFile(filepath.Join(i.dir, "operator.token"), []byte(i.token), 0o600); err != nil {
		t.Fatal(err)
	}
	i.url = fmt.Sprintf("http://127.0.0.1:%d", porttest.Free(t))
	i.run("migrate").ok(t)
	i.cluster.WaitReady(t)
	return i
}

// environment is how a service finds everything; more replaces what is there.
func (i *installation) environment(more ...string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ALIQUOT_") {
			env = append(env, v)
		}
	}
	return append(append(env,
		"NATS_URL="+i.cluster.URL(), "NATS_CA_FILE="+i.cluster.CAFile(), "NATS_NKEY_FILE="+i.cluster.NKeyFile(),
		"DATABASE_URL="+i.database, "ALIQUOT_REPLICAS=3", "ALIQUOT_PARTITIONS=0-1", "ALIQUOT_LISTEN=127.0.0.1:0",
		"ALIQUOT_OPERATOR_TOKEN_FILE="+filepath.Join(i.dir, "operator.token"), "ALIQUOT_DIR="+filepath.Join(i.dir, "data"),
	), more...)
}

func (i *installation) command(ctx context.Context, arguments []string, environment ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, os.Getenv(binaryVariable), arguments...)
	c.Dir, c.Env = i.dir, i.environment(environment...)
	return c
}

// said is what a finished command left.
type said struct {
	line string
	code int
	out  string
	err  string
}

// run runs one command to its end.
func (i *installation) run(arguments ...string) said { return i.runWith(nil, arguments...) }

func (i *installation) runWith(environment []string, arguments ...string) said {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	c := i.command(ctx, arguments, environment...)
	var out, complaint bytes.Buffer
	c.Stdout, c.Stderr = &out, &complaint
	err := c.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		i.t.Fatalf("aliquot %s: %v\n%s", strings.Join(arguments, " "), err, tail(complaint.String()))
	}
	return said{strings.Join(arguments, " "), c.ProcessState.ExitCode(), out.String(), complaint.String()}
}

// asks runs a command that is a client of ingest.
func (i *installation) asks(arguments ...string) said { return i.asksAt(i.url, arguments...) }

// asksAt asks any server: the services' variables, which name the ledger itself,
// would then have no effect and are refused.
func (i *installation) asksAt(url string, arguments ...string) said {
	i.t.Helper()
	return i.runWith([]string{"DATABASE_URL=", "ALIQUOT_DIR="}, append([]string{"--url", url, "--bearer", i.token}, arguments...)...)
}

func (s said) ok(t testing.TB) said {
	t.Helper()
	if s.code != 0 {
		t.Fatalf("aliquot %s: exit %d\n%s%s", s.line, s.code, tail(s.out), tail(s.err))
	}
	return s
}

func tail(s string) string { return s[max(0, len(s)-6000):] }

// kept writes a text that is too long for a test's log to a file that outlives the
// test.
func kept(t testing.TB, text string) string {
	t.Helper()
	f, err := os.CreateTemp("", "aliquot-apart-*.txt")
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		return err.Error()
	}
	return "\nall of it: " + f.Name()
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

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// service is one process.
type service struct {
	i         *installation
	arguments []string
	with      []string // environment of its own
	command   *exec.Cmd
	ended     chan struct{}
	log       *journal
	url       string
}

// start starts a service and does not wait until it answers.
func (i *installation) start(role string, arguments ...string) *service {
	i.t.Helper()
	s := &service{i: i, arguments: append([]string{role}, arguments...), log: new(journal)}
	if role == "ingest" {
		s.with = []string{"ALIQUOT_LISTEN=" + strings.TrimPrefix(i.url, "http://")}
	}
	s.start()
	i.t.Cleanup(func() {
		if i.t.Failed() {
			s.goroutines()
		}
		s.kill()
		if i.t.Failed() {
			i.t.Logf("%s said:\n%s%s", strings.Join(s.arguments, " "), tail(s.log.String()), kept(i.t, s.log.String()))
		}
	})
	return s
}

func (s *service) start() <-chan string {
	s.i.t.Helper()
	s.command = s.i.command(context.Background(), s.arguments, s.with...)
	s.command.Stderr = s.log
	s.ended = make(chan struct{})
	out, err := s.command.StdoutPipe()
	if err != nil {
		s.i.t.Fatal(err)
	}
	if err := s.command.Start(); err != nil {
		s.i.t.Fatal(err)
	}
	answers := make(chan string, 1)
	command, ended := s.command, s.ended
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if _, url, ok := strings.Cut(lines.Text(), " answers on "); ok {
				answers <- url
			}
		}
		close(answers)
		_ = command.Wait() // how it ended is asked of ProcessState
		close(ended)
	}()
	return answers
}

// up starts a service and waits until it answers.
func (i *installation) up(role string, arguments ...string) *service {
	i.t.Helper()
	s := i.start(role, arguments...)
	s.kill()
	s.await(s.start())
	return s
}

func (s *service) await(answers <-chan string) {
	s.i.t.Helper()
	select {
	case url, ok := <-answers:
		if !ok {
			<-s.ended
			s.i.t.Fatalf("%s ended: %s\n%s", s.arguments[0], s.command.ProcessState, tail(s.log.String()))
		}
		s.url = url
	case <-time.After(patience):
		s.i.t.Fatalf("%s does not answer\n%s", s.arguments[0], tail(s.log.String()))
	}
}

// goroutines has a process that still runs write down its goroutines, which ends it:
// what it waited for may be what failed.
func (s *service) goroutines() {
	_ = s.command.Process.Signal(syscall.SIGQUIT)
	select {
	case <-s.ended:
	case <-time.After(10 * time.Second):
	}
}

// kill ends the process with -9 and waits for its end.
func (s *service) kill() {
	select {
	case <-s.ended:
		return
	default:
	}
	_ = s.command.Process.Kill()
	<-s.ended
}

// restart starts the process again and again until it stays, as a supervisor
// does.
func (s *service) restart() {
	s.i.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		url, ok := <-s.start()
		if ok {
			s.url = url
			return
		}
		<-s.ended
		if time.Now().After(deadline) {
			s.i.t.Fatalf("%s does not start\n%s", s.arguments[0], tail(s.log.String()))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// stop ends the process in order and asserts that it does.
func (s *service) stop() {
	s.i.t.Helper()
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		s.i.t.Fatal(err)
	}
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.i.t.Fatalf("%s does not stop\n%s", s.arguments[0], tail(s.log.String()))
	}
	if code := s.command.ProcessState.ExitCode(); code != 0 {
		s.i.t.Fatalf("%s stopped with exit %d\n%s", s.arguments[0], code, tail(s.log.String()))
	}
}

// do asks ingest; an error means that no answer came.
func (i *installation) do(ctx context.Context, method, path, kind string, body []byte) (status int, answer []byte, err error) {
	asked, err := http.NewRequestWithContext(ctx, method, i.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	asked.Header.Set("Authorization", "Bearer "+i.token)
	asked.Header.Set("Aliquot-Provider", provider)
	if kind != "" {
		asked.Header.Set("Content-Type", kind)
	}
	response, err := i.client.Do(asked)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// ask asks ingest and wants an answer below 300.
func (i *installation) ask(method, path, kind, body string, out any) {
	i.t.Helper()
	status, answer, err := i.do(context.Background(), method, path, kind, []byte(body))
	if err != nil || status >= 300 {
		i.t.Fatalf("%s %s: %d %v\n%s", method, path, status, err, tail(string(answer)))
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal(answer, out); err != nil {
		i.t.Fatalf("%s %s: %v\n%s", method, path, err, tail(string(answer)))
	}
}

// eventually repeats a question until its answer is right.
func (i *installation) eventually(what string, within time.Duration, right func(ctx context.Context) error) time.Duration {
	i.t.Helper()
	began := time.Now()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		err := right(ctx)
		cancel()
		if err == nil {
			return time.Since(began)
		}
		if time.Since(began) > within {
			i.t.Fatalf("%s: not within %v: %v", what, within, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
