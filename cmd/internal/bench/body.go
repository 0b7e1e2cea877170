package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/cloudevents"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

const (
	// firstSequence has as many digits, and as many bytes as a varint, as every
	// sequence that a run reaches, so that patches do not change the length.
	firstSequence = 50_000_000_000
	firstSecond   = 2 * time.Hour // of the day: no event crosses midnight
	duration      = time.Minute
	seconds       = 20 * 3600 // of the day; the events of a run end within them
)

// shape is a body that was encoded once, with the places to patch.
type shape struct {
	data   []byte
	n      int // events
	charge money.Amount

	source    []int // where the sender's number is, 3 digits
	sequences []int // 11 digits, of event i % n
	ids       []int // 32 hexadecimal digits, of event i % n
	starts    []int // 8 characters of a time of day
	ends      []int
	nodes     []int // 6 digits
	partition int
	customers []int

	// Packed only: the first element of a column of differences, 6 bytes; 0 if
	// there is none.
	sequence, end int
	firstEnd      uint64
	unit          uint64
}

// errPatch means that an encoded body does not have the expected parts, because
// the codec changed.
var errPatch = errors.New("the encoded body does not have the parts to be patched")

// newShapes encodes the bodies of a variant for one partition.
func newShapes(v Variant, partition int, day time.Time) ([]shape, error) {
	random := rand.New(rand.NewPCG(seed, seed+uint64(partition)))
	list := make([]shape, shapes)
	for i := range list {
		all, charge, err := usage(random, v, partition, day, v.perBody())
		if err != nil {
			return nil, fmt.Errorf("making up usage: %w", err)
		}
		if v.packed {
			list[i], err = packedShape(v, all)
		} else {
			list[i], err = jsonShape(v, all)
		}
		if err != nil {
			return nil, err
		}
		list[i].n, list[i].charge, list[i].partition = len(all), charge, partition
	}
	return list, nil
}

func jsonShape(v Variant, all []events.Usage) (s shape, err error) {
	s.data = append(s.data, '[')
	for i := range all {
		if i > 0 {
			s.data = append(s.data, ',')
		}
		from := len(s.data)
		s.data = cloudevents.Append(s.data, &all[i])
		one := s.data[from:]
		find := func(to *[]int, before, text string) {
			at := bytes.Index(one, []byte(before+text))
			if at < 0 {
				err = fmt.Errorf("%w: no %s%s in %s", errPatch, before, text, one)
				return
			}
			*to = append(*to, from+at+len(before))
		}
		find(&s.source, "//bench.example/meter/", "000")
		if v.ids {
			find(&s.ids, `"id":"`, all[i].ID)
		} else {
			digits := fmt.Sprint(all[i].Sequence)
			find(&s.sequences, `"id":"0/`, digits)
			find(&s.sequences, `"sequence":"`, digits)
		}
		find(&s.starts, `"start":"`, "")
		find(&s.ends, `"time":"`, "")
		if v.single {
			find(&s.nodes, `"node":"node-`, "")
			find(&s.customers, `"customer":"customer-`, "")
		}
	}
	for i := range s.starts {
		s.starts[i] += len("2006-01-02T")
		s.ends[i] += len("2006-01-02T")
	}
	s.data = append(s.data, ']')
	return s, err
}

