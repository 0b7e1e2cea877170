package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

const (
	firstBytes = 64 << 10
	maxKept    = 2 << 20 // size of a buffer that is kept for the next body
	maxWindow  = 8 << 20 // of zstd; RFC 8878 asks decoders for no more
)

// Body is one body, decompressed. Until Release it reserves room in the service
// for what was read and for at most as much again.
type Body struct {
	service  *Service
	of       *quota
	data     []byte
	reserved int // bytes of data's capacity that are reserved; the rest is left from an earlier body
}

// Bytes returns what was read. It is valid until Release.
func (b *Body) Bytes() []byte { return b.data }

// Release releases the body's memory. Nothing may use its bytes afterwards.
func (b *Body) Release() {
	s := b.service
	s.room.leave(b.of, int64(b.reserved))
	b.reserved, b.of = 0, nil
	if cap(b.data) <= maxKept {
		b.data = b.data[:0]
		s.bodies.Put(b)
	}
}

// codings are the decompressors, which are reused.
type codings struct {
	gzips sync.Pool // of *gzip.Reader
	zstds sync.Pool // of *zstd.Decoder
}

// ReadBody reads and decompresses a body of a provider. length is its length in
// bytes, or -1 if it is not known. coding is the value of Content-Encoding:
// empty, identity, gzip or zstd.
//
// A refusal means that the body is faulty; the body then contains what was read
// of it. An error is [ErrOverloaded], or the error of from. The body must be
// released in every case.
func (s *Service) ReadBody(ctx context.Context, provider events.Provider, from io.Reader, length int64, coding string) (*Body, *events.Refusal, error) {
	b, ok := s.bodies.Get().(*Body)
	if !ok {
		b = &Body{service: s}
	}
	b.data, b.of = b.data[:0], s.room.enter(provider)
	limit := s.config.MaxBody
	compressed := &bounded{from: from, left: int64(limit)}
	if length > int64(limit) {
		compressed.left, limit = firstBytes, firstBytes // Enough to recognise it by.
	}
	var source io.Reader = compressed
	coding = strings.ToLower(strings.TrimSpace(coding))
	most := limit + 1
	switch coding {
	case "", "identity":
		if length >= 0 && length <= int64(limit) {
			most = int(length) + 1 // One more byte, so that one read also reaches the end.
		}
	case "gzip", "x-gzip":
		z, err := s.codings.gzip(compressed)
		if z != nil {
			defer s.codings.gzips.Put(z)
		}
		if err != nil {
			return b, s.unreadable(compressed, coding, err), compressed.err
		}
		source = z
	case "zstd":
		z, err := s.codings.zstd(compressed, s.config.MaxBody)
		if z != nil {
			defer func() {
				_ = z.Reset(nil) // Releases the body; it cannot fail.
				s.codings.zstds.Put(z)
			}()
		}
		if err != nil {
			return b, s.unreadable(compressed, coding, err), compressed.err
		}
		source = z
	default:
		refusal := whole("Content-Encoding", events.Unsupported, "is not identity, gzip or zstd")
		return b, &refusal, nil
	}
	for {
		if len(b.data) == b.reserved {
			if err := b.grow(ctx, most); err != nil {
				s.show.answered(ctx, time.Now(), nil, err)
				return b, nil, err
			}
		}
		n, err := source.Read(b.data[len(b.data):b.reserved])
		b.data = b.data[:len(b.data)+n]
		switch {
		case len(b.data) > limit:
			b.data = b.data[:limit]
			return b, s.tooLarge(), nil
		case errors.Is(err, io.EOF):
			return b, nil, nil
		case compressed.err != nil:
			return b, nil, fmt.Errorf("reading a body: %w", compressed.err)
		case err != nil:
			return b, s.unreadable(compressed, coding, err), nil
		}
	}
}

// grow makes room for as much again as was read, and for at most most bytes in
// all. It does not trust the declared length, because declaring one costs the
// sender nothing.
func (b *Body) grow(ctx context.Context, most int) error {
	size := 2 * len(b.data)
	if most > len(b.data) {
		size = min(size, most)
	}
	size = max(size, firstBytes)
	wait := time.Duration(0)
	if b.reserved == 0 {
		wait = b.service.config.QueueWait
	}
	if err := b.service.room.reserve(ctx, b.of, int64(size-b.reserved), wait); err != nil {
		return err
	}
	b.reserved = size
	if cap(b.data) < size {
		b.data = append(make([]byte, 0, size), b.data...)
	}
	return nil
}

