package cloudevents

import (
	"bytes"
	"encoding/base64"
	"slices"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/internal/chars"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
)

// The members of an event and of its data, in the order of their bits.
const (
	memberSpec = iota
	memberType
	memberID
	memberSource
	memberSequence
	memberEpoch
	memberSubject
	memberTime
	memberData
	memberContentType
	memberSchema
	memberEncoded
	memberOther
)

const (
	dataNode = iota
	dataCustomer
	dataMeter
	dataQuantity
	dataStart
	dataEnd
	dataAttributes
	dataReplaces
	dataRetracts
	dataOther
)

const (
	maxMembers = 64       // extensions of an event
	maxIgnored = 64 << 10 // bytes of an extension
)

func memberOf(name []byte) int {
	switch string(name) {
	case "specversion":
		return memberSpec
	case "type":
		return memberType
	case "id":
		return memberID
	case "source":
		return memberSource
	case "sequence":
		return memberSequence
	case "epoch":
		return memberEpoch
	case "subject":
		return memberSubject
	case "time":
		return memberTime
	case "data":
		return memberData
	case "datacontenttype":
		return memberContentType
	case "dataschema":
		return memberSchema
	case "data_base64":
		return memberEncoded
	}
	return memberOther
}

func dataMemberOf(name []byte) int {
	switch string(name) {
	case "node":
		return dataNode
	case "customer":
		return dataCustomer
	case "meter":
		return dataMeter
	case "quantity":
		return dataQuantity
	case "start":
		return dataStart
	case "end":
		return dataEnd
	case "attributes":
		return dataAttributes
	case "replaces":
		return dataReplaces
	case "retracts":
		return dataRetracts
	}
	return dataOther
}

// clearEvent forgets the last event.
func (p *Parser) clearEvent() {
	p.event = packed.RawUsage{Attributes: p.event.Attributes[:0]}
	p.isFaulty, p.unescaped, p.members = false, p.unescaped[:0], p.members[:0]
	p.seen, p.seenData = 0, 0
	p.subject, p.spec, p.eventType = nil, nil, nil
	p.layouts.begin()
}

// read reads an event in general: any order of members, any white space, any
// escapes. It returns false if the text is not JSON; otherwise it records the
// first fault.
func (p *Parser) read() bool {
	p.clearEvent()
	start := p.at
	if p.kind() != jsonObject {
		p.blame(start, "", events.WrongType, "an event is a JSON object")
		return p.skip()
	}
	if !p.each('{', '}', p.member) {
		return false
	}
	p.complete(start)
	return true
}

// name reads a member's name and colon.
func (p *Parser) name() (name []byte, at int, ok bool) {
	at = p.at
	raw, ok := p.key()
	if ok && bytes.IndexByte(raw, '\\') >= 0 {
		raw = p.unescape(raw)
	}
	return raw, at, ok
}

func (p *Parser) unescape(raw []byte) []byte {
	from := len(p.unescaped)
	p.unescaped = unescape(p.unescaped, raw)
	return p.unescaped[from:len(p.unescaped):len(p.unescaped)]
}

func (p *Parser) member() bool {
	name, at, ok := p.name()
	if !ok {
		return false
	}
	member := memberOf(name)
	if member != memberOther {
		if p.seen&(1<<member|1<<(member+16)) != 0 {
			p.blame(at, string(name), events.Malformed, "occurs twice")
			return p.skip()
		}
		if p.kind() == jsonNull {
			p.absent(&p.seen, member)
			return p.skip()
		}
		p.seen |= 1 << member
	}
	switch member {
	case memberSpec:
		return p.text("specversion", &p.spec, events.MaxName, placeNone)
	case memberType:
		return p.text("type", &p.eventType, events.MaxName, placeNone)
	case memberID:
		return p.text("id", &p.event.ID, packed.MaxID, placeID)
	case memberSource:
		return p.text("source", &p.event.Source, packed.MaxSource, placeSource)
	case memberSequence:
		p.event.Sequenced = true
		return p.integer("sequence", &p.event.Sequence, placeSequence)
	case memberEpoch:
		return p.integer("epoch", &p.event.Epoch, placeEpoch)
	case memberSubject:
		return p.text("subject", &p.subject, packed.MaxSource, placeSubject)
	case memberTime:
		return p.instant("time", &p.time, placeTime)
	case memberData, memberEncoded:
		if p.seen&(1<<memberData) != 0 && p.seen&(1<<memberEncoded) != 0 {
			p.blame(at, string(name), events.Malformed, "data and data_base64 exclude each other")
			return p.skip()
		}
		if member == memberEncoded {
			return p.encoded()
		}
		return p.usage()
	case memberContentType:
		var media []byte
		at := p.at
		ok := p.text("datacontenttype", &media, events.MaxName, placeNone)
		if ok && media != nil && !isJSON(media) {
			p.blame(at, "datacontenttype", events.Unsupported, "data must be JSON")
		}
		return ok
	case memberSchema:
		var schema []byte
		return p.text("dataschema", &schema, 1<<10, placeNone)
	}
	return p.extension(name, at)
}

