package main

import (
	"os"

	"golang.org/x/term"
)

// lively reports whether a file may show more than text: a terminal, unless
// NO_COLOR (https://no-color.org) or TERM=dumb asks for text alone.
func lively(file *os.File) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(file.Fd()))
}

// mark stands before what is true or false: a symbol for the eye, a word for
// everything else that reads standard output.
func mark(ok bool) string {
	switch {
	case lively(os.Stdout) && ok:
		return "✓"
	case lively(os.Stdout):
		return "✗"
	case ok:
		return "ok"
	default:
		return "FAILED"
	}
}
