package explain

import (
	"fmt"
	"io"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/plain"
)

// Summarize writes a node as [Write] does, but with at most this number of
// lines (at least 3), and reports whether it left something out. It prefers
// what is nearest to the node: everything at one distance comes before anything
// farther away, and of the first distance that does not fit as a whole it keeps
// the beginning.
func Summarize(w io.Writer, n *Node, lines int) (cut bool, err error) {
	lines = max(lines, 3)
	depth := 0
	for deeper := 1; ; deeper++ {
		count, more := size(n, deeper)
		if count > lines {
			cut = true
			break
		}
		depth = deeper
		if !more {
			break
		}
	}
	var b strings.Builder
	if err := write(&b, pruned(n, depth), "", 0); err != nil {
		return cut, err
	}
	text := strings.SplitAfter(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(text) > lines { // The node alone has more facts than fit.
		text, cut = text[:lines], true
	}
	if cut && len(text) < lines && depth > 0 {
		text = nearest(n, depth, lines)
	}
	_, err = fmt.Fprintln(w, strings.TrimSuffix(strings.Join(text, ""), "\n"))
	return cut, err
}

// nearest returns the lines of a node with everything that is nearer than the
// depth and, as long as there is room, one line for each node at the depth.
func nearest(n *Node, depth, lines int) []string {
	room, _ := size(n, depth)
	room = lines - room
	var b strings.Builder
	var walk func(n *Node, mark string, at int)
	walk = func(n *Node, mark string, at int) {
		if at == depth {
			if room > 0 {
				room--
				fmt.Fprint(&b, plain.Sprintf("%s%s%s\n", strings.Repeat("  ", at), mark, n.Summary))
			}
			return
		}
		own := *n
		own.From, own.To = nil, nil
		var head strings.Builder
		_ = write(&head, &own, mark, at) // Writing to a builder never fails.
		b.WriteString(head.String())
		for i := range n.From {
			walk(&n.From[i], "", at+1)
		}
		for i := range n.To {
			walk(&n.To[i], "→ ", at+1)
		}
	}
	walk(n, "", 0)
	return strings.SplitAfter(strings.TrimSuffix(b.String(), "\n"), "\n")
}

// size returns how many lines a node needs down to a depth (1 is the node
// alone), and whether there is more below.
func size(n *Node, depth int) (lines int, more bool) {
	if depth == 0 {
		return 0, true
	}
	lines = 1 + len(n.Facts)
	for _, list := range [][]Node{n.From, n.To} {
		for i := range list {
			below, further := size(&list[i], depth-1)
			lines += below
			more = more || further
		}
	}
	return lines, more
}

// pruned returns a node without everything deeper than the depth.
func pruned(n *Node, depth int) *Node {
	own := *n
	own.From, own.To = nil, nil
	if depth <= 1 {
		return &own
	}
	for i := range n.From {
		own.From = append(own.From, *pruned(&n.From[i], depth-1))
	}
	for i := range n.To {
		own.To = append(own.To, *pruned(&n.To[i], depth-1))
	}
	return &own
}
