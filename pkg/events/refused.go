package events

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aliquot-engine/aliquot/pkg/strict"
)

// RefusedSubmission is one message of REFUSED: a submission of which a part or
// everything was refused. It tells a provider why, so it contains the beginning
// of the submission. Old messages may be evicted.
type RefusedSubmission struct {
	V        int           `json:"v"`
	Provider Provider      `json:"provider,omitempty"` // empty if not known, for example without a valid key
	Actor    Actor         `json:"actor,omitempty"`
	Received time.Time     `json:"received"`
	Media    string        `json:"media,omitempty"` // media type that the submission named
	Size     int64         `json:"size"`            // bytes received
	SHA256   string        `json:"sha256"`          // of those bytes, in hexadecimal
	Head     []byte        `json:"head"`            // the first [MaxHead] of them, in base 64
	Events   int           `json:"events"`          // number of refused events; 0 for the submission as a whole
	Counts   []ReasonCount `json:"counts"`          // all of them, ascending by reason
	First    []Refusal     `json:"first"`           // the first [MaxRefusals] of them
}

// ReasonCount is how often one reason was given.
type ReasonCount struct {
	Reason Reason `json:"reason"`
	Count  int    `json:"count"`
}

// Limits of a message of REFUSED, which has about 120 KB at most.
const (
	MaxHead     = 4096 // bytes
	MaxRefusals = 100

	maxRefusalText = 256 // bytes of each text of a refusal
	refusedVersion = 1
)

// NewRefused makes the message about a submission. It keeps no reference to
// body or refusals. Texts that are too long are shortened, and bytes that are
// not UTF-8 are replaced, so that every refusal can be recorded.
func NewRefused(provider Provider, actor Actor, received time.Time, media string, body []byte, refusals []Refusal) RefusedSubmission {
	sum := sha256.Sum256(body)
	r := RefusedSubmission{
		V: refusedVersion, Provider: Provider(short(string(provider))), Actor: Actor(short(string(actor))), Received: received.UTC(), Media: short(media),
		Size: int64(len(body)), SHA256: hex.EncodeToString(sum[:]), Head: slices.Clone(body[:min(len(body), MaxHead)]),
		Counts: []ReasonCount{}, First: []Refusal{},
	}
	if r.Head == nil {
		r.Head = []byte{}
	}
	for _, one := range refusals {
		if one.Index >= 0 {
			r.Events++
		}
		i, found := slices.BinarySearchFunc(r.Counts, one.Reason, func(c ReasonCount, reason Reason) int {
			return strings.Compare(string(c.Reason), string(reason))
		})
		if !found {
			r.Counts = slices.Insert(r.Counts, i, ReasonCount{Reason: one.Reason})
		}
		r.Counts[i].Count++
		if len(r.First) < MaxRefusals {
			one.ID, one.Field, one.Detail = short(one.ID), short(one.Field), short(one.Detail)
			r.First = append(r.First, one)
		}
	}
	return r
}

// short shortens a text at a character boundary, and makes it valid UTF-8.
func short(s string) string {
	if len(s) > maxRefusalText {
		s = s[:maxRefusalText]
		for len(s) > maxRefusalText-utf8.UTFMax && !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
	}
	return strings.ToValidUTF8(strings.Clone(s), "\uFFFD")
}

// AppendRefused appends the bytes of r to dst: one JSON object without white
// space, its members in the order of the type.
func AppendRefused(dst []byte, r RefusedSubmission) ([]byte, error) {
	r.Received = r.Received.UTC()
	out, err := appendJSON(dst, r)
	if err != nil {
		return dst, fmt.Errorf("encoding a refused submission: %w", err)
	}
	return out, nil
}

// DecodeRefused reads exactly what [AppendRefused] writes.
func DecodeRefused(data []byte) (RefusedSubmission, error) {
	var r RefusedSubmission
	if err := strict.Decode(data, &r); err != nil {
		return RefusedSubmission{}, fmt.Errorf("decoding a refused submission: %w", err)
	}
	if r.V != refusedVersion {
		return RefusedSubmission{}, fmt.Errorf("decoding a refused submission: version %d is not %d", r.V, refusedVersion)
	}
	again, err := AppendRefused(nil, r)
	if err != nil {
		return RefusedSubmission{}, err
	}
	if at := difference(data, again); at >= 0 {
		return RefusedSubmission{}, fmt.Errorf("decoding a refused submission: not in canonical form from byte %d", at)
	}
	return r, nil
}
