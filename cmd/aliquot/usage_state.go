package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

const (
	settlePatience = 30 * time.Second // for one question about outcomes
	sendPatience   = 5 * time.Minute  // for an engine that does not answer
	stateEvery     = time.Second      // how often progress is written to disk
	stateSuffix    = ".aliquot-send"
)

// sendState remembers, in a file beside the input, how much of the input is
// stored, so that an interrupted sending can resume there. It is optional:
// without it everything is sent again, and events that are already stored are
// duplicates.
type sendState struct {
	Fingerprint string `json:"fingerprint"` // of the file, the map, the destination and the file of refused rows
	sendProgress

	file   string
	before sendProgress // of an earlier run
	last   time.Time
	off    bool
}

// sendProgress counts the outcomes of the events at the beginning of a file.
type sendProgress struct {
	Events   int                   `json:"events"` // acknowledged
	Accepted int                   `json:"accepted"`
	Refused  int                   `json:"refused"` // up to the last acknowledged event
	Unmapped int                   `json:"unmapped"`
	Reasons  map[events.Reason]int `json:"reasons,omitempty"`
	Rejected int64                 `json:"rejected,omitempty"` // size of the file of refused rows, in bytes
}

// state reads what an earlier run has written, if it was about the same
// sending.
func (c *usageSend) state(from *source, s *server, provider events.Provider) (*sendState, error) {
	sum := sha256.New()
	file, err := os.Open(c.File)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	if _, err := io.Copy(sum, file); err != nil {
		return nil, fmt.Errorf("reading %s: %w", c.File, err)
	}
	// The token identifies the destination, because a folder's port changes
	// from run to run.
	for _, part := range []string{string(from.document), c.Shift, fmt.Sprint(from.received), string(provider), s.token, c.Rejects} {
		addPart(sum, part)
	}
	state := &sendState{Fingerprint: hex.EncodeToString(sum.Sum(nil)), file: c.File + stateSuffix, off: !c.Resume}
	if state.off {
		return state, nil
	}
	data, err := os.ReadFile(state.file)
	if err != nil {
		return state, nil
	}
	var before sendState
	if json.Unmarshal(data, &before) != nil || before.Fingerprint != state.Fingerprint || before.Events == 0 {
		return state, nil
	}
	if c.Rejects != "" { // If the file of refused rows is shorter than noted, everything is sent again.
		if info, err := os.Stat(c.Rejects); err != nil || info.Size() < before.Rejected {
			return state, nil
		}
	}
	state.sendProgress, state.before = before.sendProgress, before.sendProgress
	return state, nil
}

func addPart(sum hash.Hash, part string) { fmt.Fprintf(sum, "%d:%s", len(part), part) }

// acknowledge notes the outcomes so far, and writes them to disk now and then.
func (s *sendState) acknowledge(sent *Sent) {
	b := &s.before
	s.sendProgress = sendProgress{sent.Sent, b.Accepted + sent.Accepted, b.Refused + sent.Refused, b.Unmapped + sent.Unmapped,
		maps.Clone(sent.Reasons), sent.rejects}
	for reason, n := range b.Reasons {
		s.Reasons[reason] += n
	}
	if now := time.Now(); now.Sub(s.last) >= stateEvery {
		s.last = now
		s.keep()
	}
}

// keep writes the state. If the folder is not writable, the sending only cannot
// be resumed.
func (s *sendState) keep() {
	if s.off || s.Events == 0 {
		return
	}
	data, err := json.Marshal(s)
	if err != nil {
		return
	}
	if err := os.WriteFile(s.file+".new", data, 0o600); err != nil {
		return
	}
	_ = os.Rename(s.file+".new", s.file)
}

func (s *sendState) remove() { _ = os.Remove(s.file) }
