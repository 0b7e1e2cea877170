package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/semaphore"

	"github.com/aliquot-engine/aliquot/internal/telemetry/trail"
)

const (
	// MaxMessageBytes bounds a message: headers and data together. It is also
	// the server's default max_payload, so that any cluster accepts it.
	MaxMessageBytes = 1 << 20

	// duplicateWindow is how long the server remembers message ids, in memory.
	// It only prevents a second copy of a message that a relay repeats at once;
	// nothing depends on it. The server's minimum is 100 ms.
	duplicateWindow = 2 * time.Second
)

// Option changes how a stream keeps its messages.
type Option func(*jetstream.StreamConfig)

// Bounded makes a stream drop its oldest messages beyond the given size, for
// data that is useful but not money. Its readers do not check for gaps.
func Bounded(bytes int64) Option {
	return func(config *jetstream.StreamConfig) {
		config.MaxBytes = bytes
		config.Discard = jetstream.DiscardOld
	}
}

// Stream is one stream of a log, for any number of goroutines.
type Stream struct {
	log     *Log
	name    string
	created time.Time
	bounded bool
	handle  jetstream.Stream
	source  Source // instead of a server's handle; see [Offline]

	lasts sync.Mutex        // guards last
	last  map[string]uint64 // position of the last message by subject, of a source

	// The server drops messages that exceed 128 MB in its ingest queue. These
	// semaphores keep far below that limit, and bound the memory of waiting
	// publishers.
	bytes *semaphore.Weighted
	count *semaphore.Weighted
}

// Message is one stored message.
type Message struct {
	// Seq is the position, from 1.
	Seq     uint64
	Subject string
	// Data and Header may be kept by the receiver; they are not reused.
	Data   []byte
	Header nats.Header
	// Time is when the server stored the message. No decision depends on it.
	Time time.Time
}

// Trace returns the trace in which the message was written; it is invalid if
// that was not sampled.
func (m *Message) Trace() trace.SpanContext { return trail.Of(m.Header) }

// Info is a stream's extent.
type Info struct {
	// First is the first position that exists, or Last+1 if there is none.
	First uint64
	// Last is the last position that was ever assigned, 0 if there is none.
	Last uint64
	// Messages and Bytes are the number and size of the stored messages.
	Messages uint64
	Bytes    uint64
	// Deleted are the positions missing between First and Last, as far as the
	// server names them, ascending.
	Deleted []uint64
}

// Stream creates a stream or, if it exists, verifies that it has the requested
// configuration; ErrDrift names each difference. It never changes an existing
// stream.
func (l *Log) Stream(ctx context.Context, name string, subjects []string, options ...Option) (*Stream, error) {
	config := jetstream.StreamConfig{
		Name:              name,
		Subjects:          subjects,
		Retention:         jetstream.LimitsPolicy,
		Storage:           jetstream.FileStorage,
		Discard:           jetstream.DiscardNew,
		MaxMsgs:           -1,
		MaxBytes:          -1,
		MaxMsgsPerSubject: -1,
		MaxConsumers:      -1,
		MaxMsgSize:        MaxMessageBytes,
		Duplicates:        duplicateWindow,
		Replicas:          l.config.Replicas,
		DenyDelete:        true,
		DenyPurge:         true,
		// Direct reads may come from a follower that is behind; the end of a
		// stream must be read back from the leader.
		AllowDirect: false,
	}
	for _, option := range options {
		option(&config)
	}
	var handle jetstream.Stream
	err := l.patiently(ctx, func(ctx context.Context) (err error) {
		handle, err = l.openOrCreate(ctx, config)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening stream %s: %w", name, interrupted(err))
	}
	info := handle.CachedInfo()
	if differences := drift(config, info.Config); len(differences) > 0 {
		return nil, fmt.Errorf("opening stream %s: %w: %s", name, ErrDrift, strings.Join(differences, "; "))
	}
	if err := l.belongs(name, info.Config.Metadata); err != nil {
		return nil, err
	}
	return &Stream{
		log:     l,
		name:    name,
		created: info.Created,
		bounded: config.Discard == jetstream.DiscardOld,
		handle:  handle,
		bytes:   semaphore.NewWeighted(windowBytes),
		count:   semaphore.NewWeighted(windowMessages),
	}, nil
}

func (l *Log) openOrCreate(ctx context.Context, config jetstream.StreamConfig) (jetstream.Stream, error) {
	handle, err := l.reader.Stream(ctx, config.Name)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return handle, err
	}
	if l.onDisk(config.Name) {
		return nil, fmt.Errorf("%w: its files are there but the server does not know it", ErrDamaged)
	}
	id, err := l.named(ctx)
	if err != nil {
		return nil, err
	}
	config.Metadata = map[string]string{installationKey: id}
	handle, err = l.reader.CreateStream(ctx, config)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		// Another process has created the stream in the meantime, and its
		// installation's name counts. Some servers may not know the stream yet,
		// so the lookup is retried.
		handle, err = l.reader.Stream(ctx, config.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			err = fmt.Errorf("%w: another process is creating it", ErrUnavailable)
		}
	}
	return handle, err
}

