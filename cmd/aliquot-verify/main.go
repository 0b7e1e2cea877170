// Command aliquot-verify verifies receipts of aliquot offline. It needs only
// the receipt and the public key of the logs, and contains no code that could
// contact anybody.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/aliquot-engine/aliquot/pkg/plain"
	"github.com/aliquot-engine/aliquot/pkg/receipt/offline"
)

func main() {
	key := flag.String("key", "", "public key of the logs, or a file with it: DIR/keys/log.pub")
	policy := flag.String("policy", "", "C2SP tlog-policy file that names the witnesses whose cosignatures are required; its log lines replace -key")
	asJSON := flag.Bool("json", false, "print the verdict as JSON")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: aliquot-verify [-key KEY] [-policy POLICY] [-json] FILE\n\nExit 0: verified. Exit 1: not verified. Exit 2: the file, the key or the policy cannot be read.")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 || *key == "" && *policy == "" {
		flag.Usage()
		os.Exit(2)
	}
	switch err := offline.Run(offline.Request{File: flag.Arg(0), Key: *key, Policy: *policy, JSON: *asJSON, Words: true}, os.Stdin, os.Stdout); {
	case errors.Is(err, offline.ErrNotVerified):
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "aliquot-verify:", plain.Text(err.Error()))
		os.Exit(2)
	}
}
