package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// shells has a script for each shell. All scripts call the hidden command
// complete, which asks the parser, and leave file names to the shell.
var shells = map[string]string{
	"bash": `_aliquot() {
  local IFS=$'\n'
  COMPREPLY=($(aliquot complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
  [ ${#COMPREPLY[@]} -gt 0 ] || compopt -o default
}
complete -F _aliquot aliquot
`,
	"zsh": `#compdef aliquot
_aliquot() {
  local -a found
  found=("${(@f)$(aliquot complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "$found[1]" ]]; then compadd -a found; else _files; fi
}
compdef _aliquot aliquot
`,
	"fish": `function __aliquot_complete
  set -l line (commandline -opc)
  set -l found (aliquot complete -- $line[2..] (commandline -ct) 2>/dev/null)
  if test (count $found) -gt 0
    printf '%s\n' $found
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c aliquot -f -a '(__aliquot_complete)'
`,
}

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (c *completionCommand) Run() error {
	_, err := io.WriteString(os.Stdout, shells[c.Shell])
	return err
}

type completeCommand struct {
	Words []string `arg:"" optional:"" passthrough:"" help:"The words so far; the last one is being typed."`
}

func (c *completeCommand) Run(parsed *kong.Context) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	for _, one := range completions(parsed.Model.Node, words) {
		fmt.Println(one)
	}
	return nil
}

// completions returns what the last word may become, in ascending order. There
// are none for a value that only the user knows, such as a file name.
func completions(node *kong.Node, words []string) []string {
	last := ""
	if len(words) > 0 {
		last = words[len(words)-1]
		words = words[:len(words)-1]
	}
	if len(words) > 0 && node.Parent == nil && words[0] == "help" {
		words = words[1:]
	}
	var waits *kong.Flag // the flag whose value comes next
	arguments := 0
	for _, word := range words {
		if waits != nil {
			waits = nil
			continue
		}
		if strings.HasPrefix(word, "-") {
			if flag := flagOf(node, word); flag != nil && !flag.IsBool() {
				waits = flag
			}
			continue
		}
		if child := childOf(node, word); child != nil {
			node = child
			continue
		}
		arguments++
	}
	var list []string
	add := func(candidates ...string) {
		for _, one := range candidates {
			if one != "" && strings.HasPrefix(one, last) && !slices.Contains(list, one) {
				list = append(list, one)
			}
		}
	}
	switch {
	case waits != nil:
		add(waits.EnumSlice()...)
	case strings.HasPrefix(last, "-"):
		for _, group := range node.AllFlags(true) {
			for _, flag := range group {
				add("--" + flag.Name)
			}
		}
		if node.DefaultCmd != nil {
			for _, flag := range node.DefaultCmd.Flags {
				add("--" + flag.Name)
			}
		}
	case arguments == 0 && len(node.Children) > 0:
		for _, child := range node.Children {
			if !child.Hidden {
				add(child.Name)
			}
		}
	case arguments < len(node.Positional):
		add(node.Positional[arguments].EnumSlice()...)
	}
	slices.Sort(list)
	return list
}

func childOf(node *kong.Node, name string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == name {
			return child
		}
	}
	return nil
}

// flagOf returns the flag that a word names, if it takes the next word as its
// value.
func flagOf(node *kong.Node, word string) *kong.Flag {
	groups := node.AllFlags(false)
	if node.DefaultCmd != nil {
		groups = append(groups, node.DefaultCmd.Flags)
	}
	for _, group := range groups {
		for _, flag := range group {
			if word == "--"+flag.Name || flag.Short != 0 && word == "-"+string(flag.Short) {
				return flag
			}
		}
	}
	return nil
}
