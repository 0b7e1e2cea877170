package tlog

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Submission is what a log sends to a witness, C2SP tlog-witness: a checkpoint,
// and the proof that it goes on from the one that the witness has cosigned.
type Submission struct {
	Old        uint64 // size of the tree that the witness has cosigned last; 0: none
	Path       []Hash // consistency proof from there
	Checkpoint []byte // signed
}

const (
	submissionHead = "old "
	// maxConsistency is the most hashes that a submission may have.
	maxConsistency = 63
	// MaxSubmission is the length of the longest submission that is read, bytes.
	MaxSubmission = maxCheckpoint + 4<<10
)

var errSubmission = errors.New("not of the form of a C2SP tlog-witness request")

// Marshal returns the body of the request.
func (s *Submission) Marshal() []byte {
	text := submissionHead + strconv.FormatUint(s.Old, 10) + "\n"
	for _, h := range s.Path {
		text += h.String() + "\n"
	}
	return append([]byte(text+"\n"), s.Checkpoint...)
}

// ParseSubmission reads what [Submission.Marshal] wrote, and nothing else. The
// checkpoint is kept as it stands; see [OpenCheckpoint].
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

// Origin returns the origin that a signed checkpoint names, before anything of
// it is believed: who reads it finds by it which keys to ask for.
func Origin(signed []byte) string {
	if len(signed) > maxCheckpoint {
		return ""
	}
	origin, _, _ := strings.Cut(string(signed), "\n")
	return origin
}
