package main

import (
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"
)

// effect is a set of the flags that the parser accepts for every command: those
// that have an effect on a command. --quiet is not among them, because a
// command without progress can ignore it.
type effect uint8

const (
	onData effect = 1 << iota
	onURL
	onBearer
	onDatabase
	onAs
	onJSON
	begins // not a flag: the command may create a ledger in a folder that has none
)

const (
	asks    = onData | onURL | onBearer | onDatabase | onJSON // a question to the API
	decides = asks | onAs                                     // a decision through it
)

// effects has an entry for every command.
var effects = map[string]effect{
	"up":         onData | onDatabase | begins,
	"ingest":     onDatabase,
	"settle":     onData | onDatabase | begins,
	"distribute": onDatabase,
	"keep":       onData | onDatabase | begins,
	"demo":       onData | onDatabase | onAs | onJSON | begins,
	"apply":      decides | begins,

	"usage send":           decides, // It declares names.
	"usage outcome":        asks,
	"quotes import":        decides,
	"quotes withdraw":      decides,
	"suspense list":        asks,
	"suspense release":     decides,
	"register import":      decides,
	"holds import":         decides,
	"deposit record":       decides,
	"deposit reverse":      decides,
	"collect":              decides,
	"period close":         decides,
	"period reopen":        decides,
	"distribution declare": decides,
	"distribution list":    asks,
	"payout run":           decides,
	"payout export":        decides,
	"payout confirm":       decides,
	"payout correct":       decides,
	"balances":             asks,
	"statement provider":   asks,
	"statement customer":   asks,
	"statement holder":     asks,
	"check":                asks,
	"replay":               asks,
	"state":                asks,
	"explain":              asks,
	"export":               asks,
	"receipt":              asks, // A receipt is JSON.
	"key create":           decides,
	"key list":             asks,
	"key revoke":           decides,
	"status":               asks,

	"log keys show":   onData | onJSON | begins, // With --make.
	"log keys rotate": onData | onDatabase | onAs | onJSON,
	"log list":        onData | onJSON,
	"log export":      asks &^ onURL, // It reads the folder, and asks for the state root.
	"log fsck":        onData | onDatabase | onAs | onJSON,

	"migrate":          onDatabase | onJSON,
	"bench":            onDatabase | onJSON,
	"witness watch":    onJSON, // With --once.
	"witness key":      onJSON,
	"witness evidence": onJSON,
	"verify":           onJSON,
	"openapi":          onJSON, // It is JSON.
	"describe":         onJSON,
	"version":          onJSON,
	"help":             0,
	"completion":       0,
	"complete":         0,
}

// narrowed is a command whose own flags, as given, take away some of its
// effects.
type narrowed interface {
	// without returns the flags that have no effect, and why.
	without() (effect, string)
}

func (c *replayCommand) without() (effect, string) {
	if c.Archives != "" {
		return asks &^ onJSON, "with --archives, which needs no ledger"
	}
	return 0, ""
}

func (c *logExportCommand) without() (effect, string) {
	if c.Bare {
		return onBearer | onDatabase, "with --bare, which asks no server"
	}
	return 0, ""
}

func (c *logFsckCommand) without() (effect, string) {
	if !c.Restore {
		return onAs, "without --restore, because nothing is decided"
	}
	return 0, ""
}

func (c *logKeysShowCommand) without() (effect, string) {
	if !c.Make {
		return begins, "without --make"
	}
	return 0, ""
}

func (c *witnessRunCommand) without() (effect, string) {
	if !c.Once {
		return onJSON, "without --once, because it does not end"
	}
	return 0, ""
}

// common has the flags that the parser accepts for every command, with their
// effects and the variables that select a ledger.
var common = []struct {
	flag, variable string
	effect         effect
}{
	{"data", "ALIQUOT_DIR", onData},
	{"url", "ALIQUOT_URL", onURL},
	{"bearer", "", onBearer},
	{"database-url", "DATABASE_URL", onDatabase},
	{"as", "", onAs},
	{"json", "", onJSON},
}

// prepare refuses flags and variables that would have no effect on the command,
// and a folder without a ledger unless the command creates one.
//
// A flag on the command line must have an effect. An environment variable must
// have one if it selects a ledger and the command uses a ledger; otherwise the
// command would use another ledger than the variable says. Folder and database
// together are one ledger, so either may be set in the environment although a
// command needs only the other.
func (r *root) prepare(parsed *kong.Context) error {
	node := parsed.Selected()
	name := nameOf(node)
	effective, because := effects[name], ""
	if n, ok := node.Target.Addr().Interface().(narrowed); ok {
		var less effect
		less, because = n.without()
		effective &^= less
	}
	r.begins = effective&begins != 0
	r.onLine = map[string]bool{}
	for _, p := range parsed.Path {
		if p.Flag != nil && !p.Resolved {
			r.onLine[p.Flag.Name] = true
		}
	}
	said := func(flag, variable string) string { // how it was given, if it was
		switch {
		case r.onLine[flag]:
			return "--" + flag
		case variable != "" && os.Getenv(variable) != "":
			return variable
		}
		return ""
	}
	for _, c := range common {
		if effective&c.effect == 0 && r.onLine[c.flag] {
			if because != "" && effects[name]&c.effect != 0 {
				return misused("--%s has no effect %s: omit it", c.flag, because)
			}
			return misused("--%s has no effect on aliquot %s: omit it", c.flag, name)
		}
	}
	deals := effective&(onData|onURL|onDatabase) != 0 && name != "bench"
	if deals && effective&onURL == 0 && os.Getenv("ALIQUOT_URL") != "" {
		return misused("ALIQUOT_URL has no effect on aliquot %s, which asks no server: unset it", name)
	}
	if effective&onURL != 0 && r.URL != "" {
		for _, c := range common {
			if by := said(c.flag, c.variable); c.effect&(onData|onDatabase) != 0 && by != "" {
				return misused("%s has no effect with %s, whose server has the ledger: omit one of them", by, said("url", "ALIQUOT_URL"))
			}
		}
		return nil
	}
	if effective&onData != 0 {
		return r.present(effective&onURL != 0)
	}
	return nil
}

// present refuses a folder without a ledger, because opening it would create
// one. A folder that is used through the API must have its streams; if only its
// files are read, its second copies or its key are enough.
func (r *root) present(api bool) error {
	if r.begins {
		return nil
	}
	wanted := []string{"streams"}
	if !api {
		wanted = append(wanted, "archive", "tlog", "keys")
	}
	for _, name := range wanted {
		if _, err := os.Stat(filepath.Join(r.Data, name)); err == nil {
			return nil
		}
	}
	return misused("%s has no ledger: name its folder with --data or ALIQUOT_DIR, or its server with --url; aliquot up, aliquot apply and aliquot demo create one", r.Data)
}
