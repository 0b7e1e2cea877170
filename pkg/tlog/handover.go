package tlog

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
)

// Handover records that a key hands over the logs of its installation to the next
// key. It says how far the old key has signed each log. A verifier that knows the
// handover rejects any larger tree that the old key signs; the new key continues
// the same trees.
//
// It is a signed note with the signatures of both keys, so that neither key can
// take over or be given the logs without the other. Its text differs from that of
// every checkpoint:
//
//	aliquot log key handover v1
//	<installation>
//	<number>
//	<old key>
//	<new key>
//	<time, RFC 3339, UTC, seconds>
//	<who decided it>
//	<log> <size> <root>
//
// The last line occurs once for each log, ascending by name.
type Handover struct {
	Installation string // named by the first key
	Number       uint64 // from 1
	Old, New     *PublicKey
	At           time.Time // to the second
	Actor        string    // who decided it, of 1 to 200 bytes
	Logs         []Signed
}

// Signed is how far the old key has signed a log.
type Signed struct {
	Log  string
	Size uint64
	Root Hash
}

const (
	handoverHead = "aliquot log key handover v1"
	// MaxHandovers is the most handovers that an installation may have.
	MaxHandovers = 64
	maxHandover  = 64 << 10 // bytes
	maxLogName   = 64
	maxActor     = 200
)

var (
	errHandover     = errors.New("it does not have the form of a handover")
	errActor        = errors.New("the name of the person who decided it must be one line of 1 to 200 bytes")
	errHandoverSign = errors.New("not signed by both keys")
	errSuccession   = errors.New("the handovers do not follow each other from the installation's first key")
	errStranger     = errors.New("no handover names the key")
	errHandovers    = fmt.Errorf("more than %d handovers", MaxHandovers)
	errGivenAway    = errors.New("the tree is larger than what its key had signed when it handed over the log")
	errNotGiven     = errors.New("the tree is smaller than what its key took over")
)

func (h *Handover) text() string {
	lines := []string{handoverHead, h.Installation, strconv.FormatUint(h.Number, 10), h.Old.String(), h.New.String(), h.At.UTC().Format(time.RFC3339), h.Actor}
	for _, l := range h.Logs {
		lines = append(lines, l.Log+" "+strconv.FormatUint(l.Size, 10)+" "+l.Root.String())
	}
	return strings.Join(lines, "\n") + "\n"
}

// Sign returns the handover as a signed note.
func (h *Handover) Sign(old, next *Key) ([]byte, error) {
	signed, err := note.Sign(&note.Note{Text: h.text()}, old, next)
	if err == nil {
		_, err = ParseHandover(signed)
	}
	if err != nil {
		return nil, fmt.Errorf("signing a handover: %w", err)
	}
	return signed, nil
}

// ParseHandover reads what [Handover.Sign] writes and verifies the signatures of
// both keys that it names. Whether these keys may be believed is decided by a
// [Succession].
func ParseHandover(signed []byte) (*Handover, error) {
	h, err := parseHandover(signed)
	if err != nil {
		return nil, fmt.Errorf("reading a handover: %w", err)
	}
	return h, nil
}

func parseHandover(signed []byte) (*Handover, error) {
	text, _, ok := strings.Cut(string(signed), "\n\n")
	lines := strings.Split(text, "\n")
	if !ok || len(signed) > maxHandover || len(lines) < 7 || lines[0] != handoverHead {
		return nil, errHandover
	}
	h := &Handover{Installation: lines[1]}
	var err error
	if h.Number, err = strconv.ParseUint(lines[2], 10, 64); err != nil {
		return nil, errHandover
	}
	if h.Old, err = ParsePublicKey(lines[3]); err != nil {
		return nil, err
	}
	if h.New, err = ParsePublicKey(lines[4]); err != nil {
		return nil, err
	}
	if h.At, err = time.Parse(time.RFC3339, lines[5]); err != nil {
		return nil, errHandover
	}
	if h.Actor = lines[6]; h.Actor == "" || len(h.Actor) > maxActor || !utf8.ValidString(h.Actor) || strings.ContainsFunc(h.Actor, unicode.IsControl) {
		return nil, errActor
	}
	for _, line := range lines[7:] {
		words := strings.Split(line, " ")
		if len(words) != 3 || !IsLogName(words[0]) {
			return nil, errHandover
		}
		l := Signed{Log: words[0]}
		if l.Size, err = strconv.ParseUint(words[1], 10, 64); err != nil {
			return nil, errHandover
		}
		if l.Root, err = ParseHash(words[2]); err != nil {
			return nil, err
		}
		if n := len(h.Logs); n > 0 && h.Logs[n-1].Log >= l.Log {
			return nil, errHandover
		}
		h.Logs = append(h.Logs, l)
	}
	if h.text() != text+"\n" || h.Old.Name() == h.New.Name() {
		return nil, errHandover
	}
	opened, err := note.Open(signed, note.VerifierList(h.Old, h.New))
	if err != nil {
		return nil, errors.Join(errHandoverSign, err)
	}
	if len(opened.Sigs) != 2 || len(opened.UnverifiedSigs) != 0 {
		return nil, errHandoverSign
	}
	return h, nil
}