// absent marks a member whose value is null: it is absent, but may not occur
// again.
func (p *Parser) absent(seen *uint32, member int) { *seen |= 1 << (member + 16) }

// extension reads an unknown member, which must be a CloudEvents extension and
// is ignored.
func (p *Parser) extension(name []byte, at int) bool {
	value := p.at
	switch {
	case slices.ContainsFunc(p.members, func(m []byte) bool { return bytes.Equal(m, name) }):
		p.blame(at, packed.Shown("", name), events.Malformed, "occurs twice")
	case len(p.members) >= maxMembers:
		p.blame(at, "", events.TooLarge, "more than %d members", maxMembers)
	case !isExtension(name):
		p.blame(at, packed.Shown("", name), events.Unsupported, "no CloudEvents attribute: lower-case letters and digits")
	case p.kind() == jsonArray || p.kind() == jsonObject:
		p.blame(value, packed.Shown("", name), events.WrongType, "an extension is a text, a number or a boolean")
	}
	if len(p.members) < maxMembers {
		p.members = append(p.members, name)
	}
	if p.kind() != jsonText {
		return p.skip()
	}
	var ignored []byte
	if string(name) != "traceparent" {
		return p.text(packed.Shown("", name), &ignored, maxIgnored, placeIgnored)
	}
	ok := p.text("traceparent", &ignored, maxIgnored, placeTrace)
	p.trace(ignored)
	return ok
}

func isExtension(name []byte) bool {
	for _, c := range name {
		if (c < 'a' || c > 'z') && c-'0' > 9 {
			return false
		}
	}
	return len(name) > 0
}

// isJSON reports whether a media type is JSON, whatever its parameters.
func isJSON(media []byte) bool {
	media, _, _ = bytes.Cut(media, []byte{';'})
	media = bytes.TrimSpace(media)
	return bytes.EqualFold(media, []byte("application/json")) || bytes.EqualFold(media, []byte("text/json")) ||
		len(media) > 5 && bytes.EqualFold(media[len(media)-5:], []byte("+json"))
}

// usage reads the data member.
func (p *Parser) usage() bool {
	if p.kind() != jsonObject {
		p.blame(p.at, "data", events.WrongType, "data is a JSON object")
		return p.skip()
	}
	return p.each('{', '}', p.dataMember)
}

// encoded reads the data from base64. Faults in it are reported for the line on
// which it begins, because the decoded text has its own lines.
func (p *Parser) encoded() bool {
	at := p.at
	if p.kind() != jsonText {
		p.blame(at, "data_base64", events.WrongType, "must be a text")
		return p.skip()
	}
	raw, escaped, ok := p.raw()
	if !ok {
		return false
	}
	if escaped {
		raw = p.unescape(raw)
	}
	decoded, err := base64.StdEncoding.AppendDecode(p.decoded[:0], raw)
	p.decoded = decoded
	if err != nil {
		p.blame(at, "data_base64", events.Malformed, "is not base64")
		return true
	}
	outer, wasFaulty := p.scanner, p.isFaulty
	p.scanner = scanner{data: withoutMark(decoded), depth: outer.depth}
	p.space()
	ok = p.usage()
	if p.space(); ok && p.at != len(p.data) {
		ok = p.fail("something follows the data")
	}
	problem := p.scanner.fault
	p.scanner = outer
	if !ok {
		p.blame(at, "data_base64", events.Malformed, "is not JSON: %s", problem)
	}
	if p.isFaulty && !wasFaulty {
		p.faultAt = at
	}
	return true
}

