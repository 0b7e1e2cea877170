package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/ingest"
)

const (
	firstBytes = 64 << 10
	maxKept    = 1 << 20 // of a buffer that is kept for the next request
	maxWindow  = 8 << 20 // of zstd; RFC 8878 asks decoders for no more
)

// buffer is one body. What it may hold is reserved of the service's room.
type buffer struct {
	data     []byte
	reserved int
}

func (h *handler) put(b *buffer) {
	h.service.Release(b.reserved)
	b.reserved = 0
	if cap(b.data) <= maxKept {
		b.data = b.data[:0]
		h.buffers.Put(b)
	}
}

// read fills a buffer with the decompressed body. A refusal is the body's fault:
// it then holds the beginning. An error is ours, or says that the sender went
// away.
func (h *handler) read(r *http.Request, b *buffer) (*events.Refusal, error) {
	limit := h.service.MaxBody()
	b.data = b.data[:0]
	compressed := &bounded{from: r.Body, left: int64(limit)}
	var source io.Reader = compressed
	coding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding")))
	switch coding {
	case "", "identity":
		coding = ""
	case "gzip", "x-gzip":
		z, err := h.gzip(compressed)
		if err != nil {
			return unreadable(compressed, "gzip", err), h.room(r, b, firstBytes)
		}
		defer h.gzips.Put(z)
		source = z
	case "zstd":
		z, err := h.zstd(compressed)
		if err != nil {
			return unreadable(compressed, "zstd", err), h.room(r, b, firstBytes)
		}
		defer func() {
			_ = z.Reset(nil) // Lets go of the body; nothing can fail.
			h.zstds.Put(z)
		}()
		source = z
	default:
		return &events.Refusal{Index: -1, Field: "Content-Encoding", Reason: events.Unsupported, Detail: "is none of identity, gzip, zstd"}, nil
	}
	want := firstBytes
	if r.ContentLength > int64(limit) {
		// Enough to know it by.
		compressed.left = firstBytes
		limit = firstBytes
	} else if coding == "" && r.ContentLength >= 0 {
		want = int(r.ContentLength) + 1
	}
	for {
		if err := h.room(r, b, want); err != nil {
			return nil, err
		}
		n, err := source.Read(b.data[len(b.data):min(cap(b.data), limit+1)])
		b.data = b.data[:len(b.data)+n]
		switch {
		case len(b.data) > limit || compressed.beyond || errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded):
			b.data = b.data[:min(len(b.data), limit)]
			return &events.Refusal{Index: -1, Field: "body", Reason: events.TooLarge,
				Detail: fmt.Sprintf("more than %d bytes", h.service.MaxBody())}, nil
		case errors.Is(err, io.EOF):
			return nil, nil
		case err != nil && compressed.err != nil:
			return nil, fmt.Errorf("reading a body: %w", err)
		case err != nil:
			return unreadable(compressed, coding, err), nil
		}
		want = 2 * len(b.data)
	}
}

// room makes the buffer hold at least n bytes, and one more than it has.
func (h *handler) room(r *http.Request, b *buffer, n int) error {
	if len(b.data) < cap(b.data) && b.reserved > 0 {
		return nil
	}
	size := min(max(n, firstBytes), h.service.MaxBody()+1)
	size = max(size, cap(b.data))
	if err := h.service.Reserve(r.Context(), size-b.reserved, b.reserved > 0); err != nil {
		return err
	}
	b.reserved = size
	if cap(b.data) < size {
		b.data = append(make([]byte, 0, size), b.data...)
	}
	return nil
}

func unreadable(compressed *bounded, coding string, err error) *events.Refusal {
	if compressed.beyond {
		return &events.Refusal{Index: -1, Field: "body", Reason: events.TooLarge, Detail: "more than the limit, compressed"}
	}
	return &events.Refusal{Index: -1, Field: "body", Reason: events.Malformed, Detail: fmt.Sprintf("%s: %v", coding, err)}
}

func (h *handler) gzip(from io.Reader) (*gzip.Reader, error) {
	z, ok := h.gzips.Get().(*gzip.Reader)
	if !ok {
		z = new(gzip.Reader)
	}
	if err := z.Reset(from); err != nil {
		h.gzips.Put(z)
		return nil, err
	}
	return z, nil
}

func (h *handler) zstd(from io.Reader) (*zstd.Decoder, error) {
	if z, ok := h.zstds.Get().(*zstd.Decoder); ok {
		return z, z.Reset(from)
	}
	return zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(uint64(h.service.MaxBody())+1))
}

// bounded reads at most left bytes and says whether there was more. err is what
// reading failed with, as opposed to decompressing.
type bounded struct {
	from   io.Reader
	left   int64
	beyond bool
	err    error
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		var one [1]byte
		n, err := b.from.Read(one[:])
		if n > 0 {
			b.beyond = true
			return 0, errBeyond
		}
		return 0, b.note(err)
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.from.Read(p)
	b.left -= int64(n)
	return n, b.note(err)
}

func (b *bounded) note(err error) error {
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return err
}

var errBeyond = fmt.Errorf("%w: body", ingest.ErrOverloaded)
