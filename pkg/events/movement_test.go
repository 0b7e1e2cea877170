package events

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/published"
	"github.com/aliquot-engine/aliquot/pkg/events/internal/golden"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

func units(s string) money.Units {
	u, err := money.ParseUnits(s)
	if err != nil {
		panic(err)
	}
	return u
}

const wallet Holder = "0xdcbeffbecce100cce9e4b153c4e15cb885643193"

// everyMovement has one message with every kind, and every optional field.
func everyMovement() Movements {
	return Movements{
		ID: "import-1", Token: "GPU1", Actor: "operator:alice", Approver: "operator:bob", At: noon,
		Movements: []Movement{
			{Kind: Issued, To: wallet, Units: units("400278149000000000000"), Effective: noon},
			{ID: "t-1", Kind: Transferred, From: wallet, To: "alice", Units: units("1"), Effective: noon.Add(-time.Hour), Ref: "block 17173049, log 3"},
			{Kind: Burned, From: "alice", Units: units("340282366920938463463374607431768211455"), Effective: noon},
			{Kind: Frozen, From: "alice", Effective: noon, Ref: "order 7"},
			{Kind: Unfrozen, From: "alice", Units: units("18446744073709551616"), Effective: noon},
			{Kind: ForcedTransfer, From: "alice", To: wallet, Units: units("127"), Effective: noon},
			{Kind: Recovered, From: wallet, To: "0x0000000000000000000000000000000000000001", Effective: time.Unix(0, 0).UTC()},
		},
	}
}

func TestMovementsKeepTheirBytesForever(t *testing.T) {
	m := everyMovement()
	data, err := AppendMovements([]byte("before"), &m)
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.TrimPrefix(data, []byte("before"))
	golden.Compare(t, "movements-v1.hex", fmt.Appendf(nil, "%x\n", data))
	back, err := DecodeMovements(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, m) {
		t.Errorf("decoded\n%+v, encoded\n%+v", back, m)
	}
	for n := range data {
		if _, err := DecodeMovements(data[:n]); err == nil {
			t.Errorf("decoded the first %d bytes of %d", n, len(data))
		}
	}
	if _, err := DecodeMovements(append(data, 0)); err == nil {
		t.Error("decoded a byte too many")
	}
	if m.MovementID(0) != "import-1/0" || m.MovementID(1) != "t-1" {
		t.Error("ids of movements")
	}
}

func TestMovementsThatMeanNothingAreRefused(t *testing.T) {
	for _, c := range []struct {
		why    string
		change func(*Movements)
		want   string
	}{
		{"no movement", func(m *Movements) { m.Movements = nil }, "movements: is empty"},
		{"an unknown kind", func(m *Movements) { m.Movements[0].Kind = 8 }, "movements[0].kind"},
		{"no kind", func(m *Movements) { m.Movements[0].Kind = 0 }, "movements[0].kind"},
		{"an issue from somebody", func(m *Movements) { m.Movements[0].From = "x" }, "movements[0].from"},
		{"an issue to nobody", func(m *Movements) { m.Movements[0].To = "" }, "movements[0].to"},
		{"an issue of nothing", func(m *Movements) { m.Movements[0].Units = money.Units{} }, "movements[0].units"},
		{"a transfer to oneself", func(m *Movements) { m.Movements[1].To = wallet }, "movements[1].to"},
		{"a wallet in capitals", func(m *Movements) { m.Movements[1].To = "0xDCBEFFBECCE100CCE9E4B153C4E15CB885643193" }, "normal form"},
		{"a recovery of some units", func(m *Movements) { m.Movements[6].Units = units("1") }, "movements[6].units"},
		{"a time before 1970", func(m *Movements) { m.Movements[0].Effective = time.Unix(-1, 0) }, "movements[0].effective"},
		{"no token", func(m *Movements) { m.Token = "" }, "token"},
		{"a ref of two lines", func(m *Movements) { m.Movements[0].Ref = "a\nb" }, "movements[0].ref"},
	} {
		m := everyMovement()
		c.change(&m)
		if _, err := AppendMovements(nil, &m); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.why, err, c.want)
		}
	}
	var many Movements
	many.Movements = make([]Movement, 1_000)
	var problems Problems
	if !errors.As(many.Validate(), &problems) || len(problems) > 40 {
		t.Errorf("%d problems are named", len(problems))
	}
}

func TestALargeMessageOfMovementsIsRefused(t *testing.T) {
	m := Movements{ID: "i", Token: "T", Actor: "a", At: noon}
	for i := range 20_000 {
		m.Movements = append(m.Movements, Movement{Kind: Issued, To: Holder(fmt.Sprintf("holder-%020d", i)), Units: units("1"), Effective: noon})
	}
	if _, err := AppendMovements(nil, &m); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("got %v", err)
	}
	// Fails when SplitMovements drops the movement at which a message is full.
	for _, limit := range []int{200, 5_000, MaxMovements} {
		var back []Movement
		for i, part := range SplitMovements(m, limit) {
			data, err := AppendMovements(nil, &part)
			if err != nil {
				t.Fatal(err)
			}
			if len(data) > limit {
				t.Fatalf("limit %d: message %d has %d bytes", limit, i, len(data))
			}
			if part.ID != fmt.Sprintf("i/%d", i) {
				t.Fatalf("message %d has the id %q", i, part.ID)
			}
			back = append(back, part.Movements...)
		}
		if !reflect.DeepEqual(back, m.Movements) {
			t.Errorf("limit %d: %d movements of %d", limit, len(back), len(m.Movements))
		}
	}
	small := everyMovement()
	if parts := SplitMovements(small, MaxMovements); !reflect.DeepEqual(parts, []Movements{small}) {
		t.Errorf("a message that fits was changed: %+v", parts)
	}
}

func TestTheUNIListIsImportedInSmallMessages(t *testing.T) {
	file, err := os.Open(published.Path(t, "5-holders/uniswap-uni-claims-252803.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	m := Movements{ID: "import", Token: "UNI", Actor: "operator:alice", At: noon}
	rows := csv.NewReader(file)
	for line := 1; ; line++ {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if line > 1 && !IsZeroAddress(row[1]) {
			m.Movements = append(m.Movements, Movement{Kind: Issued, To: CanonicalHolder(row[1]), Units: units(row[2]), Effective: noon})
		}
	}
	if len(m.Movements) != 252_802 { // without the zero address, which the list gives 400 UNI

		t.Fatalf("%d holders", len(m.Movements))
	}
	var supply money.Units
	holders, size := 0, 0
	parts := SplitMovements(m, MaxMovements)
	for i := range parts {
		data, err := AppendMovements(nil, &parts[i])
		if err != nil {
			t.Fatal(err)
		}
		size += len(data)
		back, err := DecodeMovements(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range back.Movements {
			holders++
			if supply, err = supply.Add(one.Units); err != nil {
				t.Fatal(err)
			}
		}
	}
	if holders != 252_802 || supply.String() != "149999599975656000000000000" {
		t.Errorf("%d holders of %s units", holders, supply)
	}
	t.Logf("%d messages, %d bytes, %d a holder", len(parts), size, size/holders)
}

func FuzzDecodeMovements(f *testing.F) {
	m := everyMovement()
	data, err := AppendMovements(nil, &m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := DecodeMovements(data)
		if err != nil {
			return
		}
		again, err := AppendMovements(nil, &m)
		if len(data) > MaxMovements {
			return
		}
		if err != nil {
			t.Fatalf("decoded what cannot be encoded: %v", err)
		}
		if !bytes.Equal(again, data) {
			t.Fatalf("one message has two encodings:\n%x\n%x", data, again)
		}
	})
}
