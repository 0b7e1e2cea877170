package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/published"
)

// pages are the documents whose commands are tested: the first ones run where
// they can, in all of them every command line is one that the binary knows.
func pages(t *testing.T) (run, read []string) {
	t.Helper()
	run = []string{"README.md", "docs/operations.md", "docs/files.md", "docs/book-format.md", "docs/map-format.md"}
	for _, pattern := range []string{"examples/*/README.md", "docs/*.md", "deploy/*/README.md"} {
		files, err := filepath.Glob(inRepository(t, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			name, err := filepath.Rel(inRepository(t, "."), file)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case slices.Contains(run, name):
			case strings.HasPrefix(pattern, "examples"):
				run = append(run, name)
			default:
				read = append(read, name)
			}
		}
	}
	return run, read
}

// passage is a text of a page that has commands.
type passage struct {
	page string
	line int // from 1
	text string
	// block: a fenced block, which a reader copies. Otherwise a span of code within
	// a sentence, which may leave out what the sentence does not need.
	block bool
}

func (p passage) String() string {
	first, _, _ := strings.Cut(p.text, "\n")
	return fmt.Sprintf("%s:%d: %s", p.page, p.line, first)
}

// passages are the shell blocks of a page and its spans of code, in order. A fenced
// block without a language is one of shell where it begins with a command, and an
// indented one may not have commands: fences say what is copied.
func passages(t *testing.T, page string) (list []passage) {
	t.Helper()
	text, err := os.ReadFile(inRepository(t, page))
	if err != nil {
		t.Fatal(err)
	}
	span := regexp.MustCompile("`([^`]+)`")
	fence, begins := "", 0
	var block []string
	for i, line := range strings.Split(string(text), "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case fence != "" && trimmed == "```":
			if fence == "```sh" {
				list = append(list, passage{page, begins, strings.Join(block, "\n") + "\n", true})
			} else if fence == "```" && len(block) > 0 && isCommand(block[0]) {
				t.Errorf("%s:%d: a block of commands is fenced by ```sh", page, begins)
			}
			fence = ""
		case fence != "":
			block = append(block, line)
		case strings.HasPrefix(trimmed, "```"):
			fence, begins, block = trimmed, i+2, nil
		case strings.HasPrefix(line, "    ") && isCommand(trimmed):
			t.Errorf("%s:%d: a block of commands is fenced by ```sh", page, i+1)
		default:
			for _, code := range span.FindAllStringSubmatch(line, -1) {
				list = append(list, passage{page, i + 1, code[1], false})
			}
		}
	}
	if fence != "" {
		t.Errorf("%s:%d: the block does not end", page, begins)
	}
	return list
}

func isCommand(line string) bool {
	return strings.HasPrefix(line, "aliquot ") || strings.HasPrefix(line, "go run ") || strings.HasPrefix(line, "go tool ") || strings.HasPrefix(line, "go -C ")
}

// described is what "aliquot describe --json" says of a command.
type described struct {
	Name      string
	Arguments []struct {
		Name     string
		Required bool
	}
	Flags []struct {
		Name, Type string
		Variables  []string
		Required   bool
	}
}

// describe asks the binary for its commands.
func describe(t *testing.T) []described {
	t.Helper()
	var answer struct{ Commands []described }
	aliquot(t, "describe", "--json").ok(t).into(t, &answer)
	if len(answer.Commands) < 20 {
		t.Fatalf("%d commands", len(answer.Commands))
	}
	return answer.Commands
}

// short are the flags that have a letter.
var short = map[string]string{"-f": "--file", "-o": "--output"}

