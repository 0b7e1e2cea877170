package acceptance

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/eventlog/synctest"
)

// tracedRequests are sent one at a time, as the check wants.
const tracedRequests = 20

// traced sends usage to aliquot up under strace and checks the order of its
// system calls: whether the message that holds a batch was synced before the
// batch's 202 began to leave.
func traced(t *testing.T, arguments ...string) synctest.Report {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace absent: whether data is synced before the answer cannot be seen")
	}
	log := filepath.Join(t.TempDir(), "trace")
	s, answers := launch(t, t.TempDir(), append([]string{"strace"}, synctest.Arguments(log)...), arguments...)
	s.await(answers)
	sources, nodes, customers := newSources(1)
	s.declare(declarations(nodes, customers))
	for range tracedRequests {
		kind, body := sources[0].encode(t, sources[0].more(t, 3))
		if a, err := s.send(kind, body); err != nil || a.Accepted != 3 {
			t.Fatalf("%+v %v\n%s", a, err, s.log)
		}
	}
	s.stop()
	file, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	calls, err := synctest.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	return synctest.Check(calls,
		func(c synctest.Call) bool {
			// The settler's markers, which name no source, may be on their way.
			return strings.Contains(c.Path, "/streams/"+eventlog.UsageStream(0, 0)+"/msgs/") &&
				strings.HasSuffix(c.Path, ".blk") && bytes.Contains(c.Data, []byte(sources[0].name))
		},
		func(c synctest.Call) bool { return strings.HasPrefix(string(c.Data), "HTTP/1.1 202 ") })
}

// "kill -9 passes without any fsync: a test by strace that the stream's data is
// synced before the 202 leaves".
//
// Fails when SyncAlways is off, and when the answer leaves before the stream
// has acknowledged.
func TestUsageIsSyncedBeforeTheAnswerLeaves(t *testing.T) {
	t.Parallel()
	report := traced(t)
	t.Logf("%d answers, %d writes, %d syncs", report.Answers, report.Writes, report.Syncs)
	if err := report.Err(); err != nil || report.Answers != tracedRequests {
		t.Fatalf("%d answers: %v", report.Answers, err)
	}
}

// "which fails when SyncAlways is off": the same requests and the same check.
func TestTheSyncCheckFailsWhenSyncAlwaysIsOff(t *testing.T) {
	t.Parallel()
	report := traced(t, "--lazy-sync")
	if report.Answers != tracedRequests || len(report.Faults) != tracedRequests {
		t.Fatalf("%d of %d answers are faults: a check that passes here shows nothing", len(report.Faults), report.Answers)
	}
	t.Log(report.Err())
}
