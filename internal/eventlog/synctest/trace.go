// Package synctest reads a log of strace and checks that a program's data was
// on disk before the program said so.
//
// The method is the order in which system calls entered and left the kernel: a
// write counts as synced when an fsync or fdatasync of the same file began
// after the write had returned, and returned without error before the answer
// began. Killing a process cannot show this, because what it wrote survives in
// the page cache; only the calls themselves can.
//
// # Invariants
//
//   - A check without a single answer, or with an answer before which nothing
//     was written, is a fault, because a trace without the calls proves
//     nothing.
//   - A sync that fails, has not returned, or began before the write had
//     returned does not count.
package synctest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// Arguments returns the arguments with which strace writes a log that Parse can
// read. The command to run follows them. Of each buffer the first 512 bytes are
// recorded.
func Arguments(log string) []string {
	return []string{
		"-f", "--seccomp-bpf", "-y", "-xx", "-s", "512", "-o", log,
		"-e", "trace=write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,fsync,fdatasync",
	}
}

// Call is one system call.
type Call struct {
	PID  int
	Name string
	// Path is the file of the descriptor, such as /x/1.blk or socket:[123].
	Path string
	// Data is the beginning of what was written.
	Data []byte
	// Result is what the call returned, negative for an error.
	Result int64
	// Begin and End are the lines where the call entered and returned; End is 0
	// if it did not return.
	Begin, End int
}

// Syncs reports whether the call makes earlier writes durable.
func (c Call) Syncs() bool { return c.Name == "fsync" || c.Name == "fdatasync" }

var (
	linePattern    = regexp.MustCompile(`^(\d+)\s+(.*)$`)
	enterPattern   = regexp.MustCompile(`^(\w+)\((\d+)(?:<([^>]*)>)?(.*)$`)
	resumedPattern = regexp.MustCompile(`^<\.\.\. (\w+) resumed>.*\)\s+= (-?\d+)`)
	resultPattern  = regexp.MustCompile(`\)\s+= (-?\d+)(?:<[^>]*>)?(?: E[A-Z]+ \([^)]*\))?$`)
	quotedPattern  = regexp.MustCompile(`"((?:\\x[0-9a-f]{2})*)"`)
)

const unfinished = " <unfinished ...>"

// Parse reads a log that strace wrote with Arguments. Lines that are not calls,
// such as signals and exits, are skipped.
func Parse(log io.Reader) ([]Call, error) {
	var calls []Call
	open := map[int]int{} // by pid, the index of the call that has not returned
	scanner := bufio.NewScanner(log)
	scanner.Buffer(nil, 1<<20)
	for number := 1; scanner.Scan(); number++ {
		parts := linePattern.FindStringSubmatch(scanner.Text())
		if parts == nil {
			continue
		}
		pid, err := strconv.Atoi(parts[1])
		if err != nil {
			return nil, fmt.Errorf("reading line %d of trace: %w", number, err)
		}
		if resumed := resumedPattern.FindStringSubmatch(parts[2]); resumed != nil {
			index, ok := open[pid]
			if !ok || calls[index].Name != resumed[1] {
				continue // it entered before tracing began
			}
			delete(open, pid)
			if calls[index].Result, err = strconv.ParseInt(resumed[2], 10, 64); err != nil {
				return nil, fmt.Errorf("reading line %d of trace: %w", number, err)
			}
			calls[index].End = number
			continue
		}
		enter := enterPattern.FindStringSubmatch(parts[2])
		if enter == nil {
			continue
		}
		call := Call{PID: pid, Name: enter[1], Path: string(unhex(enter[3])), Begin: number}
		for _, quoted := range quotedPattern.FindAllStringSubmatch(enter[4], -1) {
			call.Data = append(call.Data, unhex(quoted[1])...)
		}
		if strings.HasSuffix(enter[4], unfinished) {
			open[pid] = len(calls)
		} else if result := resultPattern.FindStringSubmatch(enter[4]); result != nil {
			if call.Result, err = strconv.ParseInt(result[1], 10, 64); err != nil {
				return nil, fmt.Errorf("reading line %d of trace: %w", number, err)
			}
			call.End = number
		}
		calls = append(calls, call)
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("reading trace: %w", err)
	}
	return calls, nil
}

// unhex reads what -xx writes; other bytes stand for themselves.
func unhex(text string) []byte {
	var out bytes.Buffer
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) && text[i+1] == 'x' {
			if value, err := strconv.ParseUint(text[i+2:i+4], 16, 8); err == nil {
				out.WriteByte(byte(value))
				i += 3
				continue
			}
		}
		out.WriteByte(text[i])
	}
	return out.Bytes()
}

// Report is the result of a check.
type Report struct {
	Answers, Writes, Syncs int
	// Faults has one line for each answer that came too early.
	Faults []string
}

// Err returns nil if every answer came after its data was synced.
func (r Report) Err() error {
	switch {
	case r.Answers == 0:
		return errors.New("checking syncs: no answer in the trace")
	case len(r.Faults) > 0:
		return fmt.Errorf("checking syncs: %d of %d answers came before their data was synced; first: %s", len(r.Faults), r.Answers, r.Faults[0])
	}
	return nil
}

// Check checks that, at the beginning of each answer, every data write that had
// returned was synced, and that there was at least one such write since the
// previous answer. data and answer select the calls. A program that writes the
// same file for other reasons while it answers needs a data that leaves those
// writes out, or requests one at a time.
func Check(calls []Call, data, answer func(Call) bool) Report {
	var report Report
	previous := 0
	for _, call := range calls {
		switch {
		case call.Syncs():
			report.Syncs++
		case answer(call):
			report.Answers++
			if fault := early(calls, data, call, previous); fault != "" {
				report.Faults = append(report.Faults, fault)
			}
			previous = call.Begin
		case data(call):
			report.Writes++
		}
	}
	return report
}

// early returns why an answer came too early, or "".
func early(calls []Call, data func(Call) bool, answer Call, previous int) string {
	fresh := false
	for i, write := range calls {
		if write.Begin >= answer.Begin {
			break
		}
		if write.Syncs() || !data(write) || write.End == 0 || write.End >= answer.Begin {
			continue
		}
		fresh = fresh || write.End > previous
		if !synced(calls[i+1:], write, answer) {
			return fmt.Sprintf("line %d answers, but %s of line %d was not synced", answer.Begin, write.Path, write.Begin)
		}
	}
	if !fresh {
		return fmt.Sprintf("line %d answers, but nothing was written since line %d", answer.Begin, previous)
	}
	return ""
}

func synced(calls []Call, write, answer Call) bool {
	for _, call := range calls {
		if call.Begin >= answer.Begin {
			return false
		}
		if call.Syncs() && call.Path == write.Path && call.Result == 0 &&
			call.Begin > write.End && call.End != 0 && call.End < answer.Begin {
			return true
		}
	}
	return false
}
