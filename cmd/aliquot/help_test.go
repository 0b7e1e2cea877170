package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// ran is the output of a command line that ran inside the test.
type ran struct {
	code     int
	out, err string
}

// capture runs a command line as main does.
func capture(t *testing.T, arguments ...string) ran {
	t.Helper()
	out, wasOut := os.Stdout, os.Stderr
	defer func() { os.Stdout, os.Stderr = out, wasOut }()
	var files [2]*os.File
	for i := range files {
		file, err := os.CreateTemp(t.TempDir(), "said")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = file.Close() }()
		files[i] = file
	}
	os.Stdout, os.Stderr = files[0], files[1]
	code := run(arguments)
	var texts [2]string
	for i, file := range files {
		data, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(data)
	}
	return ran{code, texts[0], texts[1]}
}

// parsing returns a parser that cannot end the test process.
func parsing(t *testing.T) *kong.Kong {
	t.Helper()
	parser, err := newParser(&root{}, kong.Exit(func(int) { t.Error("the parser ended the process") }))
	if err != nil {
		t.Fatal(err)
	}
	return parser
}

// shellWords splits an example as a shell does, for the simple syntax that the
// examples use.
func shellWords(line string) []string {
	var words []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
			continue
		}
		words = append(words, strings.Fields(part)...)
	}
	return words
}