// reads says what is wrong with the words of a command line after "aliquot". A span
// within a sentence may leave out arguments and values, but names no flag that
// its command lacks. A group of commands stands for each of them: it is right where
// one of them has every flag.
func reads(commands []described, words []string, whole bool) error {
	named := 0
	var fit []described
	for n := range words {
		prefix := strings.Join(words[:n+1], " ")
		var longer []described
		for _, c := range commands {
			if c.Name == prefix || strings.HasPrefix(c.Name, prefix+" ") {
				longer = append(longer, c)
			}
		}
		if len(longer) == 0 {
			break
		}
		named, fit = n+1, longer
	}
	if named == 0 {
		return fmt.Errorf("there is no command %q", words[0])
	}
	var last error
	for _, c := range fit {
		if last = c.takes(words[named:], whole); last == nil {
			return nil
		}
	}
	return last
}

// takes says whether a command has the flags that words name, and, where the line is
// a whole one, the arguments and flags that it needs.
func (c described) takes(words []string, whole bool) error {
	given, arguments := map[string]bool{}, 0
	for i := 0; i < len(words); i++ {
		word := words[i]
		if long, ok := short[word]; ok {
			word = long
		}
		if !strings.HasPrefix(word, "--") {
			arguments++
			continue
		}
		name, _, assigned := strings.Cut(strings.TrimPrefix(word, "--"), "=")
		known := false
		for _, f := range c.Flags {
			if f.Name != name && (f.Type != "bool" || "no-"+f.Name != name) {
				continue
			}
			known, given[f.Name] = true, true
			if f.Type != "bool" && !assigned {
				if i++; i >= len(words) && whole {
					return fmt.Errorf("%s: --%s has no value", c.Name, name)
				}
			}
		}
		if !known {
			return fmt.Errorf("%s has no flag --%s", c.Name, name)
		}
	}
	if arguments > len(c.Arguments) {
		return fmt.Errorf("%s takes %d arguments, not %d", c.Name, len(c.Arguments), arguments)
	}
	if !whole {
		return nil
	}
	for i, argument := range c.Arguments {
		if argument.Required && i >= arguments {
			return fmt.Errorf("%s needs the argument %s", c.Name, argument.Name)
		}
	}
	for _, f := range c.Flags {
		// A flag of type bool that is required is one of several of which one is.
		if f.Required && f.Type != "bool" && !given[f.Name] && !given["outstanding"] {
			return fmt.Errorf("%s needs --%s", c.Name, f.Name)
		}
	}
	return nil
}

// lines are the simple commands of a shell text, as words.
func lines(text string) (list [][]string) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	var words []string
	var word strings.Builder
	started, quote := false, rune(0)
	endWord := func() {
		if started {
			words = append(words, word.String())
		}
		word.Reset()
		started = false
	}
	end := func() {
		endWord()
		if len(words) > 0 {
			list = append(list, words)
		}
		words = nil
	}
	comment := false
	for _, r := range text {
		switch {
		case comment && r != '\n':
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			quote, started = r, true
		case r == '\n' || r == '&' || r == ';' || r == '|':
			comment = false
			end()
		case r == ' ' || r == '\t':
			endWord()
		case r == '#' && !started:
			comment = true
		default:
			started = true
			word.WriteRune(r)
		}
	}
	end()
	return list
}