// drift lists the differences between a stream and the requested configuration,
// including every setting that would make it lose or reorder messages, or
// acknowledge them early.
func drift(want, have jetstream.StreamConfig) []string {
	var differences []string
	differ := func(field string, want, have any) {
		if want != have {
			differences = append(differences, fmt.Sprintf("%s is %v, want %v", field, have, want))
		}
	}
	if !slices.Equal(want.Subjects, have.Subjects) {
		differences = append(differences, fmt.Sprintf("subjects are %v, want %v", have.Subjects, want.Subjects))
	}
	differ("retention", want.Retention, have.Retention)
	differ("storage", want.Storage, have.Storage)
	differ("discard", want.Discard, have.Discard)
	differ("max_age", want.MaxAge, have.MaxAge)
	differ("max_msgs", want.MaxMsgs, have.MaxMsgs)
	differ("max_bytes", want.MaxBytes, have.MaxBytes)
	differ("max_msgs_per_subject", want.MaxMsgsPerSubject, have.MaxMsgsPerSubject)
	differ("max_msg_size", want.MaxMsgSize, have.MaxMsgSize)
	differ("duplicate_window", want.Duplicates, have.Duplicates)
	differ("num_replicas", want.Replicas, have.Replicas)
	differ("no_ack", want.NoAck, have.NoAck)
	differ("sealed", want.Sealed, have.Sealed)
	differ("deny_delete", want.DenyDelete, have.DenyDelete)
	differ("deny_purge", want.DenyPurge, have.DenyPurge)
	differ("allow_rollup_hdrs", want.AllowRollup, have.AllowRollup)
	differ("allow_direct", want.AllowDirect, have.AllowDirect)
	differ("allow_msg_ttl", want.AllowMsgTTL, have.AllowMsgTTL)
	differ("allow_msg_counter", want.AllowMsgCounter, have.AllowMsgCounter)
	differ("allow_msg_schedules", want.AllowMsgSchedules, have.AllowMsgSchedules)
	differ("persist_mode", want.PersistMode, have.PersistMode)
	differ("mirror", want.Mirror != nil, have.Mirror != nil)
	differ("sources", len(want.Sources), len(have.Sources))
	differ("subject_transform", want.SubjectTransform != nil, have.SubjectTransform != nil)
	return differences
}

// Name is the stream's name.
func (s *Stream) Name() string { return s.name }

// Created returns when the stream was created; together with the name it
// identifies the stream.
func (s *Stream) Created() time.Time { return s.created }

// Last returns the last position that was assigned, 0 if there is none.
func (s *Stream) Last(ctx context.Context) (uint64, error) {
	if s.source != nil {
		return s.source.Last(), nil
	}
	info, err := s.handle.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("reading the end of stream %s: %w", s.name, interrupted(err))
	}
	return info.State.LastSeq, nil
}

// Info returns the stream's present extent. Its cost grows with the number of
// missing messages, not with the stream.
func (s *Stream) Info(ctx context.Context) (Info, error) {
	info, _, err := s.info(ctx)
	return info, err
}

func (s *Stream) info(ctx context.Context) (Info, time.Time, error) {
	if s.source != nil {
		return s.offlineInfo(), s.created, nil
	}
	info, err := s.handle.Info(ctx, jetstream.WithDeletedDetails(true))
	if err != nil {
		return Info{}, time.Time{}, fmt.Errorf("reading the extent of stream %s: %w", s.name, interrupted(err))
	}
	state := info.State
	extent := Info{
		First:    state.FirstSeq,
		Last:     state.LastSeq,
		Messages: state.Msgs,
		Bytes:    state.Bytes,
		Deleted:  state.Deleted,
	}
	if state.Msgs == 0 {
		extent.First = state.LastSeq + 1
	}
	if state.LastSeq == 0 {
		extent.Deleted = nil // for a stream without messages the server reports position 0 as missing
	}
	if state.Lost != nil {
		extent.Deleted = append(extent.Deleted, state.Lost.Msgs...)
		slices.Sort(extent.Deleted)
		extent.Deleted = slices.Compact(extent.Deleted)
	}
	return extent, info.Created, nil
}

// Get reads one message by its position. It fails with ErrNotFound if the
// stream does not have it.
func (s *Stream) Get(ctx context.Context, seq uint64) (Message, error) {
	if seq == 0 {
		return Message{}, fmt.Errorf("reading stream %s at 0: %w", s.name, ErrNotFound)
	}
	if s.source != nil {
		m, err := s.source.Get(ctx, seq)
		if err != nil {
			return Message{}, fmt.Errorf("reading stream %s at %d: %w", s.name, seq, err)
		}
		return m, nil
	}
	raw, err := s.handle.GetMsg(ctx, seq)
	if err != nil {
		return Message{}, fmt.Errorf("reading stream %s at %d: %w", s.name, seq, interrupted(err))
	}
	return Message{Seq: raw.Sequence, Subject: raw.Subject, Data: raw.Data, Header: raw.Header, Time: raw.Time}, nil
}

// GetLastFor reads the last message of a subject. It fails with ErrNotFound if
// there is none.
func (s *Stream) GetLastFor(ctx context.Context, subject string) (Message, error) {
	if s.source != nil {
		m, err := s.offlineLast(ctx, subject)
		if err != nil {
			return Message{}, fmt.Errorf("reading the last %s of stream %s: %w", subject, s.name, err)
		}
		return m, nil
	}
	raw, err := s.handle.GetLastMsgForSubject(ctx, subject)
	if err != nil {
		return Message{}, fmt.Errorf("reading the last %s of stream %s: %w", subject, s.name, interrupted(err))
	}
	return Message{Seq: raw.Sequence, Subject: raw.Subject, Data: raw.Data, Header: raw.Header, Time: raw.Time}, nil
}
