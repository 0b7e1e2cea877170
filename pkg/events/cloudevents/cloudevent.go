package cloudevents

import (
	"strconv"
	"unicode/utf8"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Append appends u as a CloudEvents 1.0 object in JSON that a [Parser] reads
// back as the same event. Equal events give equal bytes. A sequenced event
// without an id gets epoch and sequence as its id, because CloudEvents requires
// one.
func Append(dst []byte, u *events.Usage) []byte {
	dst = append(dst, `{"specversion":"1.0","type":"aliquot.usage","source":`...)
	dst = appendJSONText(dst, u.Source)
	if u.Sequenced {
		dst = append(dst, `,"id":`...)
		if u.ID != "" {
			dst = appendJSONText(dst, u.ID)
		} else {
			dst = strconv.AppendUint(append(dst, '"'), u.Epoch, 10)
			dst = strconv.AppendUint(append(dst, '/'), u.Sequence, 10)
			dst = append(dst, '"')
		}
		dst = strconv.AppendUint(append(dst, `,"epoch":"`...), u.Epoch, 10)
		dst = strconv.AppendUint(append(dst, `","sequence":"`...), u.Sequence, 10)
		dst = append(dst, '"')
	} else {
		dst = appendJSONText(append(dst, `,"id":`...), u.ID)
	}
	dst = append(events.AppendTime(append(dst, `,"time":"`...), u.End), '"')
	dst = appendJSONText(append(dst, `,"data":{"node":`...), string(u.Node))
	dst = appendJSONText(append(dst, `,"customer":`...), string(u.Customer))
	dst = appendJSONText(append(dst, `,"meter":`...), string(u.Meter))
	dst = append(dst, `,"quantity":"`...)
	dst, _ = u.Quantity.AppendText(dst) // Never fails.
	dst = append(dst, '"')
	if u.Start != u.End {
		dst = append(events.AppendTime(append(dst, `,"start":"`...), u.Start), '"')
	}
	if len(u.Attributes) > 0 {
		dst = append(dst, `,"attributes":{`...)
		for i, a := range u.Attributes {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSONText(append(appendJSONText(dst, a.Name), ':'), a.Value)
		}
		dst = append(dst, '}')
	}
	if u.Replaces != "" {
		dst = appendJSONText(append(dst, `,"replaces":`...), u.Replaces)
	}
	if u.Retracts != "" {
		dst = appendJSONText(append(dst, `,"retracts":`...), u.Retracts)
	}
	return append(dst, '}', '}')
}

const hexDigits = "0123456789abcdef"

// appendJSONText appends s in quotes. Bytes that are not UTF-8 become U+FFFD.
func appendJSONText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c >= utf8.RuneSelf:
			r, width := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += width
			continue
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, c)
		}
		i++
	}
	return append(dst, '"')
}
