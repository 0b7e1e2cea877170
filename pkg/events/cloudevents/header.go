package cloudevents

import (
	"fmt"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/internal/chars"
)

// Binary reads an event in CloudEvents' binary mode: attributes in headers
// named "ce-…" (matched without case), data alone in the body. It serves HTTP
// and NATS headers alike. Values are decoded as section 3.1.3.2 of the HTTP
// protocol binding 1.0 says: quotes are removed, and then percent encoding is
// decoded once. The caller has checked that Content-Type is JSON.
//
// It is slower than the other modes but otherwise equivalent: the headers and
// body are combined into one structured event, which is then read.
func (p *Parser) Binary(header map[string][]string, body []byte, sink Sink) (Parsed, *events.Refusal) {
	structured := []byte{'{'}
	for _, name := range [...]string{"specversion", "type", "id", "source", "sequence", "epoch", "subject", "time", "dataschema"} {
		value, found, problem := ceHeader(header, name)
		if problem != "" {
			return Parsed{}, &events.Refusal{Index: -1, Field: "ce-" + name, Reason: events.Malformed, Detail: problem}
		}
		if !found {
			continue
		}
		if problem := chars.Problem([]byte(value)); problem != "" {
			return Parsed{}, &events.Refusal{Index: -1, Field: "ce-" + name, Reason: events.BadText, Detail: problem}
		}
		structured = append(structured, '"')
		structured = append(structured, name...)
		structured = append(appendJSONText(append(structured, '"', ':'), value), ',')
	}
	body = withoutMark(body)
	// The body must be one JSON value by itself, or it could close the object.
	p.begin(body, sink)
	p.space()
	if p.at == len(p.data) {
		return p.refuseAll(events.Missing, "the body is empty")
	}
	if !p.skip() {
		return p.refuseAll(events.Malformed, p.scanner.fault)
	}
	p.space()
	if p.at != len(p.data) {
		return p.refuseAll(events.Malformed, "something follows the data")
	}
	structured = append(structured, `"data":`...)
	return p.Single(append(append(structured, body...), '}'), sink)
}

// ceHeader finds one attribute among the headers.
func ceHeader(header map[string][]string, name string) (value string, found bool, problem string) {
	// map order: at most one key may match; a second is a problem either way.
	for key, values := range header {
		if len(key) != len("ce-")+len(name) || !strings.EqualFold(key[:3], "ce-") || !strings.EqualFold(key[3:], name) {
			continue
		}
		if found || len(values) != 1 {
			return "", false, "occurs more than once"
		}
		value, found = values[0], true
	}
	if found {
		value, problem = decodeHeader(value)
	}
	return value, found, problem
}

// decodeHeader removes quotes and percent encoding from a header's value.
func decodeHeader(s string) (value, problem string) {
	s = strings.Trim(s, " \t")
	if strings.HasPrefix(s, `"`) {
		if len(s) < 2 || !strings.HasSuffix(s, `"`) {
			return "", "quote without end"
		}
		var b strings.Builder
		inner := s[1 : len(s)-1]
		for i := 0; i < len(inner); i++ {
			switch inner[i] {
			case '"':
				return "", "quote inside quotes"
			case '\\':
				if i++; i == len(inner) {
					return "", "quote without end"
				}
			}
			b.WriteByte(inner[i])
		}
		s = b.String()
	}
	if !strings.Contains(s, "%") {
		return s, ""
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) || unhex(s[i+1]) > 15 || unhex(s[i+2]) > 15 {
			return "", fmt.Sprintf("broken percent encoding at byte %d", i)
		}
		b = append(b, unhex(s[i+1])<<4|unhex(s[i+2]))
		i += 2
	}
	return string(b), ""
}

// unhex returns the value of a hexadecimal digit, or more than 15.
func unhex(c byte) byte {
	switch {
	case c-'0' <= 9:
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 255
}