// Every command that a document shows is one that the binary knows, with flags
// that the command has, and every task is in the Taskfile. Fails when a flag is
// renamed and a page goes on naming it.
func TestEveryCommandOfTheDocumentsIsKnown(t *testing.T) {
	t.Parallel()
	commands := describe(t)
	tasks, err := os.ReadFile(inRepository(t, "Taskfile.yml"))
	if err != nil {
		t.Fatal(err)
	}
	run, read := pages(t)
	seen := 0
	for _, page := range append(run, read...) {
		for _, p := range passages(t, page) {
			for _, words := range lines(p.text) {
				if len(words) > 3 && words[0] == "go" && words[1] == "run" && words[2] == "./cmd/aliquot" {
					words = words[2:]
					words[0] = "aliquot"
				}
				switch {
				case len(words) > 1 && words[0] == "aliquot":
					seen++
					if err := reads(commands, words[1:], p.block); err != nil {
						t.Errorf("%v: %v", p, err)
					}
				case len(words) > 3 && words[0] == "go" && words[1] == "tool" && words[2] == "task" && !strings.HasPrefix(words[3], "-"):
					seen++
					if !strings.Contains(string(tasks), "\n  "+words[3]+":\n") {
						t.Errorf("%v: there is no such task", p)
					}
				case !p.block && len(words[0]) > 3 && strings.HasPrefix(words[0], "--"):
					// A flag alone, in a sentence about some command.
					seen++
					name, _, _ := strings.Cut(words[0], "=")
					if !slices.ContainsFunc(commands, func(c described) bool { return c.takes([]string{name}, false) == nil }) {
						t.Errorf("%v: no command has this flag", p)
					}
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d commands were found", seen)
	}
}

// The reader of documents finds what is wrong: otherwise the test above sees nothing.
func TestWrongCommandsOfDocumentsAreFound(t *testing.T) {
	t.Parallel()
	commands := describe(t)
	for _, test := range []struct {
		name, line string
		whole      bool
		want       string
	}{
		{"a whole command", "aliquot apply -f book.yaml --data ./ledger", true, ""},
		{"a file that is not behind its flag", "aliquot apply book.yaml", true, "apply takes 0 arguments, not 1"},
		{"a command that was renamed", "aliquot send usage.csv", true, `there is no command "send"`},
		{"a flag that was renamed", "aliquot usage send --strict", false, "usage send has no flag --strict"},
		{"a needed flag that is missing", "aliquot register import holders.csv", true, "register import needs --token"},
		{"the same within a sentence", "aliquot register import holders.csv", false, ""},
		{"a needed argument that is missing", "aliquot period close my-book", true, "period close needs the argument period"},
		{"a flag of another command of the group", "aliquot period reopen b 2026-11 --early", false, "period reopen has no flag --early"},
		{"a group whose default command has the flags", "aliquot deposit --book b --outstanding --reference x", true, ""},
		{"a flag that says no", "aliquot bench --no-latency", true, ""},
		{"no to a flag that has a value", "aliquot bench --no-events", true, "bench has no flag --no-events"},
		{"a value that is missing", "aliquot payout export --distribution", true, "payout export: --distribution has no value"},
		{"words in quotes", `aliquot payout correct po-1 --state failed --reason "a bank's # letter & more" # a comment`, true, ""},
		{"the second of two", "aliquot check && aliquot reply", true, `there is no command "reply"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			for _, words := range lines(test.line) {
				if err := reads(commands, words[1:], test.whole); err != nil {
					got = err.Error()
				}
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// shownBlock is how a shell block of a page is tested: it runs between two
// scripts, or it says why it does not.
type shownBlock struct {
	page, begins  string // its first line, up to a comment
	before, after string
	instead       []string // pairs: what of the block is replaced by what
	data          []string // pairs: a file of the published data, and its name in the block
	// says has pairs: what the page says, and what the commands must print.
	says   []string
	notRun string
}

// A month of examples/first up to the payouts, which are in payouts.csv, in the
// folder that commands use without --data.
func month(t *testing.T) string {
	t.Helper()
	until, _, found := strings.Cut(ownUsage(t), "# The bank's answer")
	if !found {
		t.Fatal("the README's script has no answer of a bank")
	}
	return "cp examples/first/*.* .\nexport ALIQUOT_DIR=ledger\n" + until
}

const (
	stop = "kill $!\nwait $!\n"
	// What a rail says of each payout of payouts.csv.
	returned = `awk -F, 'NR == 1 {print "payout_id,state"} NR > 1 {print $1 ",returned"}' payouts.csv > answers.csv` + "\n"
	failed   = `awk -F, 'NR == 1 {print "payout_id,state"} NR > 1 {print $1 ",failed"}' payouts.csv > answers.csv` + "\n"
	confirm  = "aliquot payout confirm answers.csv --batch T1:2026-10:csv\n"
)

func shownBlocks(t *testing.T) []shownBlock {
	return []shownBlock{
		{page: "README.md", begins: "go run ./cmd/aliquot demo", instead: []string{"go run ./cmd/aliquot", "aliquot"},
			says: []string{"closes the day, distributes, pays out", "payouts confirmed", "a stablecoin off its peg", "released", "checks every invariant", "journal complete"}},
		{page: "README.md", begins: "aliquot demo --book examples/azure-llm/book.yaml",
			data: []string{azureTrace, "AzureLLMInferenceTrace_conv.csv"}, says: []string{"", "96.791325"}},
		{page: "README.md", begins: "aliquot up --data ./ledger &", notRun: "TestTheScriptOfTheREADMERunsEveryTime runs it twenty times"},
		{page: "README.md", begins: "curl http://127.0.0.1:8080/v1/events",
			before:  month(t) + "url=$(sed 's/.*\"url\":\"\\([^\"]*\\).*/\\1/' ledger/running.json)\n",
			instead: []string{"curl http://127.0.0.1:8080", "curl -sS --fail-with-body $url"},
			after:   "\naliquot usage outcome /clusters/eu-1#0/41 --wait 30\n" + stop,
			says:    []string{"Aliquot-Provider", `"accepted":1,"refused":0`, "", "at 0/"}},
		{page: "README.md", begins: "aliquot bench --events 2000000", notRun: "measures for an hour; cmd/internal/bench tests every variant with few events"},
		{page: "README.md", begins: "go -C internal/tools/task tool task test", notRun: "is what runs this test"},
		{page: "docs/operations.md", begins: "aliquot up --data /var/lib/aliquot",
			instead: []string{"/var/lib/aliquot", "lib", "127.0.0.1:8080", "127.0.0.1:0 &"},
			after:   "until [ -e lib/running.json ]; do sleep 0.1; done\naliquot status --data lib\n" + stop,
			says:    []string{"", "aliquot answers on http://127.0.0.1:", "", "healthy"}},
		{page: "docs/operations.md", begins: "aliquot key create acme-meter",
			before:  "cp examples/first/book.yaml .\nexport ALIQUOT_DIR=ledger\naliquot apply -f book.yaml\n",
			instead: []string{"--provider acme", "--provider me"},
			says:    []string{"Secrets are shown once", "alq_", "admits the nkey and prints its subject and inbox", "in.me", "", "_INBOX_me"}},
		{page: "docs/operations.md", begins: "aliquot migrate", notRun: "needs a JetStream cluster and a database; cmd/internal/acceptance/apart runs these processes on both"},
		{page: "docs/operations.md", begins: "aliquot check", before: month(t) + stop,
			says: []string{"every invariant of the ledger", "sources_within_stream", "derives everything again from the streams and compares it", "identical: ",
				"compares every message with its second copy and its log", " in the second copy, ", "one line that two machines can compare", "state_root "}},
		{page: "docs/operations.md", begins: "aliquot payout correct po-353bd0d7f669a8c8bd97aba06eb13e11",
			before: month(t) + failed + confirm, after: "aliquot statement holder ada\n" + stop,
			says: []string{"confirmed,tx-17,ada,USDC,219.612578", "219.612578", "The correction also moves the money", "confirmed"}},
		{page: "docs/operations.md", begins: "aliquot payout run --token T1", before: month(t) + returned + confirm,
			after: "cat payouts.csv\n" + stop, says: []string{"T1:run:1", "T1:run:1"}},
		{page: "examples/azure-llm/README.md", begins: "aliquot demo", data: []string{azureTrace, "azure-llm-2023-conv.csv"},
			says: []string{"exactly 96.791325 USDC", "  charged        96.791325 "}},
		{page: "examples/first/README.md", begins: "aliquot demo", says: []string{"Two machines", "gpu-2", "", "journal complete"}},
		{page: "examples/gentd26/README.md", begins: "aliquot demo",
			data: []string{"1-usage/gentd26-lora-request-trace.csv", "gentd26-lora-request-trace.csv",
				"1-usage/gentd26-node-pipeline-inference-ms.csv", "gentd26-node-pipeline-inference-ms.csv"},
			says: []string{"26,392 events are sent, 26,373 accepted, 19 are duplicates", "26392 sent = 26373 accepted + 0 late + 19 duplicate + 0 refused",
				"431 are skipped, because their jobs failed, are waiting or are running", "431 rows skipped", "381.3805 USDC", "  charged        381.3805 ",
				"34,421 measurements", "34421 sent = 34421 accepted"}},
		{page: "examples/gpu-rental/README.md", begins: "aliquot apply", after: "aliquot deposit --outstanding --book gpu-rental --reference x --data ledger\naliquot statement provider gpu-rental --data ledger\n",
			says: []string{"Three rentals", "3 accepted", "The fourth is skipped", "4 rows, 1 skipped",
				"three hours between half past one and half past three", "  10800 ", "61,200 GPU-seconds", "  50400 "}},
	}
}

// Every block of commands of the README, of operations, of the pages on formats and
// of the examples runs as it stands and prints what the page says, or says here why
// it does not run. Fails where a page has a block that this table does not know, and
// where the table knows one that no page has.
func TestTheBlocksOfTheDocumentsRun(t *testing.T) {
	t.Parallel()
	run, _ := pages(t)
	binaries, table := binaryFolder(t), shownBlocks(t)
	tested := make([]bool, len(table))
	for _, page := range run {
		text, err := os.ReadFile(inRepository(t, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range passages(t, page) {
			if !p.block {
				continue
			}
			i := slices.IndexFunc(table, func(b shownBlock) bool { return b.page == page && strings.HasPrefix(p.text, b.begins) })
			if i < 0 || tested[i] {
				t.Errorf("%v: no test runs this block, or it stands there twice", p)
				continue
			}
			tested[i] = true
			if b := table[i]; b.notRun == "" {
				t.Run(strings.ReplaceAll(page+": "+b.begins, "/", " "), func(t *testing.T) {
					t.Parallel()
					b.test(t, binaries, p.text, string(text))
				})
			}
		}
	}
	for i, b := range table {
		if !tested[i] {
			t.Errorf("%s has no block that begins with %q", b.page, b.begins)
		}
	}
}

func (b shownBlock) test(t *testing.T, binaries, block, page string) {
	dir := t.TempDir()
	if err := os.Symlink(inRepository(t, "examples"), filepath.Join(dir, "examples")); err != nil {
		t.Fatal(err)
	}
	for pair := range slices.Chunk(b.data, 2) {
		if err := os.Symlink(published.Path(t, pair[0]), filepath.Join(dir, pair[1])); err != nil {
			t.Fatal(err)
		}
	}
	for pair := range slices.Chunk(b.instead, 2) {
		if !strings.Contains(block, pair[0]) {
			t.Errorf("the block does not say %q", pair[0])
		}
	}
	out := shell(t, dir, binaries, b.before+strings.NewReplacer(b.instead...).Replace(block)+b.after)
	for pair := range slices.Chunk(b.says, 2) {
		if !strings.Contains(page, pair[0]) {
			t.Errorf("the page does not say %q", pair[0])
		}
		if !strings.Contains(out, pair[1]) {
			t.Errorf("%q is not in\n%s", pair[1], tail(out))
		}
	}
}

// The examples of docs/files.md are read as the page says, by the commands that it
// names. Fails where a page's example, or what it says of one, is not so.
func TestTheExamplesOfThePageOfFilesAreRead(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(inRepository(t, "docs/files.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(inRepository(t, "examples"), filepath.Join(dir, "examples")); err != nil {
		t.Fatal(err)
	}
	// part returns what is between two texts, of which the first is in the page.
	part := func(page, begin, end string) string {
		_, after, found := strings.Cut(page, begin)
		within, _, ends := strings.Cut(after, end)
		if !found || !ends {
			t.Fatalf("files.md has no %q before a %q", begin, end)
		}
		return within
	}
	script := month(t) + "aliquot apply -f examples/gpu-rental/book.yaml\n"
	for _, example := range []struct {
		section, kind, file string
		also                string   // another block of the section, which is the file map.yaml
		instead             []string // of the command that the section begins with
		options             string
		after               string
	}{
		{section: "Usage", kind: "csv", file: "rentals.csv", also: "yaml", instead: []string{"FILE", "rentals.csv", "MAP", "map.yaml"},
			options: " --wait", after: "aliquot statement customer protein-gmbh\naliquot statement customer conversation-lab\n"},
		{section: "Quotes", kind: "csv", file: "rounds.csv", instead: []string{"FILE", "rounds.csv", "NAME", "chainlink", "ASSET/CURRENCY", "USDC/USD"}},
		{section: "Register", kind: "csv", file: "register.csv", instead: []string{"FILE", "register.csv", "T", "GPURENT"},
			options: " " + part(part(string(text), "\n## Register\n", "\n## "), "is read with `", "`") + " --expected-supply 1,234.5678"},
		{section: "Holds", kind: "text", file: "list.txt", instead: []string{"FILE", "list.txt", "NAME", "plain"}},
		{section: "Holds", kind: "csv", file: "sdn.csv", instead: []string{"FILE", "sdn.csv", "NAME", "rows"}},
		{section: "Answers of a rail", kind: "csv", file: "rail.csv", instead: []string{"FILE", "rail.csv", "BATCH", "T1:2026-10:csv"},
			after: "aliquot export payouts --format csv\n"},
	} {
		section := part(string(text)+"\n## ", "\n## "+example.section+"\n", "\n## ")
		write(t, dir, example.file, part(section, "```"+example.kind+"\n", "```"))
		if example.also != "" {
			script += "cat > map.yaml <<'END'\n" + part(section, "```"+example.also+"\n", "```") + "END\n"
		}
		words := strings.Fields("aliquot " + part(section, "`aliquot ", "`"))
		for pair := range slices.Chunk(example.instead, 2) {
			i := slices.Index(words, pair[0])
			if i < 0 {
				t.Fatalf("the command of %q has no %s", example.section, pair[0])
			}
			words[i] = pair[1]
		}
		script += strings.Join(words, " ") + example.options + "\n" + example.after
	}
	out := shell(t, dir, binaryFolder(t), script+stop)
	for _, want := range []string{
		"2 accepted, 0 late, 0 duplicates, 0 refused", "  43200 ", "  1800 ", // "43,200 GPU-seconds … and 1,800"
		"2 rounds recorded",
		"1 holders, 1234567800000000000000 units",
		"plain: 2 entries, 1 matches a holder",
		"rows: 1 entries, 1 matches a holder",
		",219.612578,csv,confirmed,wire 81,", ",87.405806,csv,returned,account closed,",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, tail(out))
		}
	}
}

// The table of decisions has every record once, in ascending order, and each record
// begins with its number.
func TestTheTableOfDecisionsIsWhole(t *testing.T) {
	t.Parallel()
	table, err := os.ReadFile(inRepository(t, "docs/decisions/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var shown, want []string
	for _, link := range regexp.MustCompile(`(?m)^\| \[(\d{4})\]\((\d{4}-[a-z0-9-]+\.md)\) \| \S`).FindAllStringSubmatch(string(table), -1) {
		if !strings.HasPrefix(link[2], link[1]) {
			t.Errorf("%s is called %s", link[2], link[1])
		}
		shown = append(shown, link[2])
	}
	files, err := filepath.Glob(inRepository(t, "docs/decisions/0*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		want = append(want, name)
		if text, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(text), "# "+name[:4]+": ") {
			t.Errorf("%s does not begin with its number: %v", name, err)
		}
	}
	if !slices.Equal(shown, want) {
		t.Errorf("the table shows %v, the folder has %v", shown, want)
	}
}
