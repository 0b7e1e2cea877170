package main

import (
	"context"
	"errors"
)

// benchCommand measures the real path on this machine.
type benchCommand struct {
	Events     int      `help:"Usage events of each variant; variants that cost more take a part of them." default:"5000000"`
	Variant    []string `help:"Only these variants." placeholder:"NAME"`
	Senders    int      `help:"Requests under way at once." default:"4"`
	Lazy       bool     `help:"Also measure without syncing: what durability costs." name:"lazy-sync"`
	Folder     string   `help:"Where the temporary folders are made; the system's place by default." type:"path" placeholder:"DIR"`
	Markdown   bool     `help:"Print the tables as Markdown." xor:"format"`
	CPUProfile string   `help:"Write a CPU profile." name:"cpuprofile" type:"path" placeholder:"FILE"`
}

// Run measures every variant and prints the figures.
func (b *benchCommand) Run(ctx context.Context, r *root) error {
	return errors.New("being built")
}
