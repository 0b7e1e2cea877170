package main

import (
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/pkg/plain"
)

type describeCommand struct{}

// described is the description of the binary, for people who write manifests,
// units and scripts, and for the tests of those.
type described struct {
	Version  string             `json:"version"`
	Commands []describedCommand `json:"commands"`
}

type describedCommand struct {
	Name      string           `json:"name"`
	Help      string           `json:"help"`
	Arguments []describedValue `json:"arguments,omitempty"`
	Flags     []describedValue `json:"flags"` // including the common ones
}

type describedValue struct {
	Name      string   `json:"name"`
	Variables []string `json:"variables,omitempty"` // environment variables
	Type      string   `json:"type"`                // string, bool, int…
	Required  bool     `json:"required,omitempty"`
	Default   string   `json:"default,omitempty"`
	Help      string   `json:"help,omitempty"`
}

func (describeCommand) Run(r *root, line *kong.Context) error {
	d := describe(line.Model)
	return r.print(d, d.text)
}

func describe(application *kong.Application) described {
	d := described{Version: api.Version}
	for _, node := range application.Leaves(true) {
		c := describedCommand{Name: nameOf(node), Help: node.Help}
		for _, argument := range node.Positional {
			c.Arguments = append(c.Arguments, describeValue(argument))
		}
		for _, group := range node.AllFlags(true) {
			for _, flag := range group {
				if flag.Name == "help" {
					continue
				}
				v := describeValue(flag.Value)
				v.Variables = flag.Envs
				c.Flags = append(c.Flags, v)
			}
		}
		d.Commands = append(d.Commands, c)
	}
	return d
}

func describeValue(v *kong.Value) describedValue {
	return describedValue{Name: v.Name, Type: v.Target.Type().String(), Required: v.Required, Default: v.Default, Help: v.Help}
}

// nameOf returns a command as it is typed.
func nameOf(node *kong.Node) string {
	var words []string
	for ; node != nil && node.Type == kong.CommandNode; node = node.Parent {
		words = append(words, node.Name)
	}
	slices.Reverse(words)
	return strings.Join(words, " ")
}

func (d described) text(w io.Writer) {
	for _, c := range d.Commands {
		plain.Fprintf(w, "aliquot %s: %s\n", c.Name, c.Help)
		for _, a := range c.Arguments {
			plain.Fprintf(w, "  %s: %s\n", strings.ToUpper(a.Name), a.Help)
		}
		for _, f := range c.Flags {
			more := ""
			if len(f.Variables) > 0 {
				more = ", $" + strings.Join(f.Variables, ", $")
			}
			if f.Default != "" {
				more += ", default " + f.Default
			}
			plain.Fprintf(w, "  --%s (%s%s): %s\n", f.Name, f.Type, more, f.Help)
		}
	}
}
