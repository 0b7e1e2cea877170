package peertest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"

	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/witness"
)

// Tessera, acting as a log, submits to our witnesses, makes the proofs itself,
// and publishes nothing that they have not cosigned.
func TestTesseraHasItsCheckpointsCosignedByOurWitnesses(t *testing.T) {
	key, err := tlog.NewKey(sha256.Sum256([]byte("a log of tessera's")))
	if err != nil {
		t.Fatal(err)
	}
	// Tessera requires a signer that is named like the origin, and our keys are
	// named like the installation. On the way to the witness the same text is
	// signed with our name.
	private, text, err := note.GenerateKey(rand.Reader, key.Origin("control"))
	if err != nil {
		t.Fatal(err)
	}
	public, err := note.NewVerifier(text)
	if err != nil {
		t.Fatal(err)
	}
	first, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	var verifiers []note.Verifier
	var parts []tessera.Witness
	var watching []*witness.Witness
	for i := range 2 {
		w, err := witness.Open(witness.Config{
			Dir: t.TempDir(), Name: fmt.Sprintf("witness.example/w%d", i), Keys: []*tlog.PublicKey{key.Public()},
			Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		server := httptest.NewServer(signedBy(t, key, w.Handler()))
		defer server.Close()
		at, err := url.Parse(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		part, err := tessera.NewWitness(w.PublicKey(), at)
		if err != nil {
			t.Fatal(err)
		}
		watching, verifiers, parts = append(watching, w), append(verifiers, part.Key), append(parts, part)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	driver, err := posix.New(ctx, posix.Config{Path: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(first).
		WithCheckpointInterval(100*time.Millisecond).
		WithBatching(8, 10*time.Millisecond).
		WithWitnesses(tessera.NewWitnessGroup(2, parts[0], parts[1]), nil)
	log, shutdown, reader, err := tessera.NewAppender(ctx, driver, options)
	if err != nil {
		t.Fatal(err)
	}
	awaiter := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 20*time.Millisecond)
	sizes := map[uint64]bool{}
	for i := range 40 {
		_, checkpoint, err := awaiter.Await(ctx, log.Add(ctx, tessera.NewEntry(leaf(i))))
		if err != nil {
			t.Fatal(err)
		}
		c, opened, err := tlog.OpenCheckpoint(checkpoint, key.Origin("control"), public, verifiers...)
		if err != nil || len(opened.Sigs) != 3 {
			t.Fatalf("entry %d: %d signatures, %v\n%s", i, len(opened.Sigs), err, checkpoint)
		}
		sizes[c.Size] = true
		if len(sizes) == 4 {
			break
		}
	}
	if err := shutdown(ctx); err != nil {
		t.Error(err)
	}
	for i, w := range watching {
		seen, err := w.Seen()
		if err != nil || len(seen) != 1 || seen[0].Size == 0 || w.Alarms() != 0 {
			t.Errorf("witness %d has seen %+v, %d alarms, %v", i, seen, w.Alarms(), err)
		}
	}
	if len(sizes) < 4 {
		t.Errorf("only %d checkpoints", len(sizes))
	}
}

// signedBy signs the checkpoints of submissions with another key of the log.
func signedBy(t *testing.T, key *tlog.Key, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s, err := tlog.ParseSubmission(body)
		if err != nil {
			t.Errorf("%q: %v", body, err)
			return
		}
		text, _, _ := strings.Cut(string(s.Checkpoint), "\n\n")
		if s.Checkpoint, err = note.Sign(&note.Note{Text: text + "\n"}, key); err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(s.Marshal()))
		next.ServeHTTP(w, r)
	})
}
