package packed

import (
	"encoding/binary"

	"github.com/aliquot-engine/aliquot/pkg/events/internal/varint"
)

func (b *Builder) appendColumn32(dst []byte, field int, values []uint32) []byte {
	if len(values) == 0 {
		return dst
	}
	first, same := values[0], true
	for _, v := range values {
		same = same && v == first
	}
	switch {
	case same && first == 0:
		return dst
	case same:
		values = values[:1]
	}
	column := b.column[:0]
	for _, v := range values {
		column = varint.Append(column, uint64(v))
	}
	b.column = column
	return appendField(dst, field, column)
}

func (b *Builder) appendColumn64(dst []byte, field int, values []uint64, unit uint64) []byte {
	if len(values) == 0 {
		return dst
	}
	first, same := values[0], true
	for _, v := range values {
		same = same && v == first
	}
	switch {
	case same && first == 0:
		return dst
	case same:
		values = values[:1]
	}
	column := b.column[:0]
	if unit == 1 {
		for _, v := range values {
			column = varint.Append(column, v)
		}
	} else {
		for _, v := range values {
			column = varint.Append(column, v/unit)
		}
	}
	b.column = column
	return appendField(dst, field, column)
}

func (b *Builder) appendDeltas(dst []byte, field int, values []uint64, unit uint64) []byte {
	column, last := b.column[:0], uint64(0)
	for _, v := range values {
		if unit != 1 {
			v /= unit
		}
		column = varint.Append(column, varint.Zigzag(v-last))
		last = v
	}
	b.column = column
	return appendField(dst, field, column)
}

func appendTag(dst []byte, field int, wireType uint64) []byte {
	return binary.AppendUvarint(dst, uint64(field)<<3|wireType)
}

func appendScalar(dst []byte, field int, v uint64) []byte {
	return binary.AppendUvarint(appendTag(dst, field, 0), v)
}

func appendField[T ~string | ~[]byte](dst []byte, field int, data T) []byte {
	dst = appendTag(dst, field, 2)
	dst = binary.AppendUvarint(dst, uint64(len(data)))
	return append(dst, data...)
}
