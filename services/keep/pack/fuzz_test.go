package pack

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tarOf makes a tar file of entries.
func tarOf(t testing.TB, entries ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		h.Mode, h.Size = 0o644, int64(len(h.Name))
		if h.Typeflag != 0 {
			h.Size = 0
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(h.Name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestNothingIsUnpackedElsewhere(t *testing.T) {
	good := tar.Header{Name: "archive/control/000000000001.arc"}
	for _, test := range []struct {
		name string
		data []byte
		ok   bool
	}{
		{"a file of a pack", tarOf(t, good), true},
		{"the folder above", tarOf(t, tar.Header{Name: "archive/../../escaped"}), false},
		{"an absolute path", tarOf(t, tar.Header{Name: "/tmp/escaped"}), false},
		{"a private key", tarOf(t, tar.Header{Name: "keys/log.key"}), false},
		{"a link", tarOf(t, tar.Header{Name: "archive/link", Typeflag: tar.TypeSymlink, Linkname: "/etc"}), false},
		{"a folder", tarOf(t, tar.Header{Name: "archive/", Typeflag: tar.TypeDir}), false},
		{"a file that may have holes", tarOf(t, tar.Header{Name: "archive/control/000000000001.arc", PAXRecords: map[string]string{"ALIQUOT.holes": "1"}}), false},
		{"a file twice", tarOf(t, good, good), false},
		{"a long name", tarOf(t, tar.Header{Name: "tlog/" + strings.Repeat("a", 300)}), false},
		{"an end that is cut off", tarOf(t, good)[:530], false},
		{"nothing", nil, false},
		{"no tar file", []byte(strings.Repeat("not a tar file ", 100)), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			above := t.TempDir()
			dir := filepath.Join(above, "below")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := Unpack(bytes.NewReader(test.data), dir); (err == nil) != test.ok {
				t.Errorf("%v", err)
			}
			if entries, err := os.ReadDir(above); err != nil || len(entries) != 1 {
				t.Errorf("%v %v", entries, err)
			}
		})
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(tarOf(f, tar.Header{Name: "archive/control/000000000001.arc"}, tar.Header{Name: "pack.json"}))
	f.Add(tarOf(f, tar.Header{Name: "tlog/a/b/c"}, tar.Header{Name: "tlog/a/b"}))
	f.Add(tarOf(f, tar.Header{Name: "archive/../x"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		above := t.TempDir()
		dir := filepath.Join(above, "below")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		_ = Unpack(bytes.NewReader(data), dir)
		err := filepath.WalkDir(above, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				rel, _ := filepath.Rel(dir, path)
				if !entry.Type().IsRegular() || !ours(filepath.ToSlash(rel)) {
					t.Errorf("%s was unpacked", path)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(`{"format":1,"made":"2026-11-20T12:00:00Z","key":"k","streams":[{"stream":"CONTROL","last":7,"root":"r"}],"state":{"state_root":"00","parts":[]}}`))
	f.Add([]byte(`{"format":2}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseManifest(data)
		if err == nil && (m.Format != 1 || len(m.Streams) > 0 && !known(m.Streams[0].Stream)) {
			t.Errorf("%+v", m)
		}
	})
}

// Fails when a decoder that accepts a member twice reads the manifest.
func TestAManifestHasOneReading(t *testing.T) {
	for text, want := range map[string]string{
		`{"format":1,"key":"theirs","key":"ours"}`:                        `"key" occurs twice`,
		`{"format":1,"KEY":"ours"}`:                                       `it is written "key"`,
		`{"format":1,"streams":[{"stream":"CONTROL","last":7,"Last":3}]}`: `it is written "last"`,
		`{"format":1,"state":{"state_root":"00","state_root":"11"}}`:      `"state.state_root" occurs twice`,
		`{"format":1,"note":"x"}`:                                         `unknown field "note"`,
		`{"format":1} {"format":1}`:                                       "bytes after the JSON value",
		`{"format":2,"format":1}`:                                         `"format" occurs twice`,
	} {
		if _, err := ParseManifest([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want %s, got %v", text, want, err)
		}
	}
}
