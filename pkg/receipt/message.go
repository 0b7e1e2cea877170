package receipt

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// Message is one message of a stream, as its leaf covers it. Its index in the
// log is its position less one.
type Message struct {
	Log      string `json:"log"`
	Position uint64 `json:"position"`
	Subject  string `json:"subject"`
	Bytes    int    `json:"bytes"` // of its data, which is in the data of the receipt
	Path     Path   `json:"path"`
}

var (
	errLength   = errors.New("a message has no bytes")
	errData     = errors.New("the data is not as long as the messages")
	errTooMuch  = fmt.Errorf("the messages have more than %d bytes", MaxData)
	errDataEnds = errors.New("something follows the data")
)

// SetData compresses the data of the messages, which must be in the order of
// the messages.
func (r *Receipt) SetData(list [][]byte) error {
	var out bytes.Buffer
	writer, err := flate.NewWriter(&out, flate.BestCompression)
	for _, data := range list {
		if err == nil {
			_, err = writer.Write(data)
		}
	}
	if err == nil {
		err = writer.Close()
	}
	if err != nil {
		return fmt.Errorf("compressing the messages: %w", err)
	}
	r.Data = out.Bytes()
	return nil
}

// split returns the data of the messages, in their order.
func (r *Receipt) split() ([][]byte, error) {
	total := 0
	for i := range r.Messages {
		n := r.Messages[i].Bytes
		if n < 1 {
			return nil, errLength
		}
		if n > MaxData-total {
			return nil, errTooMuch
		}
		total += n
	}
	if total == 0 {
		if len(r.Data) > 0 {
			return nil, errDataEnds
		}
		return nil, nil
	}
	compressed := bytes.NewReader(r.Data)
	all, err := io.ReadAll(io.LimitReader(flate.NewReader(compressed), int64(total)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("decompressing the messages: %w", err)
	case len(all) != total:
		return nil, errData
	case compressed.Len() > 0:
		return nil, errDataEnds
	}
	list := make([][]byte, len(r.Messages))
	for i := range r.Messages {
		n := r.Messages[i].Bytes
		list[i], all = all[:n:n], all[n:]
	}
	return list, nil
}

// leaf returns the hash of the message's leaf.
func (m *Message) leaf(data []byte) tlog.Hash {
	leaf := tlog.StreamLeaf{Position: m.Position, Subject: m.Subject, Data: sha256.Sum256(data)}
	return tlog.LeafHash(leaf.Append(nil))
}
