package receipt

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/aliquot-engine/aliquot/services/audit/tlog"
)

// Message is one message of a stream, as its leaf covers it. Its index in the
// log is its position less one.
type Message struct {
	Log      string `json:"log"`
	Position uint64 `json:"position"`
	Subject  string `json:"subject"`
	// Its data is one of the two: as text, or as a DEFLATE stream (RFC 1951).
	Text    string `json:"text,omitempty"`
	Deflate []byte `json:"deflate,omitempty"`
	Path    Path   `json:"path"`
}

// textUpTo is how long data that is text may be to stand as it is, bytes: longer
// data is shorter compressed.
const textUpTo = 1 << 10

var (
	errTwice   = errors.New("has its data twice, or not at all")
	errTooMuch = errors.New("the messages are longer than a receipt's can be")
)

// SetData makes data the message's.
func (m *Message) SetData(data []byte) error {
	m.Text, m.Deflate = "", nil
	if len(data) <= textUpTo && utf8.Valid(data) && len(data) > 0 {
		m.Text = string(data)
		return nil
	}
	var out bytes.Buffer
	writer, err := flate.NewWriter(&out, flate.BestCompression)
	if err == nil {
		_, err = writer.Write(data)
	}
	if err == nil {
		err = writer.Close()
	}
	if err != nil {
		return fmt.Errorf("compressing %s %d: %w", m.Log, m.Position, err)
	}
	m.Deflate = out.Bytes()
	return nil
}

// data returns the message's data, of which there may be at most so many bytes.
func (m *Message) data(most int) ([]byte, error) {
	if (m.Text == "") == (m.Deflate == nil) {
		return nil, errTwice
	}
	if m.Text != "" {
		if len(m.Text) > most {
			return nil, errTooMuch
		}
		return []byte(m.Text), nil
	}
	data, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(m.Deflate)), int64(most)+1))
	if err != nil {
		return nil, fmt.Errorf("decompressing: %w", err)
	}
	if len(data) > most {
		return nil, errTooMuch
	}
	return data, nil
}

// leaf is the hash of the message's leaf.
func (m *Message) leaf(data []byte) tlog.Hash {
	leaf := tlog.StreamLeaf{Position: m.Position, Subject: m.Subject, Data: sha256.Sum256(data)}
	return tlog.LeafHash(leaf.Append(nil))
}
