// Package postgrestest runs a real PostgreSQL for tests: a server of its own on a
// temporary folder and a free port of 127.0.0.1, as a user that is not root,
// ended with the test. Its databases sort text by a language unless they are told
// otherwise, as those of most operators do.
//
// [Proxy] stands in front of it and does to connections what networks do;
// [Cockroach] plays CockroachDB as its documentation describes it.
//
// ALIQUOT_TEST_DATABASE names another database, for example of CockroachDB, to
// which the tests go instead; its user may create databases.
package postgrestest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/aliquot-engine/aliquot/internal/porttest"
)

// patience bounds every wait.
const patience = 2 * time.Minute

// Server is a running database server.
type Server struct {
	url     *url.URL
	foreign bool
	dir     string
	bin     string
	port    string
	options []string
	who     *syscall.Credential
	made    atomic.Int64

	templated sync.Once // the database that those of CockroachDB are copies of

	mu   sync.Mutex        // guards once, and is held while a database is made
	once map[string]string // URLs of databases that were made once, by name

	process *exec.Cmd
	ended   chan struct{}
	log     bytes.Buffer // read once ended is closed
}

// Start runs a server until the test ends, with these settings beside those that
// make it quick ("fsync=on"). The test skips where the machine has none.
func Start(t testing.TB, options ...string) *Server {
	t.Helper()
	if other := os.Getenv("ALIQUOT_TEST_DATABASE"); other != "" {
		u, err := url.Parse(other)
		if err != nil {
			t.Fatalf("ALIQUOT_TEST_DATABASE is no URL: %v", err)
		}
		return &Server{url: u, foreign: true}
	}
	s := &Server{bin: binaries()}
	if s.bin == "" {
		t.Skip("PostgreSQL's server programs are absent (initdb, postgres): the task setup of Taskfile.yml installs them")
	}
	if err := s.prepare(t, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(s.dir) })
	s.Begin(t)
	t.Cleanup(s.Kill)
	return s
}

// binaries finds the folder of the newest server that is installed.
func binaries() string {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path)
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return ""
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return major(a) - major(b) }))
}

func major(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return n
}

func (s *Server) prepare(t testing.TB, options []string) (err error) {
	if s.dir, err = os.MkdirTemp("", "aliquot-postgres-"); err != nil {
		return err
	}
	if os.Getuid() == 0 {
		if s.who, err = unprivileged(); err != nil {
			return err
		}
		if err := os.Chown(s.dir, int(s.who.Uid), int(s.who.Gid)); err != nil {
			return err
		}
	}
	language := []string{"--locale-provider=icu", "--icu-locale=en-US"}
	for {
		arguments := append([]string{"-D", s.data(), "-U", "aliquot", "--auth=trust", "--encoding=UTF8", "--no-sync", "--no-instructions"}, language...)
		out, err := s.command("initdb", arguments...).CombinedOutput()
		if err == nil {
			break
		}
		if language == nil {
			return fmt.Errorf("initdb: %w: %s", err, out)
		}
		language = nil // built without ICU
		_ = os.RemoveAll(s.data())
	}
	s.options = append([]string{"fsync=off", "full_page_writes=off", "max_connections=60", "shared_buffers=64MB"}, options...)
	if s.syncsAtOnce() {
		s.options = append(s.options, "recovery_init_sync_method=syncfs")
	}
	s.port = strconv.Itoa(porttest.Free(t))
	s.url = &url.URL{Scheme: "postgres", User: url.User("aliquot"), Host: net.JoinHostPort("127.0.0.1", s.port), Path: "/postgres", RawQuery: "sslmode=disable"}
	return nil
}

// syncsAtOnce tells whether a server that was killed can sync its folder with one
// call, as those of PostgreSQL 14 and later can, rather than file by file, which
// takes seconds.
func (s *Server) syncsAtOnce() bool {
	version, err := os.ReadFile(filepath.Join(s.data(), "PG_VERSION"))
	if err != nil {
		return false
	}
	number, err := strconv.Atoi(strings.TrimSpace(string(version)))
	return err == nil && number >= 14
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(name string, arguments ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.bin, name), arguments...)
	c.Dir = s.dir
	c.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.who, Pdeathsig: syscall.SIGQUIT}
	return c
}

// unprivileged finds somebody to run as: PostgreSQL refuses root.
func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			continue
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			continue
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("running PostgreSQL: there is no user postgres or nobody, and it refuses root")
}

// Begin starts the server, again after [Server.Kill], and waits until it answers.
func (s *Server) Begin(t testing.TB) {
	t.Helper()
	arguments := []string{"-D", s.data(), "-k", s.dir, "-p", s.port, "-c", "listen_addresses=127.0.0.1"}
	for _, o := range s.options {
		arguments = append(arguments, "-c", o)
	}
	s.process = s.command("postgres", arguments...)
	s.log.Reset()
	s.process.Stdout, s.process.Stderr = &s.log, &s.log
	s.ended = make(chan struct{})
	started := make(chan error, 1)
	go func(process *exec.Cmd, ended chan struct{}) {
		// The parent whose death ends it is this thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := process.Start()
		started <- err
		if err == nil {
			_ = process.Wait()
		}
		close(ended)
	}(s.process, s.ended)
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(patience)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		conn, err := pgx.Connect(ctx, s.url.String())
		if err == nil {
			err = conn.Close(ctx)
		}
		cancel()
		if err == nil {
			return
		}
		select {
		case <-s.ended:
			t.Fatalf("postgres ended: %s", s.log.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("postgres does not answer: %v", err)
		}
	}
}

// Kill ends the server at once, as a power cut does to what runs.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	// SIGQUIT ends every process of the server without a checkpoint, and leaves no
	// shared memory behind.
	_ = s.process.Process.Signal(syscall.SIGQUIT)
	<-s.ended
	s.process = nil
}

// Foreign reports that the server is not ours to stop.
func (s *Server) Foreign() bool { return s.foreign }

// Database makes an empty database, with what is said after its name, and returns
// its URL.
func (s *Server) Database(t testing.TB, options ...string) string {
	t.Helper()
	name := fmt.Sprintf("aliquot_test_%d_%d", os.Getpid(), s.made.Add(1))
	s.Run(t, s.url.String(), "CREATE DATABASE "+name+" "+strings.Join(options, " "))
	if s.foreign {
		t.Cleanup(func() { s.Run(t, s.url.String(), "DROP DATABASE "+name) })
	}
	u := *s.url
	u.Path = "/" + name
	return u.String()
}

// Once returns the URL of the database of this name, which the first call makes:
// what [Server.Copy] then copies costs less than to be made anew.
func (s *Server) Once(name string, create func() string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.once[name] == "" {
		if s.once == nil {
			s.once = map[string]string{}
		}
		s.once[name] = create()
	}
	return s.once[name]
}

// Copy makes a copy of a database that nobody is connected to and returns its URL:
// a backup, or one restored. CockroachDB cannot.
func (s *Server) Copy(t testing.TB, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("aliquot_test_%d_%d", os.Getpid(), s.made.Add(1))
	s.Run(t, s.url.String(), "CREATE DATABASE "+name+" TEMPLATE "+strings.TrimPrefix(u.Path, "/"))
	u.Path = "/" + name
	return u.String()
}

// Run runs statements in a database.
func (s *Server) Run(t testing.TB, url string, statements ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", strings.TrimSpace(statement), err)
		}
	}
}
