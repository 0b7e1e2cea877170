package events

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// This file has the grammar of all ids that aliquot makes itself. The same
// request always makes the same id, so a request that is repeated is recognised
// as the same decision, distribution, batch or import.
//
// The id of a decision is its kind and what identifies it, separated by colons:
// "deposit:acme-eu:globex:INV-7". A part may contain spaces or colons or be of
// any length, which an id may not. Then the id is the kind, two colons and a
// hash: the first 16 bytes of SHA-256, in hexadecimal, over "<length>:<part>"
// of each part.

// decisionID returns the id of a decision. Equal parts give equal ids, and
// different parts give different ids.
func decisionID(kind string, parts ...string) string {
	plain := kind
	clear := true
	for _, part := range parts {
		plain += ":" + part
		clear = clear && !strings.Contains(part, ":")
	}
	if clear && CheckName(plain) == nil {
		return plain
	}
	h := sha256.New()
	for _, part := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(part), part) // never fails
	}
	return kind + "::" + hex.EncodeToString(h.Sum(nil)[:16])
}

// DepositID is the id of the decision that records a deposit. A customer of a
// book uses a reference once.
func DepositID(book Book, customer Customer, reference string) string {
	return decisionID("deposit", string(book), string(customer), reference)
}

// DepositReversalID is the id of the decision that reverses a deposit.
func DepositReversalID(book Book, customer Customer, reference string) string {
	return decisionID("deposit-reversal", string(book), string(customer), reference)
}

// ClosingID is the id of the decision that closes a period of a book.
func ClosingID(book Book, period Period) string {
	return decisionID("close", string(book), string(period))
}

// ObservationID is the id of the decision that records rounds of a source; first
// and last are its first and last round.
func ObservationID(pair Pair, source, first, last string) string {
	return decisionID("quotes", string(pair), source, first, last)
}

// DeclarationID is the id of the decision that declares a distribution.
func DeclarationID(distribution string) string {
	return decisionID("distribution", distribution)
}

// SubmissionID is the id of the decision that submits a batch to its rail.
func SubmissionID(batch string) string {
	return decisionID("submit", batch)
}

// CorrectionID is the id of the nth decision, from 1, that makes the same
// correction of a payout.
func CorrectionID(payout, state, reference, reason string, n int) string {
	return decisionID("correct", payout, state, reference, reason, strconv.Itoa(n))
}

// ConfirmationID is the id of the decision that records an answer of a rail: it
// follows from the content of the answer. The same answer again is the same
// decision until a person has corrected a payout of the distribution; corrected
// is the CONTROL position of the last correction, or 0.
func ConfirmationID(answer PayoutsConfirmed, corrected uint64) (string, error) {
	text, err := AppendBody(nil, answer)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	id := "confirm:" + hex.EncodeToString(sum[:16])
	if corrected > 0 {
		id += ":" + strconv.FormatUint(corrected, 10)
	}
	return id, nil
}

// DistributionID is the id of the nth distribution, from 1, that is declared
// for a token and period: "GPU1:2026-11", then "GPU1:2026-11:2". There is
// another one only if all earlier ones were void.
func DistributionID(token Token, period Period, n int) string {
	id := string(token) + ":" + string(period)
	if n > 1 {
		id += ":" + strconv.Itoa(n)
	}
	return id
}

// RunID is the id of the nth payout run of a token, from 1, if no other id was
// chosen: "GPU1:run:1".
func RunID(token Token, n int) string {
	return string(token) + ":run:" + strconv.Itoa(n)
}

// BatchID is the id of the batch in which the payouts of a distribution or payout
// run are handed to a rail: "GPU1:2026-11:csv".
func BatchID(distribution string, rail Rail) string {
	return distribution + ":" + string(rail)
}

// ImportID is the id of the import of a register whose file and options have the
// given SHA-256: "import-" and its first 8 bytes in hexadecimal.
func ImportID(content [sha256.Size]byte) string {
	return "import-" + hex.EncodeToString(content[:8])
}

// ImportMessageID is the id of message n of an import, from 0.
func ImportMessageID(id string, n int) string {
	return id + "/" + strconv.Itoa(n)
}

// IsOfImport reports whether a message of REGISTER belongs to an import.
func IsOfImport(message, id string) bool {
	return strings.HasPrefix(message, id+"/")
}
