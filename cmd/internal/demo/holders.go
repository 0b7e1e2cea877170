package demo

import (
	"fmt"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Register returns the holders of a token as a file for `aliquot register
// import`: a few large holders and a long tail. Some hold both tokens.
func (w *World) Register(token events.Token) []byte {
	chance := w.stream("register " + string(token))
	holders := w.Holders
	from, to := 0, holders*3/5
	if token == TokenWorld {
		from, to = holders*2/5, holders
	}
	all := w.holders()
	var b strings.Builder
	b.WriteString("holder,units\n")
	for rank, k := range chance.Perm(to - from) {
		// 10^12 for the largest, then by Zipf's law, each with a small deviation.
		units := 1_000_000_000_000/uint64(rank+1) + chance.Uint64N(10_000)
		fmt.Fprintf(&b, "%s,%d\n", all[from+k], units)
	}
	return []byte(b.String())
}

func (w *World) holders() []events.Holder {
	chance := w.stream("holders")
	all := make([]events.Holder, w.Holders)
	for i := range all {
		all[i] = events.Holder(fmt.Sprintf("0x%016x%016x%08x", chance.Uint64(), chance.Uint64(), chance.Uint32()))
	}
	return all
}

// Screened returns the holders on the screening list, one of each token.
func (w *World) Screened() []events.Holder {
	all := w.holders()
	return []events.Holder{all[w.Holders/5], all[w.Holders-w.Holders/5]}
}
