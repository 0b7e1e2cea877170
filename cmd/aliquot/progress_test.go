package main

import (
	"strings"
	"testing"
	"time"
)

func TestWhatIsDoneOfAFileIsToldWithTheTimeThatIsLeft(t *testing.T) {
	for _, test := range []struct {
		done, all int64
		took      time.Duration
		want      string
	}{
		{0, 4096, time.Second, "0 KiB"},
		{1024, 4096, 2 * time.Second, "1 of 4 KiB, 25 %, 6 s left"},
		{4096, 4096, time.Second, "4 of 4 KiB, 100 %, 0 s left"},
		{5000, 0, time.Second, "4 KiB"}, // The size is not known.
		{1 << 62, 1<<63 - 1, time.Hour, "4503599627370496 of 9007199254740991 KiB, 50 %, 3600 s left"},
	} {
		if got := ofBytes(test.done, test.all, test.took); got != test.want {
			t.Errorf("%d of %d: %q, want %q", test.done, test.all, got, test.want)
		}
	}
}

// Fails when a step is printed after the line that it should replace.
func TestAMovingLineIsClearedBeforeAStep(t *testing.T) {
	var screen strings.Builder
	p := &progress{line: line{w: &screen}, live: true}
	p.update(func() string { return "half\x1b[2J" })
	p.step("done")
	p.clear()
	if got, want := screen.String(), "\r\x1b[K  half\\x1b[2J\r\x1b[Kdone\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