func (p *Parser) dataMember() bool {
	name, at, ok := p.name()
	if !ok {
		return false
	}
	member := dataMemberOf(name)
	if member == dataOther {
		p.blame(at, packed.Shown("data.", name), events.Unsupported, "data has no such member")
		return p.skip()
	}
	if p.seenData&(1<<member|1<<(member+16)) != 0 {
		p.blame(at, "data."+string(name), events.Malformed, "occurs twice")
		return p.skip()
	}
	if p.kind() == jsonNull {
		p.absent(&p.seenData, member)
		return p.skip()
	}
	p.seenData |= 1 << member
	switch member {
	case dataNode:
		return p.text("data.node", &p.event.Node, events.MaxName, placeNode)
	case dataCustomer:
		return p.text("data.customer", &p.event.Customer, events.MaxName, placeCustomer)
	case dataMeter:
		return p.text("data.meter", &p.event.Meter, events.MaxName, placeMeter)
	case dataQuantity:
		return p.quantity()
	case dataStart:
		return p.instant("data.start", &p.start, placeStart)
	case dataEnd:
		return p.instant("data.end", &p.end, placeEnd)
	case dataReplaces:
		return p.text("data.replaces", &p.event.Replaces, packed.MaxID, placeNone)
	case dataRetracts:
		return p.text("data.retracts", &p.event.Retracts, packed.MaxID, placeNone)
	}
	if p.kind() != jsonObject {
		p.blame(p.at, "data.attributes", events.WrongType, "attributes are a JSON object")
		return p.skip()
	}
	return p.each('{', '}', p.attribute)
}

func (p *Parser) attribute() bool {
	name, at, ok := p.name()
	if !ok {
		return false
	}
	field := func() string { return packed.Shown("data.attributes.", name) }
	switch {
	case len(name) > events.MaxAttributeName:
		p.blame(at, field(), events.TooLong, "name of %d bytes, more than %d", len(name), events.MaxAttributeName)
	case chars.NameProblem(name) != "":
		p.blame(at, field(), events.BadText, "%s", chars.NameProblem(name))
	}
	if p.isFaulty {
		return p.skip()
	}
	order, found := slices.BinarySearchFunc(p.event.Attributes, name, func(a packed.RawAttribute, name []byte) int {
		return bytes.Compare(a.Name, name)
	})
	switch {
	case found:
		p.blame(at, field(), events.Malformed, "occurs twice")
	case len(p.event.Attributes) == events.MaxAttributes:
		p.blame(at, "data.attributes", events.TooLarge, "more than %d", events.MaxAttributes)
	case p.kind() != jsonText:
		p.blame(p.at, field(), events.WrongType, "an attribute is a text")
	}
	if p.isFaulty {
		return p.skip()
	}
	var value []byte
	if p.kind() == jsonText && !p.textNamed(field, &value, events.MaxText, placeAttribute) {
		return false
	}
	p.layouts.insertAttribute(order)
	p.event.Attributes = slices.Insert(p.event.Attributes, order, packed.RawAttribute{Name: name, Value: value})
	return true
}

// text reads a text into dst, or records a fault of the field.
func (p *Parser) text(field string, dst *[]byte, limit int, place place) bool {
	return p.textNamed(func() string { return field }, dst, limit, place)
}

func (p *Parser) textNamed(field func() string, dst *[]byte, limit int, place place) bool {
	at := p.at
	if p.kind() != jsonText {
		p.blame(at, field(), events.WrongType, "must be a text")
		return p.skip()
	}
	raw, escaped, ok := p.raw()
	if !ok {
		return false
	}
	p.layouts.note(place, at+1, p.at-1)
	if escaped {
		raw = p.unescape(raw)
	}
	*dst = raw
	if len(raw) > limit {
		p.blame(at, field(), events.TooLong, "%d bytes, more than %d", len(raw), limit)
	} else if problem := chars.Problem(raw); problem != "" {
		p.blame(at, field(), events.BadText, "%s", problem)
	}
	return true
}

