package acceptance

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// watching starts aliquot witness and returns where it answers. Ended tells its
// exit code, once it was asked to stop.
func watching(t *testing.T, arguments ...string) (url string, ended func() int) {
	t.Helper()
	c := command(context.Background(), t, append([]string{"witness", "--listen", "127.0.0.1:0"}, arguments...)...)
	log := new(journal)
	c.Stderr = log
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	found := regexp.MustCompile(`http://\S+:\d+`).FindString(line)
	if err != nil || found == "" {
		t.Fatalf("%q, %v\n%s", line, err, log)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return found, func() int {
		t.Helper()
		if err := c.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait() // How it ended is what is asked for.
		return c.ProcessState.ExitCode()
	}
}

// An auditor runs witnesses beside the log of somebody else. Receipts carry what
// they cosign, a policy wants their quorum, the key of the logs is handed over,
// and an operator who keeps two histories is found.
func TestWitnessesMakeAQuorum(t *testing.T) {
	t.Parallel()
	dir, own := lived(t), t.TempDir()
	key := filepath.Join(own, "log.pub")
	write := func(name, text string) string {
		t.Helper()
		file := filepath.Join(own, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	write("log.pub", aliquot(t, "log", "keys", "--data", dir).ok(t).out)
	public, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	policy := "log " + string(public)
	var stop []func() int
	for _, name := range []string{"w1", "w2", "w3"} {
		folder := filepath.Join(own, name)
		vkey := strings.TrimSpace(aliquot(t, "witness", "key", "--dir", folder, "--name", "auditor.example/"+name).ok(t).out)
		url := "http://127.0.0.1:1" // w3 is away.
		if name != "w3" {
			var end func() int
			url, end = watching(t, "--dir", folder, "--key", key)
			stop = append(stop, end)
		}
		policy += fmt.Sprintf("witness %s %s %s\n", name, vkey, url)
	}
	two := write("two", policy+"group g 2 w1 w2 w3\nquorum g\n")
	all := write("all", policy+"group g all w1 w2 w3\nquorum g\n")

	s := up(t, dir, "--witnesses", two)
	var batches []struct{ Batch string }
	s.ask("GET", "/v1/payouts/batches", "", "", &batches)
	if len(batches) == 0 {
		t.Fatal("no payout was exported")
	}
	_, csv, err := s.do(request{method: "GET", path: "/v1/payouts/batches/" + batches[0].Batch})
	if err != nil {
		t.Fatal(err)
	}
	id := regexp.MustCompile(`po-[0-9a-z]+`).FindString(string(csv))
	file := filepath.Join(own, "receipt.json")
	receipt := func() string {
		t.Helper()
		aliquot(t, "receipt", id, "--data", dir, "-o", file).ok(t)
		return file
	}
	verified := func(arguments ...string) said { return aliquot(t, append([]string{"verify", file}, arguments...)...) }
	for deadline := time.Now().Add(startPatience); ; time.Sleep(100 * time.Millisecond) {
		receipt()
		if c := verified("--policy", two); c.code == 0 {
			if !strings.Contains(c.out, "cosigned as the policy requires") || strings.Count(c.out, "witnessed by auditor.example/w") < 4 {
				t.Errorf("%s", c.out)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no quorum: %s", verified("--policy", two).out)
		}
	}
	if c := verified("--policy", all); c.code != 1 || !strings.Contains(c.out, "are not a quorum") {
		t.Errorf("a quorum without w3: exit %d\n%s%s", c.code, c.out, c.err)
	}
	if c := verified("--policy", write("bad", "quorum q\n")); c.code != 1 || !strings.Contains(c.err, "line 1") {
		t.Errorf("a policy that is none: exit %d\n%s", c.code, c.err)
	}
	if c := verified("--policy", write("nobody", "quorum none\n")); c.code != 1 || !strings.Contains(c.err, "nobody is trusted") {
		t.Errorf("nobody is trusted: exit %d\n%s", c.code, c.err)
	}
	verified("--policy", write("nobody", "quorum none\n"), "--key", key).ok(t)

	// From here on there are two histories under one key.
	s.stop()
	twin := copied(t, dir)
	deposit := func(s *server, reference string) {
		s.ask("POST", "/v1/deposits", "application/json", fmt.Sprintf(`{"book":%q,"customer":"c1","asset":"USDC","amount":"1","reference":%q}`, book, reference), nil)
	}
	puller := []string{"witness", "--once", "--key", key, "--dir", filepath.Join(own, "puller"), "--log"}
	s = up(t, dir)
	deposit(s, "here")
	s.stop() // What is signed is signed to the end.
	s = up(t, dir)
	aliquot(t, append(puller, s.url)...).ok(t)
	s.stop()
	other := up(t, twin)
	deposit(other, "there")
	deposit(other, "there too")
	// Until the twin has signed more than was seen of a log, it shows as a rollback.
	within(t, "the other history is found and kept as evidence", func() bool {
		c := aliquot(t, append(puller, other.url)...)
		evidence := aliquot(t, "witness", "evidence", "--dir", filepath.Join(own, "puller"))
		return c.code == 1 && evidence.code == 1 && strings.Contains(evidence.out, "/control: forked: seen ")
	})
	other.stop()

	if c := aliquot(t, "log", "keys", "rotate", "--data", dir); c.code == 0 || !strings.Contains(c.err, "--as") {
		t.Errorf("nobody rotates: exit %d %s", c.code, c.err)
	}
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	next := strings.TrimSpace(aliquot(t, "log", "keys", "rotate", "--data", dir, "--as", "ada").ok(t).out)
	if next == strings.TrimSpace(string(public)) || !strings.HasPrefix(next, "aliquot/") {
		t.Fatalf("the new key is %s", next)
	}
	if ok, streams := fsck(t, dir); !ok {
		t.Fatalf("after the rotation: %+v", streams)
	}
	s = up(t, dir)
	receipt()
	for _, k := range []string{key, next} {
		if c := verified("--key", k).ok(t); !strings.Contains(c.out, "handed over by") || !strings.Contains(c.out, "decided by ada") {
			t.Errorf("%s", c.out)
		}
	}
	write("receipt.json", string(old))
	verified("--key", key).ok(t)
	if c := verified("--key", next); c.code != 1 {
		t.Errorf("an old receipt by the new key alone: exit %d", c.code)
	}

	// So does a replay of what is exported, as a folder and as one file.
	for _, name := range []string{filepath.Join(own, "pack"), filepath.Join(own, "pack.tar")} {
		aliquot(t, "log", "export", name, "--data", dir).ok(t)
		for _, file := range []string{key, write("next.pub", next)} {
			var r offline
			aliquot(t, "replay", "--archives", name, "--key", file, "--json").ok(t).into(t, &r)
			if !r.Identical || r.SignedBy != next {
				t.Errorf("%s by %s: %+v", name, file, r)
			}
		}
	}

	// A witness that fetches, and knows the first key alone, follows the handover.
	aliquot(t, "witness", "--once", "--key", key, "--dir", filepath.Join(own, "follower"), "--log", s.url).ok(t)
	s.stop()
	for i, end := range stop {
		if code := end(); code != 0 {
			t.Errorf("witness %d ends with %d", i+1, code)
		}
	}
}

// within waits for a condition.
func within(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(startPatience); !met(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", startPatience, what)
		}
	}
}
