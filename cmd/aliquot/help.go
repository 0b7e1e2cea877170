package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/pkg/plain"
)

// misuseError is a command line that was parsed but asks for something that is
// impossible in any state of the ledger: nothing was tried.
type misuseError struct{ text string }

func (e *misuseError) Error() string { return e.text }

// misused returns the error for a wrong command line.
func misused(format string, args ...any) error { return &misuseError{fmt.Sprintf(format, args...)} }

// sayMisuse says in one line what is wrong, and in a second line where to read
// more. The context is nil if no command was recognised.
func sayMisuse(w io.Writer, parsed *kong.Context, err error) {
	said, _, _ := strings.Cut(err.Error(), "\n")
	fmt.Fprintln(w, "aliquot:", plain.Text(said))
	var node *kong.Node
	if parsed != nil {
		node = parsed.Selected()
	}
	if node == nil {
		fmt.Fprintln(w, "aliquot help lists the commands")
		return
	}
	fmt.Fprintf(w, "aliquot help %s shows how it is used\n", nameOf(node))
}

// versionFlag is --version, which needs no command.
type versionFlag bool

// BeforeReset is called by the parser, before it looks for a command.
func (versionFlag) BeforeReset(k *kong.Kong) error {
	fmt.Fprintln(k.Stdout, "aliquot", api.Version)
	k.Exit(exitDone)
	return nil
}

type helpCommand struct {
	Command []string `arg:"" optional:"" help:"Command, such as period close; without one, all commands are listed."`
}

func (c *helpCommand) Run(parsed *kong.Context) error {
	asked, err := kong.Trace(parsed.Kong, c.Command)
	if err != nil {
		return err
	}
	if asked.Error != nil {
		return misused("help: %v", asked.Error)
	}
	// The trace of a group continues with the default command of the group.
	asked.Path = asked.Path[:1+len(c.Command)]
	return asked.PrintUsage(false)
}

// printHelp adds the examples to the parser's help for a command, and the exit
// codes to its help for the whole program.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	node := ctx.Selected()
	if node == nil {
		_, err := io.WriteString(ctx.Stdout, exitCodes)
		return err
	}
	list := examplesOf(node)
	if len(list) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString("\nExamples:\n")
	for _, one := range list {
		fmt.Fprintf(&b, "  %s\n", one)
	}
	_, err := io.WriteString(ctx.Stdout, b.String())
	return err
}

const exitCodes = `
Exit codes:
  0    done
  1    the answer is no, or the command failed: standard error says why
  2    the command line is wrong: nothing was tried

Symbols and the moving progress line appear only on terminals; NO_COLOR=1 turns
them off there too.
`

// examplesOf returns the examples of a command, or of all commands of a group.
func examplesOf(node *kong.Node) []string {
	var list []string
	for _, leaf := range leavesOf(node) {
		list = append(list, examples[nameOf(leaf)]...)
	}
	return list
}

// leavesOf returns the commands of a group that do something, or the command
// itself.
func leavesOf(node *kong.Node) []*kong.Node {
	if len(node.Children) == 0 {
		return []*kong.Node{node}
	}
	return slices.DeleteFunc(node.Leaves(true), func(n *kong.Node) bool { return n.Type != kong.CommandNode })
}