func packedShape(v Variant, all []events.Usage) (s shape, err error) {
	var b packed.Builder
	b.Reset(provider, !v.ids)
	var raw packed.RawUsage
	for i := range all {
		if err := raw.Set(&all[i]); err != nil {
			return s, fmt.Errorf("packing: %w", err)
		}
		if !b.Add(&raw) {
			return s, errors.New("packing: no room in the segment")
		}
	}
	packed := b.AppendTo(nil)
	s.data = append(binary.AppendUvarint(nil, uint64(len(packed))), packed...)
	find := func(what []byte) int {
		at := bytes.Index(s.data, what)
		if at < 0 || bytes.Contains(s.data[at+1:], what) {
			err = fmt.Errorf("%w: %q does not occur exactly once", errPatch, what)
			return 0
		}
		return at
	}
	s.source = []int{find([]byte("//bench.example/meter/")) + len("//bench.example/meter/")}
	s.unit, s.firstEnd = uint64(time.Millisecond), uint64(all[0].End)/uint64(time.Millisecond)
	s.end = find(signed(s.firstEnd))
	if v.ids {
		at := find([]byte(all[0].ID))
		for i := range all {
			s.ids = append(s.ids, at+i*len(all[0].ID))
		}
	} else {
		s.sequence = find(signed(firstSequence))
	}
	if v.single {
		// In the order of the events, because each of them adds new names.
		at := 0
		next := func(name string) int {
			k := bytes.Index(s.data[at:], []byte(name))
			if k < 0 {
				err = fmt.Errorf("%w: no %s", errPatch, name)
				return 0
			}
			at += k + len(name)
			return at - 6
		}
		for i := range all {
			s.nodes = append(s.nodes, next(string(all[i].Node)))
			s.customers = append(s.customers, next(string(all[i].Customer)))
		}
	}
	return s, err
}

// signed is the varint of a difference that is not negative.
func signed(v uint64) []byte { return binary.AppendUvarint(nil, v<<1) }

// fill writes body number n of a sender to dst. first is the number of the body's
// first event among the sender's events.
func (s *shape) fill(dst []byte, sender int, first uint64, n int) []byte {
	dst = append(dst[:0], s.data...)
	for _, at := range s.source {
		putDigits(dst[at:at+3], uint64(sender))
	}
	per := len(s.sequences) / s.n
	for i, at := range s.sequences {
		putDigits(dst[at:at+11], firstSequence+first+uint64(i/per))
	}
	if s.sequence > 0 {
		binary.PutUvarint(dst[s.sequence:], (firstSequence+first)<<1)
	}
	for i, at := range s.ids {
		appendID(dst[at:at], uint64(sender)<<40|(first+uint64(i)))
	}
	second := n / 64 % seconds
	if s.end > 0 {
		binary.PutUvarint(dst[s.end:], (s.firstEnd+uint64(second)*uint64(time.Second)/s.unit)<<1)
	}
	if len(s.ends) > 0 {
		var start, end [8]byte
		putClock(&end, int(firstSecond/time.Second)+second)
		putClock(&start, int((firstSecond-duration)/time.Second)+second)
		for i, at := range s.ends {
			copy(dst[at:], end[:])
			copy(dst[s.starts[i]:], start[:])
		}
	}
	// Each round of singles combines nodes and customers in another way.
	for i, at := range s.nodes {
		k, first := uint64(n)*uint64(s.n)+uint64(i), uint64(s.partition)*perPartition
		putDigits(dst[at:at+6], first+k%singles)
		at = s.customers[i]
		putDigits(dst[at:at+6], first+(k+k/singles)%singles)
	}
	return dst
}

// putDigits writes v with leading zeros.
func putDigits(dst []byte, v uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = '0' + byte(v%10)
		v /= 10
	}
}

func putClock(dst *[8]byte, second int) {
	putDigits(dst[0:2], uint64(second/3600))
	dst[2], dst[5] = ':', ':'
	putDigits(dst[3:5], uint64(second/60%60))
	putDigits(dst[6:8], uint64(second%60))
}

// appendID appends an id that looks as random as a UUID does.
func appendID(dst []byte, k uint64) []byte {
	const digits = "0123456789abcdef"
	for _, word := range [2]uint64{mix(k), mix(k ^ 0x9e3779b97f4a7c15)} {
		for shift := 60; shift >= 0; shift -= 4 {
			dst = append(dst, digits[word>>shift&15])
		}
	}
	return dst
}

// mix is the finaliser of MurmurHash3: it maps different numbers to different
// numbers.
func mix(k uint64) uint64 {
	k = (k ^ k>>33) * 0xff51afd7ed558ccd
	k = (k ^ k>>33) * 0xc4ceb9fe1a85ec53
	return k ^ k>>33
}
