package main

import (
	"slices"
	"testing"

	"github.com/alecthomas/kong"
)

// The output of describe equals what the parser has, because manifests are
// compared with it.
func TestDescribeSaysWhatTheParserHas(t *testing.T) {
	var line root
	parser, err := kong.New(&line)
	if err != nil {
		t.Fatal(err)
	}
	commands := map[string]describedCommand{}
	for _, c := range describe(parser.Model).Commands {
		if _, twice := commands[c.Name]; twice || c.Name == "" || c.Help == "" {
			t.Errorf("command %q: twice, or without a name or help", c.Name)
		}
		commands[c.Name] = c
	}
	flag := func(command, name string) *describedValue {
		flags := commands[command].Flags
		if i := slices.IndexFunc(flags, func(f describedValue) bool { return f.Name == name }); i >= 0 {
			return &flags[i]
		}
		return nil
	}
	if f := flag("settle", "listen"); f == nil || !slices.Equal(f.Variables, []string{"ALIQUOT_LISTEN"}) || f.Type != "string" {
		t.Errorf("settle --listen: %+v", f)
	}
	if f := flag("ingest", "replicas"); f == nil || f.Type != "int" || f.Default != "3" {
		t.Errorf("ingest --replicas: %+v", f)
	}
	if f := flag("usage send", "data"); f == nil || !slices.Equal(f.Variables, []string{"ALIQUOT_DIR"}) {
		t.Errorf("usage send --data, which every command has: %+v", f)
	}
	if f := flag("up", "lazy-sync"); f != nil {
		t.Error("a hidden flag is shown")
	}
	if f := flag("ingest", "take-over"); f != nil {
		t.Error("a flag of settle is one of ingest")
	}
	if a := commands["verify"].Arguments; len(a) != 1 || a[0].Name != "file" {
		t.Errorf("verify's arguments: %+v", a)
	}
}

func TestVerifyNeedsAFileAndAKeyOrAFolder(t *testing.T) {
	for _, c := range []verifyCommand{{}, {File: "f"}, {Key: "k"}, {Page: "p", File: "f"}, {Page: "p", Key: "k"}} {
		if err := c.Run(&root{}); err == nil {
			t.Errorf("%+v was run", c)
		}
	}
}
