package tlog

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Submission is what a log sends to a witness, as C2SP tlog-witness defines: a
// checkpoint, and the proof that it extends the one that the witness cosigned
// last.
type Submission struct {
	Old        uint64 // size of the tree that the witness cosigned last; 0 if none
	Path       []Hash // consistency proof from there
	Checkpoint []byte // signed
}

const (
	submissionHead = "old "
	// maxConsistency is the largest number of hashes that a submission may have.
	maxConsistency = 63
	// MaxSubmission is the length of the longest submission that is read, in
	// bytes.
	MaxSubmission = maxCheckpoint + 4<<10
)

var errSubmission = errors.New("it is not a C2SP tlog-witness request")

// Marshal returns the body of the request.
func (s *Submission) Marshal() []byte {
	text := submissionHead + strconv.FormatUint(s.Old, 10) + "\n"
	for _, h := range s.Path {
		text += h.String() + "\n"
	}
	return append([]byte(text+"\n"), s.Checkpoint...)
}

// ParseSubmission reads exactly what [Submission.Marshal] writes. The checkpoint
// is kept unopened; see [OpenCheckpoint].
func ParseSubmission(body []byte) (*Submission, error) {
	s, err := parseSubmission(string(body))
	if err != nil {
		return nil, fmt.Errorf("parsing a submission: %w", err)
	}
	return s, nil
}

func parseSubmission(body string) (*Submission, error) {
	head, checkpoint, ok := strings.Cut(body, "\n\n")
	if !ok || checkpoint == "" || len(checkpoint) > maxCheckpoint || len(head) > MaxSubmission-maxCheckpoint {
		return nil, errSubmission
	}
	lines := strings.Split(head, "\n")
	old, ok := strings.CutPrefix(lines[0], submissionHead)
	n, err := strconv.ParseUint(old, 10, 64)
	if !ok || err != nil || strconv.FormatUint(n, 10) != old || len(lines)-1 > maxConsistency {
		return nil, errSubmission
	}
	s := &Submission{Old: n, Checkpoint: []byte(checkpoint)}
	for _, line := range lines[1:] {
		hash, err := ParseHash(line)
		if err != nil {
			return nil, err
		}
		s.Path = append(s.Path, hash)
	}
	return s, nil
}

// Origin returns the origin that a signed checkpoint names, without verifying
// anything: the reader uses it to find the keys to verify with.
func Origin(signed []byte) string {
	if len(signed) > maxCheckpoint {
		return ""
	}
	origin, _, _ := strings.Cut(string(signed), "\n")
	return origin
}
