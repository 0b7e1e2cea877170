package events

import (
	"encoding/base64"
	"errors"
	"fmt"
)

// Root is the RFC 6962 root of a log: SHA-256.
type Root [32]byte

// LogState is the state of a log at the time of a decision. It allows proving
// what the decision rests on; [PeriodClosed] and [DistributionDeclared], for
// example, contain such states. It affects no figure.
type LogState struct {
	Log  string `json:"log" doc:"The stream's name in lower case."`
	Size uint64 `json:"size" doc:"Messages, from position 1 on."`
	Root Root   `json:"root" doc:"RFC 6962 root of their leaves, base64."`
}

// maxLogStates is how many states one decision may contain.
const maxLogStates = 256

var errRoot = errors.New("not the base64 of 32 bytes")

// String returns the root in standard base64, as in checkpoints.
func (r Root) String() string { return base64.StdEncoding.EncodeToString(r[:]) }

// MarshalText returns [Root.String]; it never fails.
func (r Root) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads exactly what [Root.MarshalText] writes.
func (r *Root) UnmarshalText(text []byte) error {
	data, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil || len(data) != len(r) || len(text) != base64.StdEncoding.EncodedLen(len(r)) {
		return fmt.Errorf("reading a root: %w", errRoot)
	}
	copy(r[:], data)
	return nil
}

// StateOf returns the state of one log among several, or false if it is
// missing.
func StateOf(list []LogState, log string) (LogState, bool) {
	for _, s := range list {
		if s.Log == log {
			return s, true
		}
	}
	return LogState{}, false
}

// states checks that logs ascend by name.
func (p *Problems) states(field string, list []LogState) {
	if len(list) > maxLogStates {
		p.add(field, "has too many logs")
		return
	}
	for i, s := range list {
		p.name(fmt.Sprintf("%s[%d].log", field, i), s.Log)
		if i > 0 && list[i-1].Log >= s.Log {
			p.add(field, "does not ascend by log")
		}
	}
}
