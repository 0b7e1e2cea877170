package main

import (
	"os"

	"golang.org/x/term"
)

// lively reports whether a file may show more than plain text: it must be a
// terminal, and neither NO_COLOR (https://no-color.org) nor TERM=dumb may ask
// for plain text.
func lively(file *os.File) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(file.Fd()))
}

// mark shows true or false: as a symbol on a terminal, and as a word for
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
