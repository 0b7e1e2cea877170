package eventlog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog/synctest"
)

// roleVariable makes the test binary play a part in another process.
const (
	roleVariable = "ALIQUOT_EVENTLOG_ROLE"
	dirVariable  = "ALIQUOT_EVENTLOG_DIR"
)

const tracedMessages = 20

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := play(role, os.Getenv(dirVariable)); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

// play is what the other process does.
func play(role, dir string) error {
	ctx := context.Background()
	config := Config{Dir: dir, Logger: quiet, LazySync: role == "publish lazily"}
	if role == "fill the disk" {
		config.AckTimeout = time.Second
	}
	l, err := Open(ctx, config)
	if err != nil {
		return err
	}
	s, err := l.Usage(ctx, 0, 1)
	if err != nil {
		return err
	}
	switch role {
	case "publish", "publish lazily":
		for i := range tracedMessages {
			if _, err := s.Publish(ctx, UsageSubject(0), payload(i), PublishOptions{}); err != nil {
				return err
			}
			fmt.Println("answer", i)
		}
	case "publish until killed":
		for i := 1; ; i++ {
			if _, err := s.Publish(ctx, UsageSubject(0), payload(i), PublishOptions{}); err != nil {
				return err
			}
			fmt.Println("answer", i)
		}
	case "fill the disk":
		return fill(ctx, l, s)
	}
	return l.Close()
}

// fill makes writes fail as a full disk does and says what publishers see.
func fill(ctx context.Context, l *Log, s *Stream) error {
	signal.Ignore(syscall.SIGXFSZ)
	limit := syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	data := make([]byte, 300<<10)
	for i := range 20 {
		if _, err := s.Publish(ctx, UsageSubject(0), data, PublishOptions{}); err != nil {
			fmt.Printf("answer after %d: ambiguous %t: %v\n", i, errors.Is(err, ErrAmbiguous), err)
			fmt.Println("health:", l.Healthy())
			return nil
		}
	}
	return errors.New("20 messages of 300 KiB fitted into a file of 1 MiB")
}

// child is the test binary in another role.
func child(t *testing.T, role, dir string, wrapper ...string) *exec.Cmd {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	arguments := append(slices.Clone(wrapper), binary)
	command := exec.CommandContext(t.Context(), arguments[0], arguments[1:]...)
	command.Env = append(os.Environ(), roleVariable+"="+role, dirVariable+"="+dir)
	command.Stderr = os.Stderr
	return command
}

func TestAnotherProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Config{Dir: dir})
	out, err := child(t, "publish", dir).Output()
	if err == nil || !strings.Contains(string(out), ErrInUse.Error()) {
		t.Fatalf("%v: %s", err, out)
	}
	shut(t, l)
	if out, err := child(t, "publish", dir).Output(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func TestWhatWasAnsweredSurvivesAKill(t *testing.T) {
	dir := t.TempDir()
	answered := 0
	for range 3 {
		command := child(t, "publish until killed", dir)
		out, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for i := 0; i < 50 && lines.Scan(); i++ {
			answered++
		}
		if err := command.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what was answered before the kill arrived
			answered++
		}
		_ = command.Wait() // "signal: killed"
	}
	s := usage(t, open(t, Config{Dir: dir}))
	last, err := s.Last(t.Context())
	if err != nil || answered < 150 || last < uint64(answered) {
		t.Fatalf("%d answered, %d stored, %v", answered, last, err)
	}
	if err := s.Verify(t.Context(), 0, [32]byte{}, s.Created()); err != nil {
		t.Fatal(err)
	}
	r := read(t, s, 1, "")
	for range last {
		if _, err := r.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFailingWriteIsAmbiguousAndShowsInTheHealth(t *testing.T) {
	out, err := child(t, "fill the disk", t.TempDir()).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.Contains(string(out), "ambiguous true") || !strings.Contains(string(out), "file too large") ||
		strings.Contains(string(out), "health: <nil>") {
		t.Fatalf("%s", out)
	}
}

// straced publishes in another process under strace and checks the order of its
// system calls.
func straced(t *testing.T, role string) synctest.Report {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace absent: whether data is synced before the answer cannot be seen")
	}
	log := filepath.Join(t.TempDir(), "trace")
	command := child(t, role, t.TempDir(), append([]string{strace}, synctest.Arguments(log)...)...)
	var complaint strings.Builder
	command.Stderr = &complaint
	if out, err := command.Output(); err != nil {
		if strings.Contains(strings.ToLower(complaint.String()), "ptrace") {
			t.Skipf("permission to trace absent: %s", complaint.String())
		}
		t.Fatalf("%v: %s%s", err, out, complaint.String())
	}
	file, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	calls, err := synctest.Parse(io.Reader(file))
	if err != nil {
		t.Fatal(err)
	}
	return synctest.Check(calls,
		func(c synctest.Call) bool {
			return strings.Contains(c.Path, "/streams/"+UsageStream(0, 1)+"/msgs/") && strings.HasSuffix(c.Path, ".blk")
		},
		func(c synctest.Call) bool { return strings.HasPrefix(string(c.Data), "answer ") })
}

// Fails when Config.LazySync is the default, or SyncAlways is not passed on;
// the second half shows that the check can fail.
func TestDataIsSyncedBeforePublishReturns(t *testing.T) {
	report := straced(t, "publish")
	t.Logf("%d answers, %d writes, %d syncs", report.Answers, report.Writes, report.Syncs)
	if err := report.Err(); err != nil || report.Answers != tracedMessages || report.Writes < tracedMessages {
		t.Fatalf("%+v: %v", report, err)
	}
}

func TestTheSyncCheckFailsWithoutSyncAlways(t *testing.T) {
	report := straced(t, "publish lazily")
	if report.Answers != tracedMessages || len(report.Faults) != tracedMessages {
		t.Fatalf("only %d of %d answers are faults", len(report.Faults), report.Answers)
	}
	t.Log(report.Err())
}
