package tlog

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Evidence shows that a leaf is in a log, as C2SP tlog-proof defines. Its text
// contains everything that a verifier needs besides the leaf and the keys that it
// trusts.
type Evidence struct {
	Extra      []byte // opaque; no signature or hash covers it
	Index      uint64 // of the leaf
	Path       []Hash // from the leaf's sibling to the root's child
	Checkpoint []byte // signed
}

const evidenceHead = "c2sp.org/tlog-proof@v1\n"

// maxPath is the length of the longest path: of a tree of 2⁶⁴ leaves.
const maxPath = 64

var errEvidence = errors.New("it is not a C2SP tlog-proof")

// Marshal returns the text.
func (e *Evidence) Marshal() []byte {
	text := []byte(evidenceHead)
	if len(e.Extra) > 0 {
		text = append(text, "extra "+base64.StdEncoding.EncodeToString(e.Extra)+"\n"...)
	}
	text = append(text, "index "+strconv.FormatUint(e.Index, 10)+"\n"...)
	for _, h := range e.Path {
		text = append(text, h.String()+"\n"...)
	}
	return append(append(text, '\n'), e.Checkpoint...)
}

// ParseEvidence reads exactly what [Evidence.Marshal] writes. The checkpoint is
// kept unopened; see [OpenCheckpoint].
func ParseEvidence(text []byte) (*Evidence, error) {
	e, err := parseEvidence(string(text))
	if err != nil {
		return nil, fmt.Errorf("parsing a proof: %w", err)
	}
	return e, nil
}

func parseEvidence(text string) (*Evidence, error) {
	body, ok := strings.CutPrefix(text, evidenceHead)
	if !ok {
		return nil, errEvidence
	}
	head, checkpoint, ok := strings.Cut(body, "\n\n")
	if !ok || len(checkpoint) > maxCheckpoint {
		return nil, errEvidence
	}
	e := &Evidence{Checkpoint: []byte(checkpoint)}
	if rest, ok := strings.CutPrefix(head, "extra "); ok {
		encoded, after, _ := strings.Cut(rest, "\n")
		extra, err := base64.StdEncoding.Strict().DecodeString(encoded)
		// The base64 decoder skips carriage returns, which the form does not
		// allow.
		if err != nil || len(extra) == 0 || base64.StdEncoding.EncodeToString(extra) != encoded {
			return nil, errEvidence
		}
		e.Extra, head = extra, after
	}
	lines := strings.Split(head, "\n")
	index, ok := strings.CutPrefix(lines[0], "index ")
	n, err := strconv.ParseUint(index, 10, 64)
	if !ok || err != nil || strconv.FormatUint(n, 10) != index || len(lines)-1 > maxPath {
		return nil, errEvidence
	}
	e.Index = n
	for _, line := range lines[1:] {
		hash, err := ParseHash(line)
		if err != nil {
			return nil, err
		}
		e.Path = append(e.Path, hash)
	}
	return e, nil
}
