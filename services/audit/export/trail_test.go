package export_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/audit/audittest"
	"github.com/aliquot-engine/aliquot/services/audit/export"
)

// Every original of every stream is in the trail byte for byte. The leaves in the
// file contain the hashes of these bytes, and their root is the one that was
// signed. Fails when a record is left out, truncated or altered.
func TestTheTrailRecreatesEveryOriginal(t *testing.T) {
	k := keep(t, world(t))
	list := k.rows(t, "trail", export.Options{})
	streams := []*eventlog.Stream{k.Usage, k.Control, k.Register, k.Ledger, k.Payout}
	for _, stream := range streams {
		last, err := stream.Last(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
		tree := factory.NewEmptyRange(0)
		root, size := "", uint64(0)
		for position := uint64(1); position <= last; position++ {
			if len(list) == 0 {
				t.Fatalf("%s position %d is not in the trail", stream.Name(), position)
			}
			r := list[0]
			list = list[1:]
			original, err := stream.Get(t.Context(), position)
			if err != nil {
				t.Fatal(err)
			}
			data, errData := base64.StdEncoding.DecodeString(r["data"])
			leaf, errLeaf := base64.StdEncoding.DecodeString(r["leaf"])
			sum := sha256.Sum256(data)
			switch {
			case r["stream"] != stream.Name() || numberOf(t, r["position"]) != position || numberOf(t, r["leaf_index"]) != position-1:
				t.Fatalf("%s position %d: the trail has %s %s", stream.Name(), position, r["stream"], r["position"])
			case errors.Join(errData, errLeaf) != nil || !bytes.Equal(data, original.Data) || r["subject"] != original.Subject:
				t.Fatalf("%s position %d is not recreated", stream.Name(), position)
			case hex.EncodeToString(sum[:]) != r["sha256"] || !bytes.Contains(leaf, sum[:]):
				t.Fatalf("%s position %d: the hash and the leaf are not of its bytes", stream.Name(), position)
			case r["kind"] == "unreadable" || r["actor"] == "":
				t.Errorf("%s position %d: kind %q by %q", stream.Name(), position, r["kind"], r["actor"])
			}
			if err := tree.Append(rfc6962.DefaultHasher.HashLeaf(leaf), nil); err != nil {
				t.Fatal(err)
			}
			root, size = r["root_hash"], numberOf(t, r["tree_size"])
			if r["log_origin"] != k.key.Origin(strings.ToLower(stream.Name())) {
				t.Errorf("%s position %d is of log %q", stream.Name(), position, r["log_origin"])
			}
		}
		computed, err := tree.GetRootHash(nil)
		if err != nil {
			t.Fatal(err)
		}
		if tlog.Hash(computed).String() != root || size != last {
			t.Errorf("%s: the leaves have the root %s, the trail says %s of %d", stream.Name(), tlog.Hash(computed), root, size)
		}
	}
	if len(list) != 0 {
		t.Errorf("%d rows of no stream", len(list))
	}
}

// changed is a log in which one leaf is changed.
type changed struct {
	export.Log
	index uint64
	by    func([]byte) []byte
}

func (c changed) Leaf(i uint64) ([]byte, error) {
	leaf, err := c.Log.Leaf(i)
	if i == c.index && err == nil {
		leaf = c.by(bytes.Clone(leaf))
	}
	return leaf, err
}

// Everything that a report reads is compared with what the log has signed. Fails
// when a message is read without this comparison.
func TestAnAlteredRecordEndsEveryReportThatReadsIt(t *testing.T) {
	k := keep(t, audittest.Story(t))
	for stream, reports := range map[string][]string{
		"control":   {"decisions", "duties", "focus", "payouts", "accounted", "trail"},
		"ledger":    {"journal", "trial-balance", "focus", "trail", "reconciliation"},
		"payout":    {"journal", "trial-balance", "payouts", "reconciliation", "trail"},
		"register":  {"holders", "duties", "decisions", "trail"},
		"usage-0-0": {"accounted", "exceptions", "gaps", "trail"},
	} {
		from := k.sources()
		from.Log = func(name string) (export.Log, error) {
			log, err := k.log(name)
			if err == nil && name == stream {
				log = changed{log, 1, func(leaf []byte) []byte { leaf[len(leaf)-1-len(leaf)/3] ^= 1; return leaf }}
			}
			return log, err
		}
		for _, name := range reports {
			made, err := export.Prepare(t.Context(), from, name, export.CSV, export.Options{})
			if err == nil {
				err = made.Write(new(bytes.Buffer))
			}
			if want := strings.ToUpper(stream) + " position 2: "; err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s of %s: %v, want %s", name, stream, err, want)
			}
		}
	}
}

// Without logs the reports are the same, except for the columns that name the
// logs.
func TestWithoutLogsTheColumnsAreNull(t *testing.T) {
	k := keep(t, audittest.Story(t))
	bare := k.sources()
	bare.Log = nil
	for _, name := range []string{"journal", "accounted", "exceptions", "holders", "trail"} {
		with, without := k.rows(t, name, export.Options{}), rowsOf(t, file(t, bare, name, export.CSV, export.Options{}))
		if len(with) != len(without) {
			t.Fatalf("%s: %d rows with logs, %d without", name, len(with), len(without))
		}
		for i, r := range without {
			for column, value := range r {
				switch column {
				case "leaf_index", "log_origin", "tree_size", "root_hash", "leaf":
					if value != "" {
						t.Fatalf("%s row %d: %s is %q", name, i, column, value)
					}
				default:
					if value != with[i][column] {
						t.Fatalf("%s row %d: %s is %q, with logs %q", name, i, column, value, with[i][column])
					}
				}
			}
		}
	}
}