// IsLogName reports whether a log can have this name: the name of a stream in
// lower case.
func IsLogName(name string) bool {
	return name != "" && len(name) <= maxLogName && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
}

// of returns how far the old key has signed a log.
func (h *Handover) of(log string) (Signed, bool) {
	at, found := slices.BinarySearchFunc(h.Logs, log, func(s Signed, log string) int { return strings.Compare(s.Log, log) })
	if !found {
		return Signed{}, false
	}
	return h.Logs[at], true
}

// Succession is the sequence of keys of an installation's logs: the first one,
// and those to which it was handed over. The installation keeps the name of the
// first key, which is the beginning of the origin of each log.
type Succession struct {
	keys      []*PublicKey
	handovers []*Handover
	notes     [][]byte
}

// NewSuccession verifies that the handovers form a chain from the first key of an
// installation, and that the trusted key is in the chain. Without handovers the
// trusted key is the first and only one.
func NewSuccession(trusted *PublicKey, handovers ...[]byte) (*Succession, error) {
	s := &Succession{keys: []*PublicKey{trusted}}
	if len(handovers) > MaxHandovers {
		return nil, fmt.Errorf("following the log keys: %w", errHandovers)
	}
	believed := len(handovers) == 0
	for i, signed := range handovers {
		h, err := ParseHandover(signed)
		if err != nil {
			return nil, fmt.Errorf("following the log keys: %w", err)
		}
		if i == 0 {
			s.keys[0] = h.Old
		}
		if h.Number != uint64(i+1) || h.Installation != s.keys[0].Name() || h.Old.String() != s.Current().String() {
			return nil, fmt.Errorf("following the log keys, handover %d: %w", i+1, errSuccession)
		}
		for _, key := range s.keys {
			if key.String() == h.New.String() {
				return nil, fmt.Errorf("following the log keys, handover %d: %w", i+1, errSuccession)
			}
		}
		believed = believed || h.Old.String() == trusted.String() || h.New.String() == trusted.String()
		s.keys = append(s.keys, h.New)
		s.handovers = append(s.handovers, h)
		s.notes = append(s.notes, slices.Clone(signed))
	}
	if !believed {
		return nil, fmt.Errorf("following the log keys: %w", errStranger)
	}
	return s, nil
}

// Installation returns the name of the first key.
func (s *Succession) Installation() string { return s.keys[0].Name() }

// Origin returns the origin of a log, named as its stream in lower case.
func (s *Succession) Origin(log string) string { return s.keys[0].Origin(log) }

// LogOf returns the log that has this origin, or false if it is not a log of this
// installation.
func (s *Succession) LogOf(origin string) (string, bool) {
	log, ok := strings.CutPrefix(origin, s.Installation()+"/")
	return log, ok && IsLogName(log)
}

// Current returns the key that signs now.
func (s *Succession) Current() *PublicKey { return s.keys[len(s.keys)-1] }

// String returns the text of the current key, as key files contain it.
func (s *Succession) String() string { return s.Current().String() }

// Name implements note.Verifier, for the current key.
func (s *Succession) Name() string { return s.Current().Name() }

// KeyHash implements note.Verifier, for the current key.
func (s *Succession) KeyHash() uint32 { return s.Current().KeyHash() }

// Verify implements note.Verifier, for the current key.
func (s *Succession) Verify(text, signature []byte) bool { return s.Current().Verify(text, signature) }

// Keys returns all keys, the first one first.
func (s *Succession) Keys() []*PublicKey { return slices.Clone(s.keys) }

// Notes returns the handovers as signed notes.
func (s *Succession) Notes() [][]byte { return slices.Clone(s.notes) }

// Handovers returns the content of the handovers.
func (s *Succession) Handovers() []*Handover { return slices.Clone(s.handovers) }

// Open does the same as [OpenCheckpoint] for a log of the installation, whichever
// of its keys signed the checkpoint. It also returns that key.
func (s *Succession) Open(signed []byte, log string, others ...note.Verifier) (Checkpoint, *note.Note, *PublicKey, error) {
	var first error
	for i := len(s.keys) - 1; i >= 0; i-- {
		c, opened, err := OpenCheckpoint(signed, s.Origin(log), s.keys[i], others...)
		if err == nil {
			if err = s.bounds(i, log, c); err != nil {
				return Checkpoint{}, nil, nil, fmt.Errorf("opening a checkpoint of %s: %s: %w", c.Origin, s.keys[i].Name(), err)
			}
			return c, opened, s.keys[i], nil
		}
		if first == nil || errors.Is(first, ErrUnsigned) {
			first = err
		}
	}
	return Checkpoint{}, nil, nil, first
}

// bounds returns an error if key i cannot have signed a tree, because of the
// handover before it or the one after it.
func (s *Succession) bounds(i int, log string, c Checkpoint) error {
	if i > 0 {
		before, known := s.handovers[i-1].of(log)
		if known && (c.Size < before.Size || c.Size == before.Size && c.Root != before.Root) {
			return errNotGiven
		}
	}
	if i < len(s.handovers) {
		after, known := s.handovers[i].of(log)
		if !known && c.Size > 0 || known && (c.Size > after.Size || c.Size == after.Size && c.Root != after.Root) {
			return errGivenAway
		}
	}
	return nil
}
