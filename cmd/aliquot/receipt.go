package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/aliquot-engine/aliquot/pkg/plain"
	"github.com/aliquot-engine/aliquot/pkg/receipt"
	"github.com/aliquot-engine/aliquot/pkg/receipt/offline"
	"github.com/aliquot-engine/aliquot/services/console/verifier"
)

type receiptCommand struct {
	ID     string `arg:"" optional:"" help:"A payout, a journal row, or a usage event: source#id, source#sequence, source#epoch/sequence or partition/position/ordinal."`
	Output string `short:"o" default:"-" help:"File to write; - is standard output."`

	eventFlags `embed:""`
}

func (c *receiptCommand) Run(ctx context.Context, r *root) error {
	query, err := c.query(c.ID)
	if err != nil {
		return err
	}
	var made receipt.Receipt
	if err := r.ask(ctx, http.MethodGet, "/v1/receipt?"+query.Encode(), nil, &made); err != nil {
		return err
	}
	data, err := made.Marshal()
	if err != nil {
		return err
	}
	if c.Output == "-" {
		_, err = os.Stdout.Write(data)
	} else {
		err = os.WriteFile(c.Output, data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("writing the receipt: %w", err)
	}
	return nil
}

type verifyCommand struct {
	File   string `arg:"" optional:"" help:"The receipt; - is standard input."`
	Key    string `help:"Public key of the logs, or a file with it, such as keys/log.pub in the folder. If that key has been handed over since, its successors are accepted too." placeholder:"KEY"`
	Policy string `help:"C2SP tlog-policy file that names the witnesses whose cosignatures every checkpoint must have; without --key, its log lines name the trusted key." placeholder:"FILE" type:"existingfile"`
	Page   string `help:"Instead of verifying, write the page that verifies receipts in a browser to this folder: one file, which needs no server." placeholder:"DIR"`
}

// Run needs neither a server nor a folder, only the files.
func (c *verifyCommand) Run(r *root) error {
	switch {
	case c.Page != "" && (c.File != "" || c.Key != "" || c.Policy != ""):
		return misused("--page writes a page and verifies nothing: omit FILE, --key and --policy")
	case c.Page != "":
		return c.writePage(r)
	case c.File == "" || c.Key == "" && c.Policy == "":
		return misused("name the receipt's FILE, and with --key the key that its logs are signed with, or a --policy that has this key")
	}
	err := offline.Run(offline.Request{File: c.File, Key: c.Key, Policy: c.Policy, JSON: r.JSON, Words: !lively(os.Stdout)}, os.Stdin, os.Stdout)
	if errors.Is(err, offline.ErrNotVerified) {
		return errFalse
	}
	return err
}

func (c *verifyCommand) writePage(r *root) error {
	page, err := verifier.Built()
	if err != nil {
		return err
	}
	written := struct {
		File   string `json:"file"`
		Bytes  int    `json:"bytes"`
		SHA256 string `json:"sha256"`
	}{Bytes: len(page.HTML), SHA256: page.SHA256}
	if written.File, err = page.Write(c.Page); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return r.print(written, func(w io.Writer) {
		plain.Fprintf(w, "%s: %d bytes, SHA-256 %s\n", written.File, written.Bytes, written.SHA256)
	})
}
