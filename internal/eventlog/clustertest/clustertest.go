// Package clustertest runs a JetStream cluster of three real servers for tests:
// each is a process of its own with its own folder and ports, that can be
// killed with -9 and started again.
//
// The test binary is the server: [Main], called first in TestMain, turns a
// process whose environment says so into one. Servers sync always, want TLS on
// clients and routes by an authority made for the test, and admit nkeys alone:
// aliquot's own, which may do everything, and those of providers, which may
// publish to their own subject.
package clustertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/porttest"
)

// Size is how many servers a cluster has.
const Size = 3

// variable names the configuration of the server that a process is to be.
const variable = "ALIQUOT_CLUSTERTEST_SERVER"

// Main returns at once in a test, and never in a process that is a server.
func Main() {
	file := os.Getenv(variable)
	if file == "" {
		return
	}
	if err := serve(file); err != nil {
		fmt.Fprintln(os.Stderr, "clustertest:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(file string) error {
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		return err
	}
	instance, err := server.NewServer(options)
	if err != nil {
		return err
	}
	instance.ConfigureLogger()
	// The server ends with the process that started it, however that ends.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	if err := server.Run(instance); err != nil {
		return err
	}
	instance.WaitForShutdown()
	return nil
}

// Options change a cluster.
type Options struct {
	// Name is the cluster's; empty: "aliquot".
	Name string
	// Providers have an nkey each, see Cluster.ProviderKey.
	Providers []string
	// Expired gives the servers a certificate that is over.
	Expired bool
	// Like gives the cluster the authority and the keys of another.
	Like *Cluster
}

// Cluster is three servers.
type Cluster struct {
	dir     string
	options Options
	nodes   [Size]*node
}

type node struct {
	port, route int
	command     *exec.Cmd
	stdin       io.Closer
	done        chan struct{}
}

// Start makes the files and starts the servers, and waits until they can be used:
// [Launch] and [Cluster.WaitReady] in one.
func Start(t testing.TB, options Options) *Cluster {
	t.Helper()
	c := Launch(t, options)
	c.WaitReady(t)
	return c
}

// Launch makes the files and starts the servers, and does not wait for them. The
// test's end kills them.
func Launch(t testing.TB, options Options) *Cluster {
	t.Helper()
	if options.Name == "" {
		options.Name = "aliquot"
	}
	c := &Cluster{dir: t.TempDir(), options: options}
	t.Cleanup(func() {
		for i := range c.nodes {
			if c.nodes[i] != nil {
				c.Kill(i)
			}
		}
	})
	if err := c.files(); err != nil {
		t.Fatal(err)
	}
	for i := range c.nodes {
		c.nodes[i] = &node{port: porttest.Free(t), route: porttest.Free(t)}
	}
	for i := range c.nodes {
		if err := os.WriteFile(c.file(fmt.Sprintf("n%d.conf", i)), []byte(c.configuration(i)), 0o600); err != nil {
			t.Fatal(err)
		}
		c.Restart(t, i)
	}
	return c
}

// WaitReady waits until the cluster can make streams, or, where no client can
// connect because the certificate has expired, until every server listens.
func (c *Cluster) WaitReady(t testing.TB) {
	t.Helper()
	if !c.options.Expired {
		c.WaitLeader(t)
		return
	}
	for i := range c.nodes {
		c.waitListening(t, i)
	}
}

func (c *Cluster) file(name string) string { return filepath.Join(c.dir, name) }

// CAFile has the authority that signed the servers' certificates.
func (c *Cluster) CAFile() string { return c.file("keys/ca.pem") }

// NKeyFile has the seed of aliquot's own key.
func (c *Cluster) NKeyFile() string { return c.file("keys/aliquot.nk") }

// ProviderKey is the file with the seed of a provider's key.
func (c *Cluster) ProviderKey(provider string) string {
	return c.file("keys/provider-" + provider + ".nk")
}

// URL names every server.
func (c *Cluster) URL() string {
	var list []string
	for i := range c.nodes {
		list = append(list, c.NodeURL(i))
	}
	return strings.Join(list, ",")
}

// NodeURL names one server.
func (c *Cluster) NodeURL(i int) string { return fmt.Sprintf("tls://127.0.0.1:%d", c.nodes[i].port) }

// Credentials are aliquot's own.
func (c *Cluster) Credentials() eventlog.Credentials {
	return eventlog.Credentials{CAFile: c.CAFile(), NKeyFile: c.NKeyFile()}
}

