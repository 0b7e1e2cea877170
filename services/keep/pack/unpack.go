package pack

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

const (
	// maxFiles limits how many files a tar file can make its reader create: a
	// thousand million messages of usage have five million files.
	maxFiles = 20_000_000
	// maxSize is the largest file of a pack: an archive of 1,000 messages.
	maxSize = 8 << 30
	// maxName is the longest path of a file in a pack.
	maxName = 100
)

// Unpack writes the files of a tar file that [Write] made below an existing
// folder. Anything else in it is an error: links, devices, paths that lead
// elsewhere, a file that occurs twice, a truncated end.
func Unpack(in io.Reader, dir string) error {
	to := folder{dir: dir}
	r := tar.NewReader(bufio.NewReaderSize(in, 1<<20))
	for n := 0; ; n++ {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			if n == 0 {
				return errors.New("unpacking archives: the file is empty")
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("unpacking archives: after %d files: %w", n, err)
		}
		if n == maxFiles {
			return fmt.Errorf("unpacking archives: more than %d files", maxFiles)
		}
		// Records of the extended format could declare holes, so that a few bytes
		// would fill the disk. Write needs no such records.
		if h.Typeflag != tar.TypeReg || len(h.PAXRecords) > 0 || h.Size > maxSize || !ours(h.Name) {
			return fmt.Errorf("unpacking archives: %.80q is not a file of a pack", h.Name)
		}
		if err := to.add(h.Name, h.Size, r); err != nil {
			return fmt.Errorf("unpacking archives: %s: %w", h.Name, err)
		}
	}
}

// ours reports whether a pack may have a file with this path.
func ours(name string) bool {
	if len(name) > maxName || !filepath.IsLocal(name) || strings.ContainsAny(name, "\\\x00") || filepath.ToSlash(filepath.Clean(name)) != name {
		return false
	}
	return name == manifestName || name == keyName || name == handoversName || strings.HasPrefix(name, "archive/") || strings.HasPrefix(name, "tlog/")
}

// Folder returns the folder of a pack. A tar file is first unpacked into the
// folder scratch, which must exist and which the caller removes.
func Folder(name, scratch string) (dir string, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return "", fmt.Errorf("opening archives: %w", err)
	}
	if info.IsDir() {
		return name, nil
	}
	in, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("opening archives: %w", err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	return scratch, Unpack(in, scratch)
}
