package cloudevents

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// values are what the generator puts in any place: good, odd and bad.
var values = []string{
	`"n1"`, `"c1"`, `"gpu.seconds"`, `"x y"`, `""`, `"é"`, `"a\u0062"`, `"a\\b"`, `"\u0000"`, "\"\xff\"", "\"\x7f\"", `"` + strings.Repeat("k", 129) + `"`,
	`"1.5"`, `1.5`, `0`, `00`, `"007"`, `7`, `18446744073709551616`, `-1`, `1e3`, `"1e-19"`, `1.`, `.5`, `"5."`, `12345678901234567890`, `"0.1234567890123456789"`,
	`"2026-11-22T12:00:00Z"`, `"2026-11-22T12:00:00.123456789Z"`, `"2026-11-22T13:00:00+01:00"`, `"2026-02-29T00:00:00Z"`, `"2026-11-22 12:00:00Z"`,
	`null`, `true`, `{}`, `[]`, `{"a":"b"}`, `{"b":"1","a":"2"}`, `{"a":"1","a":"2"}`, `{"a":1}`, `"1.0"`, `"aliquot.usage"`,
}

// event writes one event: mostly good, with now and then a member left out,
// doubled, moved or given any value.
func event(r *rand.Rand) string {
	data := [][2]string{
		{"node", fmt.Sprintf(`"n%d"`, r.IntN(3))}, {"customer", fmt.Sprintf(`"c%d"`, r.IntN(3))}, {"meter", []string{`"m"`, `"gpu.seconds"`}[r.IntN(2)]},
		{"quantity", []string{`"1.5"`, `2`, `"3"`, `0.25`, `"12345678901234567890.5"`}[r.IntN(5)]},
		{"start", fmt.Sprintf(`"2026-11-22T12:00:%02dZ"`, r.IntN(30))}, {"end", fmt.Sprintf(`"2026-11-22T12:00:%02dZ"`, 20+r.IntN(40))},
		{"attributes", []string{`{"model":"H100","region":"eu"}`, `{"region":"us","model":"A100"}`, `{}`}[r.IntN(3)]},
	}
	if r.IntN(3) > 0 {
		data = append(data[:4], data[6:]...)
	}
	data = disturb(r, data, "replaces", "nodes")
	members := [][2]string{
		{"specversion", `"1.0"`}, {"type", `"aliquot.usage"`}, {"id", fmt.Sprintf(`"e%d"`, r.IntN(1000))}, {"source", []string{`"//s"`, `"//t"`, `"a\\b"`}[r.IntN(3)]},
		{"subject", `"sub"`}, {"time", `"2026-11-22T12:00:00Z"`}, {"data", write(r, data)},
	}
	if r.IntN(2) == 0 {
		members = append(members, [2]string{"sequence", []string{`"7"`, `8`}[r.IntN(2)]}, [2]string{"epoch", `1`})
	}
	return write(r, disturb(r, members, "traceparent", "Subject"))
}

func disturb(r *rand.Rand, members [][2]string, extra ...string) [][2]string {
	if r.IntN(4) == 0 {
		members[r.IntN(len(members))][1] = values[r.IntN(len(values))]
	}
	switch r.IntN(24) {
	case 0:
		i := r.IntN(len(members))
		return append(members[:i:i], members[i+1:]...)
	case 1:
		return append(members, members[r.IntN(len(members))])
	case 2:
		r.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	case 3:
		return append(members, [2]string{extra[r.IntN(len(extra))], values[r.IntN(len(values))]})
	}
	return members
}

func write(r *rand.Rand, members [][2]string) string {
	space := ""
	if r.IntN(8) == 0 {
		space = []string{" ", "\n", "\t "}[r.IntN(3)]
	}
	var b strings.Builder
	b.WriteString("{" + space)
	for i, m := range members {
		if i > 0 {
			b.WriteString("," + space)
		}
		fmt.Fprintf(&b, "%q:%s%s", m[0], space, m[1])
	}
	return b.String() + "}"
}

// Fuzzing bytes seldom makes an event that is accepted; this makes mostly such.
// Fails when a layout takes any value that the general way would refuse, or
// keeps anything of the event before.
func TestLearnedLayoutsChangeNoOutcome(t *testing.T) {
	rounds := 1000
	if testing.Short() {
		rounds = 300
	}
	taken, refused := 0, 0
	r := rand.New(rand.NewPCG(1, 2))
	var learned Parser // Keeps what it has learned from round to round.
	for round := range rounds {
		var all []string
		for range 1 + r.IntN(8) {
			all = append(all, event(r))
			if r.IntN(2) == 0 {
				all = append(all, all[r.IntN(len(all))])
			}
		}
		general := Parser{general: true}
		for _, lines := range []bool{false, true} {
			body := "[" + strings.Join(all, ",") + "]"
			if lines {
				body = strings.Join(all, "\n")
			}
			want, got := parse(&general, lines, []byte(body)), parse(&learned, lines, []byte(body))
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("round %d lines=%v %s:\nlearned %+v\ngeneral %+v", round, lines, body, got, want)
			}
			taken, refused = taken+len(want.Events), refused+len(want.Refusals)
		}
		for _, one := range all {
			want := parse(&general, false, []byte("["+one+"]"))
			if malformed := want.Whole != nil; malformed == json.Valid([]byte(one)) {
				t.Fatalf("%s: valid JSON is %v, refused %v", one, !malformed, want.Whole)
			}
			if len(want.Events) == 1 {
				compare(t, one, want.Events[0])
			}
		}
	}
	if taken < rounds || refused < rounds {
		t.Errorf("only %d taken and %d refused: the generator is too one-sided", taken, refused)
	}
}
