package host

import (
	"slices"
	"strings"
	"testing"
)

func TestPartitionsAreNumbersAndRanges(t *testing.T) {
	for text, want := range map[string][]int{
		"0":         {0},
		"0-3":       {0, 1, 2, 3},
		"0,2":       {0, 2},
		"5-7, 1,6":  {1, 5, 6, 7},
		"4095-4095": {4095},
	} {
		if got, err := ParsePartitions(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
	for text, says := range map[string]string{
		"": "neither a number nor a range", "a": "neither", "-1": "neither", "3-1": "neither", "1-": "neither", "0,": "neither",
		"4096": "above 4095", "0-70000": "neither",
	} {
		if got, err := ParsePartitions(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
}

func TestEveryProblemOfAConfigurationIsSaidAtOnce(t *testing.T) {
	settle := Shared{Role: Settle, NATSURL: "tls://n0:4222", Replicas: 3, Partitions: "0-3"}
	good := Config{DatabaseURL: "postgres://db/aliquot", Listen: "127.0.0.1:0", Dir: "data", Shared: &settle}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	distribute, role := good, settle
	role.Role, role.Partitions = Distribute, ""
	distribute.Shared, distribute.Dir = &role, ""
	if err := distribute.Validate(); err != nil {
		t.Errorf("distribution has no partitions and no folder: %v", err)
	}
	bad := Config{DatabaseURL: "mysql://x", Listen: "here", Shared: &Shared{Role: "all", Replicas: 2, Partitions: "x"}}
	bad.Shared.NATS.CertFile = "client.pem"
	err := bad.Validate()
	if err == nil {
		t.Fatal("it is good")
	}
	for _, want := range []string{"role", "NATS_URL", "NATS_CERT_FILE", "DATABASE_URL", "ALIQUOT_REPLICAS", "ALIQUOT_PARTITIONS", "ALIQUOT_LISTEN"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named in:\n%v", want, err)
		}
	}
}

func TestADatabaseIsKnownByItsURL(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://h/d": kindPostgres, "postgresql://h/d": kindPostgres, "sqlite:/data/ledger.db": kindSQLite, "sqlite:": "", "ledger.db": "", "": "",
	} {
		if kind, _, _ := kindOf(url); kind != want {
			t.Errorf("%q is %q, want %q", url, kind, want)
		}
	}
}

func TestKeepNeedsPartitionsAndAFolder(t *testing.T) {
	keep := Config{
		DatabaseURL: "postgres://db/aliquot", Listen: "127.0.0.1:0", Dir: "kept",
		Shared: &Shared{Role: Keep, NATSURL: "tls://n0:4222", Replicas: 3, Partitions: "0-3"},
	}
	if err := keep.Validate(); err != nil {
		t.Fatal(err)
	}
	keep.Dir, keep.Shared.Partitions = "", ""
	err := keep.Validate()
	if err == nil || !strings.Contains(err.Error(), "ALIQUOT_DIR") || !strings.Contains(err.Error(), "ALIQUOT_PARTITIONS") {
		t.Errorf("without a folder and partitions: %v", err)
	}
}