// Kill ends a server with -9 and waits for its end. One that is not running
// stays so.
func (c *Cluster) Kill(i int) {
	n := c.nodes[i]
	if n.command == nil {
		return
	}
	_ = n.command.Process.Signal(syscall.SIGKILL) // it may have ended by itself
	<-n.done
	_ = n.stdin.Close()
	n.command = nil
}

// Restart starts a server that does not run, and does not wait for it.
func (c *Cluster) Restart(t testing.TB, i int) {
	t.Helper()
	n := c.nodes[i]
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self)
	command.Env = append(os.Environ(), variable+"="+c.file(fmt.Sprintf("n%d.conf", i)))
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	n.command, n.stdin, n.done = command, stdin, make(chan struct{})
	go func() {
		_ = command.Wait()
		close(n.done)
	}()
}

func (c *Cluster) waitListening(t testing.TB, i int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", c.nodes[i].port))
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("server %d does not listen: %v\n%s", i, err, c.Log(i))
		}
	}
}

// Connect connects as aliquot, to any server.
func (c *Cluster) Connect() (*nats.Conn, error) {
	key, err := nats.NkeyOptionFromSeed(c.NKeyFile())
	if err != nil {
		return nil, err
	}
	return nats.Connect(c.URL(), nats.RootCAs(c.CAFile()), key, nats.NoReconnect(), nats.Timeout(5*time.Second))
}

// WaitLeader waits until a stream can have a replica on every server.
func (c *Cluster) WaitLeader(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := c.makeStream()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the cluster has not come up: %v\n%s", err, c.Log(0))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// makeStream makes a stream of three replicas and deletes it.
func (c *Cluster) makeStream() error {
	conn, err := c.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	const name = "CLUSTERTEST"
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{"clustertest"}, Replicas: Size})
	if err != nil {
		return err
	}
	return js.DeleteStream(ctx, name)
}

// Leader is the index of the server that leads a stream.
func (c *Cluster) Leader(t testing.TB, stream string) int {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		name, err := c.leader(stream)
		if err == nil && len(name) == 2 {
			return int(name[1] - '0')
		}
		if time.Now().After(deadline) {
			t.Fatalf("stream %s has no leader: %q, %v", stream, name, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (c *Cluster) leader(stream string) (string, error) {
	conn, err := c.Connect()
	if err != nil {
		return "", err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return "", err
	}
	if cluster := s.CachedInfo().Cluster; cluster != nil {
		return cluster.Leader, nil
	}
	return "", errors.New("no cluster")
}

// Log is the end of a server's log.
func (c *Cluster) Log(i int) string {
	data, _ := os.ReadFile(c.file(fmt.Sprintf("n%d.log", i)))
	return string(data[max(0, len(data)-4096):])
}

func (c *Cluster) configuration(i int) string {
	var routes, users strings.Builder
	for _, n := range c.nodes {
		fmt.Fprintf(&routes, "\n    tls://127.0.0.1:%d", n.route)
	}
	public, _ := publicOf(c.NKeyFile()) // it was written by files
	fmt.Fprintf(&users, "\n    { nkey: %s }", public)
	for _, provider := range c.options.Providers {
		public, _ := publicOf(c.ProviderKey(provider))
		token := eventlog.SubjectToken(provider)
		fmt.Fprintf(&users, "\n    { nkey: %s, permissions: { publish: [%q], subscribe: [%q] } }", public, "in."+token, "_INBOX_"+token+".>")
	}
	const tls = `cert_file: "%s", key_file: "%s", ca_file: "%s"`
	files := fmt.Sprintf(tls, c.file("keys/server.pem"), c.file("keys/server.key"), c.CAFile())
	return fmt.Sprintf(`server_name: n%d
listen: "127.0.0.1:%d"
log_file: %q
pid_file: %q
max_pending: 268435456
jetstream {
  store_dir: %q
  sync_interval: always
  max_file_store: 1TB
  max_memory_store: 1GB
}
tls { %s }
cluster {
  name: %s
  listen: "127.0.0.1:%d"
  tls { %s }
  routes: [%s
  ]
}
authorization {
  users: [%s
  ]
}
`, i, c.nodes[i].port, c.file(fmt.Sprintf("n%d.log", i)), c.file(fmt.Sprintf("n%d.pid", i)), c.file(fmt.Sprintf("n%d", i)),
		files, c.options.Name, c.nodes[i].route, files, routes.String(), users.String())
}

func publicOf(file string) (string, error) {
	seed, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	pair, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(seed))))
	if err != nil {
		return "", err
	}
	return pair.PublicKey()
}
