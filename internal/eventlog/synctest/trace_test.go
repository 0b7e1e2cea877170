package synctest

import (
	"strings"
	"testing"
)

func isData(c Call) bool   { return strings.HasSuffix(c.Path, ".blk") }
func isAnswer(c Call) bool { return strings.HasPrefix(string(c.Data), "HTTP/1.1 202") }

// The lines are strace 6.1's, with plain text for hexadecimal where it is
// shorter.
const (
	write  = `10 pwrite64(5</d/1.blk>, "\x61\x62"..., 900, 0) = 900`
	sync   = `10 fsync(5</d/1.blk>) = 0`
	answer = `11 write(9<socket:[7]>, "\x48\x54\x54\x50\x2f\x31\x2e\x31\x20\x32\x30\x32\x20\x41", 14) = 14`
)

func TestAnAnswerMustFollowTheSyncOfItsData(t *testing.T) {
	for name, test := range map[string]struct {
		lines []string
		fault string // empty: none
	}{
		"written, synced, answered":    {[]string{write, sync, answer}, ""},
		"two answers, each synced":     {[]string{write, sync, answer, write, sync, answer}, ""},
		"a sync covers several writes": {[]string{write, write, sync, answer}, ""},
		"a write that is under way belongs to the next answer": {[]string{
			write, sync, `12 pwrite64(5</d/1.blk>, "\x61", 1, 0 <unfinished ...>`, answer, `12 <... pwrite64 resumed>) = 1`}, ""},
		"noise between": {[]string{
			`10 --- SIGURG {si_signo=SIGURG} ---`, write, `13 write(1</dev/null>, "\x61", 1) = 1`, sync, `13 +++ exited with 0 +++`, answer}, ""},

		"never synced":                        {[]string{write, answer}, "/d/1.blk of line 1 was not synced"},
		"synced after the answer":             {[]string{write, answer, sync}, "line 1 was not synced"},
		"another file synced":                 {[]string{write, `10 fsync(6</d/2.blk>) = 0`, answer}, "line 1 was not synced"},
		"synced before the write":             {[]string{sync, write, answer}, "line 2 was not synced"},
		"the second write not synced":         {[]string{write, sync, write, answer}, "line 3 was not synced"},
		"the sync failed":                     {[]string{write, `10 fsync(5</d/1.blk>) = -1 EIO (Input/output error)`, answer}, "line 1 was not synced"},
		"nothing written":                     {[]string{answer}, "nothing was written"},
		"nothing written for the second":      {[]string{write, sync, answer, answer}, "nothing was written since line 3"},
		"no answer at all":                    {[]string{write, sync}, "no answer"},
		"the sync returns after the answer":   {[]string{write, `10 fsync(5</d/1.blk> <unfinished ...>`, answer, `10 <... fsync resumed>) = 0`}, "line 1 was not synced"},
		"the sync began during the write":     {[]string{`12 pwrite64(5</d/1.blk>, "\x61", 1, 0 <unfinished ...>`, sync, `12 <... pwrite64 resumed>) = 1`, answer}, "line 1 was not synced"},
		"the sync returned before the answer": {[]string{write, `10 fsync(5</d/1.blk> <unfinished ...>`, `10 <... fsync resumed>) = 0`, answer}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			calls, err := Parse(strings.NewReader(strings.Join(test.lines, "\n")))
			if err != nil {
				t.Fatal(err)
			}
			err = Check(calls, isData, isAnswer).Err()
			if test.fault == "" && err != nil {
				t.Fatal(err)
			}
			if test.fault != "" && (err == nil || !strings.Contains(err.Error(), test.fault)) {
				t.Fatalf("%v does not name %q", err, test.fault)
			}
		})
	}
}

func TestHexadecimalPathsAndVectorsAreRead(t *testing.T) {
	calls, err := Parse(strings.NewReader(
		`7 writev(3<\x2f\x61>, [{iov_base="\x48\x69", iov_len=2}, {iov_base="\x21", iov_len=1}], 2) = 3`))
	if err != nil || len(calls) != 1 {
		t.Fatal(calls, err)
	}
	if c := calls[0]; c.Path != "/a" || string(c.Data) != "Hi!" || c.Result != 3 || c.PID != 7 {
		t.Fatalf("%+v", c)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(write + "\n" + sync + "\n" + answer)
	f.Add(`12 pwrite64(5</d/1.blk>, "\x61", 1, 0 <unfinished ...>` + "\n" + `12 <... pwrite64 resumed>) = 1`)
	f.Fuzz(func(t *testing.T, text string) {
		calls, err := Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, c := range calls {
			if c.Begin < 1 || c.End != 0 && c.End < c.Begin {
				t.Fatalf("%+v", c)
			}
		}
		Check(calls, isData, isAnswer)
	})
}
