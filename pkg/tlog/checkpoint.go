package tlog

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Checkpoint is the state of a log, as C2SP tlog-checkpoint defines it.
type Checkpoint struct {
	Origin     string // of the log: aliquot/<installation>/<log>
	Size       uint64 // leaves
	Root       Hash
	Extensions []string // lines that other logs may add; ours adds none
}

var (
	errLines     = errors.New("want origin, size, root and a newline after each line")
	errOrigin    = errors.New("the origin is empty or has control characters")
	errSize      = errors.New("the size is not a decimal without leading zeros")
	errOther     = errors.New("it is a checkpoint of another log")
	errOverlong  = errors.New("it is longer than a checkpoint can be")
	errExtension = errors.New("an empty extension line")
)

// ErrUnsigned means that a checkpoint has no signature of the log's key.
var ErrUnsigned = errors.New("not signed by the log's key")

// maxCheckpoint is the length of the longest signed checkpoint that is read, in
// bytes. It has room for about a hundred cosignatures, which is the most that a
// note may have.
const maxCheckpoint = 64 << 10

// Marshal returns the text to be signed.
func (c *Checkpoint) Marshal() string {
	text := c.Origin + "\n" + strconv.FormatUint(c.Size, 10) + "\n" + c.Root.String() + "\n"
	for _, line := range c.Extensions {
		text += line + "\n"
	}
	return text
}

// ParseCheckpoint reads exactly what [Checkpoint.Marshal] writes. It does not
// check who signed it: see [OpenCheckpoint].
func ParseCheckpoint(text string) (Checkpoint, error) {
	c, err := parseCheckpoint(text)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("parsing a checkpoint: %w", err)
	}
	return c, nil
}

func parseCheckpoint(text string) (c Checkpoint, err error) {
	if len(text) > maxCheckpoint {
		return c, errOverlong
	}
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[len(lines)-1] != "" {
		return c, errLines
	}
	c.Origin = lines[0]
	if c.Origin == "" || strings.ContainsFunc(c.Origin, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) {
		return c, errOrigin
	}
	c.Size, err = strconv.ParseUint(lines[1], 10, 64)
	if err != nil || strconv.FormatUint(c.Size, 10) != lines[1] {
		return c, errSize
	}
	if c.Root, err = ParseHash(lines[2]); err != nil {
		return c, err
	}
	for _, line := range lines[3 : len(lines)-1] {
		if line == "" {
			return c, errExtension
		}
		c.Extensions = append(c.Extensions, line)
	}
	return c, nil
}

// Sign returns the checkpoint as a signed note.
func (c *Checkpoint) Sign(signers ...note.Signer) ([]byte, error) {
	text := c.Marshal()
	if _, err := ParseCheckpoint(text); err != nil {
		return nil, fmt.Errorf("signing a checkpoint: %w", err)
	}
	signed, err := note.Sign(&note.Note{Text: text}, signers...)
	if err != nil {
		return nil, fmt.Errorf("signing a checkpoint of %s: %w", c.Origin, err)
	}
	return signed, nil
}

// OpenCheckpoint reads a signed checkpoint of the log with this origin. It must
// have a valid signature of the log's key. Signatures of the other keys are
// verified too; the valid ones are in the note's Sigs. A signature that names a
// known key and is not valid makes the whole note invalid.
func OpenCheckpoint(signed []byte, origin string, log note.Verifier, others ...note.Verifier) (Checkpoint, *note.Note, error) {
	if len(signed) > maxCheckpoint {
		return Checkpoint{}, nil, fmt.Errorf("opening a checkpoint of %s: %w", origin, errOverlong)
	}
	known := append([]note.Verifier{log}, others...)
	opened, err := note.Open(signed, note.VerifierList(known...))
	var unverified *note.UnverifiedNoteError
	if errors.As(err, &unverified) {
		err = ErrUnsigned
	}
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("opening a checkpoint of %s: %w", origin, err)
	}
	own := false
	for _, s := range opened.Sigs {
		own = own || s.Name == log.Name() && s.Hash == log.KeyHash()
	}
	if !own {
		return Checkpoint{}, nil, fmt.Errorf("opening a checkpoint of %s: %w", origin, ErrUnsigned)
	}
	c, err := ParseCheckpoint(opened.Text)
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("opening a checkpoint of %s: %w", origin, err)
	}
	if c.Origin != origin {
		return Checkpoint{}, nil, fmt.Errorf("opening a checkpoint of %s: %w: %s", origin, errOther, c.Origin)
	}
	return c, opened, nil
}