func (s *Service) tooLarge() *events.Refusal {
	refusal := whole("body", events.TooLarge, "has more than %d bytes", s.config.MaxBody)
	return &refusal
}

// unreadable classifies the errors of decompressing.
func (s *Service) unreadable(compressed *bounded, coding string, err error) *events.Refusal {
	if compressed.beyond || errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return s.tooLarge()
	}
	if coding == "" || coding == "identity" {
		coding = "body"
	}
	refusal := whole("body", events.Malformed, "%s: %v", coding, err)
	return &refusal
}

func (c *codings) gzip(from io.Reader) (*gzip.Reader, error) {
	z, ok := c.gzips.Get().(*gzip.Reader)
	if !ok {
		z = new(gzip.Reader)
	}
	return z, z.Reset(from)
}

func (c *codings) zstd(from io.Reader, limit int) (*zstd.Decoder, error) {
	if z, ok := c.zstds.Get().(*zstd.Decoder); ok {
		return z, z.Reset(from)
	}
	return zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(uint64(limit)+1))
}

// bounded reads at most left bytes and records whether there were more. err is
// the error of reading, as opposed to decompressing.
type bounded struct {
	from   io.Reader
	left   int64
	beyond bool
	err    error
}

var errBeyond = errors.New("the body is longer than its limit")

func (b *bounded) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if b.left > 0 {
		if int64(len(p)) > b.left {
			p = p[:b.left]
		}
		n, err := b.from.Read(p)
		b.left -= int64(n)
		return n, b.note(err)
	}
	var one [1]byte
	n, err := b.from.Read(one[:])
	if n > 0 {
		b.beyond = true
		return 0, errBeyond
	}
	return 0, b.note(err)
}

func (b *bounded) note(err error) error {
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return err
}

// Media types of submissions.
const (
	BatchMedia  = "application/cloudevents-batch+json"
	SingleMedia = "application/cloudevents+json"
	LinesMedia  = "application/x-ndjson"
	PackedMedia = "application/vnd.aliquot.packed"
)

// linesMedia are the names that are used for JSON Lines; none is registered.
var linesMedia = []string{
	LinesMedia, "application/ndjson", "application/jsonl", "application/x-jsonl", "application/jsonlines",
	"application/x-jsonlines", "application/json-lines", "application/x-json-lines", "text/x-ndjson",
}

// LinesNames returns the media types that are read as JSON Lines, with
// [LinesMedia] first.
func LinesNames() []string { return slices.Clone(linesMedia) }

// FormOf reads a Content-Type. Media types and parameters are compared without
// case. application/json is an event if attributes say that it is the data of
// one, or if it is an object; it is lines if one object follows another on the
// next line; otherwise it is a batch.
func FormOf(contentType string, attributes bool, body []byte) (Form, string, *events.Refusal) {
	media, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		refusal := whole("Content-Type", events.Unsupported, "is not a media type")
		return 0, contentType, &refusal
	}
	if charset := parameters["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "us-ascii") {
		refusal := whole("Content-Type", events.Unsupported, "charset is not UTF-8")
		return 0, media, &refusal
	}
	switch {
	case media == BatchMedia:
		return Batch, media, nil
	case media == SingleMedia:
		return Single, media, nil
	case media == PackedMedia:
		return Packed, media, nil
	case slices.Contains(linesMedia, media):
		return Lines, media, nil
	case attributes && (media == "application/json" || strings.HasSuffix(media, "+json")):
		return Binary, media, nil
	case media == "application/json" && isObject(body) && hasLines(body):
		return Lines, media, nil
	case media == "application/json" && isObject(body):
		return Single, media, nil
	case media == "application/json":
		return Batch, media, nil
	}
	refusal := whole("Content-Type", events.Unsupported, "is not one of %s, %s, application/json, %s, %s", BatchMedia, SingleMedia, LinesMedia, PackedMedia)
	return 0, media, &refusal
}

// mark is the byte order mark, which some programs write before JSON.
const mark = "\uFEFF"

// hasLines reports whether the first line ends an object and the next line begins
// another. Inside one JSON value a comma would be between them.
func hasLines(body []byte) bool {
	line, rest, found := bytes.Cut(bytes.TrimLeft(bytes.TrimPrefix(body, []byte(mark)), " \t\r\n"), []byte("\n"))
	return found && bytes.HasSuffix(bytes.TrimRight(line, " \t\r"), []byte("}")) && isObject(rest)
}

// isObject reports whether JSON text begins as an object.
func isObject(body []byte) bool {
	for _, c := range bytes.TrimPrefix(body, []byte(mark)) {
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		}
		return c == '{'
	}
	return false
}