// scalar reads a text or a number and returns its characters.
func (p *Parser) scalar(field string, place place, what string) (value []byte, ok bool) {
	at := p.at
	switch p.kind() {
	case jsonText:
		raw, escaped, ok := p.raw()
		if !ok {
			return nil, false
		}
		p.layouts.note(place, at+1, p.at-1)
		if escaped {
			raw = p.unescape(raw)
		}
		return raw, true
	case jsonNumber:
		if !p.number() {
			return nil, false
		}
		p.layouts.note(place|placeNumber, at, p.at)
		return p.data[at:p.at], true
	}
	p.blame(at, field, events.WrongType, "must be %s as text or number", what)
	return nil, p.skip()
}

func (p *Parser) integer(field string, dst *uint64, place place) bool {
	at := p.at
	value, ok := p.scalar(field, place, "an integer")
	if !ok || p.isFaulty {
		return ok
	}
	if *dst, ok = parseInteger(value); !ok {
		p.blame(at, field, events.BadNumber, "not an integer from 0 to 2^64-1")
	}
	return true
}

func (p *Parser) quantity() bool {
	at := p.at
	value, ok := p.scalar("data.quantity", placeQuantity, "a decimal")
	if !ok || p.isFaulty {
		return ok
	}
	if reason, detail := setQuantity(&p.event, value); reason != "" {
		p.blame(at, "data.quantity", reason, "%s", detail)
	}
	return true
}

func (p *Parser) instant(field string, dst *int64, place place) bool {
	at := p.at
	var value []byte
	if !p.text(field, &value, events.MaxName, place) || p.isFaulty {
		return !p.isBroken()
	}
	var ok bool
	if *dst, ok = p.clock.Parse(value); !ok {
		p.blame(at, field, events.BadTime, "not RFC 3339 with at most 9 decimals (zeros aside), a leap second or the hour 24, or outside 1970 to 2262")
	}
	return true
}

func (p *Parser) isBroken() bool { return p.scanner.fault != "" }

// complete checks an event as a whole.
func (p *Parser) complete(at int) {
	u := &p.event
	if p.seen&(1<<memberSpec) == 0 {
		p.blame(at, "specversion", events.Missing, "absent")
	} else if string(p.spec) != "1.0" {
		p.blame(at, "specversion", events.Unsupported, "only 1.0 is known")
	}
	if p.seen&(1<<memberType) == 0 {
		p.blame(at, "type", events.Missing, "absent")
	} else if string(p.eventType) != "aliquot.usage" && string(p.eventType) != "aliquot.usage.v1" {
		p.blame(at, "type", events.Unsupported, "only aliquot.usage is known")
	}
	if len(u.ID) == 0 {
		p.blame(at, "id", events.Missing, "absent or empty")
	}
	if p.seen&(1<<memberData|1<<memberEncoded) == 0 {
		p.blame(at, "data", events.Missing, "absent")
	}
	if p.seenData&(1<<dataCustomer) == 0 {
		u.Customer = p.subject
	}
	if p.seen&(1<<memberEpoch) != 0 && !u.Sequenced {
		p.blame(at, "sequence", events.Missing, "an epoch without a sequence")
	}
	if p.seenData&(1<<dataQuantity) == 0 {
		p.blame(at, "data.quantity", events.Missing, "absent")
	}
	switch {
	case p.seenData&(1<<dataEnd) != 0:
		u.End = p.end
	case p.seen&(1<<memberTime) != 0:
		u.End = p.time
	default:
		p.blame(at, "data.end", events.Missing, "absent, and so is time")
	}
	u.Start = u.End
	if p.seenData&(1<<dataStart) != 0 {
		u.Start = p.start
	}
	if !p.isFaulty {
		if fault := u.Check(); fault != nil {
			p.isFaulty, p.fault, p.faultAt = true, *fault, at
		}
	}
}