func TestEveryCommandHasExamplesThatTheParserTakes(t *testing.T) {
	t.Chdir(t.TempDir())
	known := map[string]bool{}
	for _, leaf := range parsing(t).Model.Leaves(true) {
		name := nameOf(leaf)
		known[name] = true
		if len(examples[name]) == 0 {
			t.Errorf("%s has no example", name)
		}
		for _, line := range examples[name] {
			words := shellWords(strings.TrimSuffix(strings.TrimPrefix(line, "source <("), ")"))
			for _, word := range words { // files that must be there
				if slices.Contains([]string{".csv", ".yaml", ".jsonl", ".txt", ".json"}, filepath.Ext(word)) {
					if err := os.WriteFile(word, nil, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			parsed, err := parsing(t).Parse(words[1:])
			if err != nil || words[0] != "aliquot" {
				t.Errorf("%s: %v", line, err)
				continue
			}
			if got := nameOf(parsed.Selected()); got != name {
				t.Errorf("%s is an example of %s, listed at %s", line, got, name)
			}
		}
	}
	for name := range examples {
		if !known[name] {
			t.Errorf("examples of %q, which is not a command", name)
		}
	}
}

// A wrong command line gives one line on standard error that names the mistake,
// a second line that says where to read more, nothing on standard output, and
// exit code 2.
func TestAWrongCommandLineIsOneLineAndAHint(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.MkdirAll(filepath.Join("aliquot-data", "streams"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, line, says, hint string
	}{
		{"no command at all", "", "expected one of", "aliquot help lists the commands"},
		{"a command that does not exist", "fly", "unexpected argument fly", "aliquot help lists the commands"},
		{"a flag that does not exist", "balances --colour", "unknown flag --colour", "aliquot help balances shows"},
		{"a flag that is missing", "collect", "missing flags: --book", "aliquot help collect shows"},
		{"an argument that is missing", "period close acme-eu", "<period>", "aliquot help period close shows"},
		{"a file that does not exist", "usage send nowhere.csv --map map.yaml", "nowhere.csv", "aliquot help usage send shows"},
		{"a value that is not allowed", "key create k --scope king", "--scope must be one of", "aliquot help key create shows"},
		{"a number in words", "usage outcome 0/1/2 --wait soon", "--wait", "aliquot help usage outcome shows"},
		{"flags that do not go together", "replay --since 3", "--since needs --card", "aliquot help replay shows"},
		{"a server without a token", "status --url http://127.0.0.1:1", "--bearer", "aliquot help status shows"},
		{"a decision of nobody", "suspense release --round 1 --reason x", "--as NAME", "aliquot help suspense release shows"},
		{"nothing to verify", "verify", "--key", "aliquot help verify shows"},
		{"help for a command that does not exist", "help fly", "unexpected argument fly", "aliquot help help shows"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := capture(t, strings.Fields(test.line)...)
			lines := strings.Split(strings.TrimSuffix(got.err, "\n"), "\n")
			if got.code != exitMisuse || got.out != "" || len(lines) != 2 || !strings.HasPrefix(lines[0], "aliquot: ") ||
				!strings.Contains(lines[0], test.says) || !strings.HasPrefix(lines[1], test.hint) {
				t.Errorf("exit %d\n%s%s", got.code, got.out, got.err)
			}
		})
	}
}

func TestAGroupOfCommandsAloneIsAnError(t *testing.T) {
	t.Chdir(t.TempDir())
	groups := 0
	for _, node := range parsing(t).Model.Children {
		if len(node.Children) == 0 {
			continue
		}
		groups++
		if got := capture(t, node.Name); got.code != exitMisuse || got.out != "" || got.err == "" {
			t.Errorf("%s alone: exit %d\n%s%s", node.Name, got.code, got.out, got.err)
		}
	}
	if groups < 12 {
		t.Errorf("%d groups were found", groups)
	}
}

func TestHelpShowsACommandItsExamplesAndTheExitCodes(t *testing.T) {
	for _, test := range []struct {
		line  []string
		wants []string
	}{
		{[]string{"help"}, []string{"Usage: aliquot", "\n  period ", "2    the command line is wrong", "NO_COLOR"}},
		{[]string{"help", "period"}, []string{"Usage: aliquot period", "period close", "period reopen", "Examples:"}},
		{[]string{"help", "period", "close"}, []string{"--early", "Examples:\n  aliquot period close acme-eu 2026-11\n"}},
		{[]string{"help", "deposit"}, []string{"Usage: aliquot deposit", "deposit reverse"}},
		{[]string{"help", "completion"}, []string{"source <(aliquot completion bash)"}},
	} {
		got := capture(t, test.line...)
		if got.code != exitDone || got.err != "" {
			t.Errorf("%v: exit %d\n%s", test.line, got.code, got.err)
		}
		for _, want := range test.wants {
			if !strings.Contains(got.out, want) {
				t.Errorf("%v does not say %q:\n%s", test.line, want, got.out)
			}
		}
	}
	if got := capture(t, "help"); strings.Count(got.out, "\n") > 90 {
		t.Errorf("the help fills %d lines", strings.Count(got.out, "\n"))
	}
	if got := capture(t, "version"); !strings.HasPrefix(got.out, "aliquot ") {
		t.Errorf("version: %s", got.out)
	}
}

func TestTheVersionFlagNeedsNoCommand(t *testing.T) {
	var code []int
	var out strings.Builder
	parser, err := newParser(&root{}, kong.Exit(func(c int) { code = append(code, c); panic("ended") }), kong.Writers(&out, &out))
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = parser.Parse([]string{"--version"})
	}()
	if !slices.Equal(code, []int{0}) || !strings.HasPrefix(out.String(), "aliquot ") || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("exits %v, says %q", code, out.String())
	}
}

func TestACommandLineIsCompleted(t *testing.T) {
	for _, test := range []struct {
		name  string
		words []string
		want  []string
	}{
		{"a command", []string{"wit"}, []string{"witness"}},
		{"commands of a group", []string{"period", ""}, []string{"close", "reopen"}},
		{"a command within two groups", []string{"log", "keys", "r"}, []string{"rotate"}},
		{"a flag", []string{"period", "close", "--ea"}, []string{"--early"}},
		{"a flag that every command has", []string{"balances", "--database"}, []string{"--database-url"}},
		{"a flag of the usual command of a group", []string{"deposit", "--outs"}, []string{"--outstanding"}},
		{"a value of a flag", []string{"key", "create", "k", "--scope", ""}, []string{"auditor", "operator", "provider"}},
		{"a command after a value that is also a command's name", []string{"--data", "key", "per"}, []string{"period"}},
		{"an argument from a fixed set", []string{"completion", "f"}, []string{"fish"}},
		{"a command to read about", []string{"help", "usage", "s"}, []string{"send"}},
		{"a file, which the shell knows", []string{"usage", "send", ""}, nil},
		{"a hidden command is not listed", []string{"comple"}, []string{"completion"}},
		{"a flag after a switch", []string{"check", "--deep", "--js"}, []string{"--json"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := completions(parsing(t).Model.Node, test.words); !slices.Equal(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
	if got := capture(t, "complete", "--", "log", "keys", "r"); got.out != "rotate\n" || got.code != 0 {
		t.Errorf("as the scripts ask: %+v", got)
	}
	if got := capture(t, "complete", "--", "key", "create", "k", "--sc"); got.out != "--scope\n" || got.code != 0 {
		t.Errorf("a flag, as the scripts ask: %+v", got)
	}
}

// bash runs the script for bash, with an aliquot that prints its arguments.
func TestTheScriptForBashAsksAsItShould(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is absent")
	}
	script := shells["bash"] + `
aliquot() { printf '%s|' "$@" >&3; printf 'close\nreopen\n'; }
COMP_WORDS=(aliquot --data 'my dir' period ''); COMP_CWORD=4
_aliquot 3>&1
printf '%s\n' "${COMPREPLY[@]}"
complete -p aliquot
`
	out, err := exec.CommandContext(t.Context(), bash, "--norc", "-c", script).CombinedOutput()
	if want := "complete|--|--data|my dir|period||close\nreopen\ncomplete -F _aliquot aliquot\n"; err != nil || string(out) != want {
		t.Errorf("%v: %s, want %s", err, out, want)
	}
}

// Standard output of a test is a file, so it gets words instead of symbols, and
// no moving line.
func TestSymbolsAreForTerminalsAlone(t *testing.T) {
	if _, err := stdout(t, func() error {
		if mark(true) != "ok" || mark(false) != "FAILED" || lively(os.Stdout) {
			t.Errorf("a file is shown %q and %q", mark(true), mark(false))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	if lively(null) {
		t.Error("the null device counts as a terminal")
	}
}
