package host

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
)

// others is the set of permissions of everybody except the owner.
const others = 0o077

var errOpenFolder = errors.New("users other than its owner may read it, and it has files that aliquot did not make: use another folder, or remove their permissions (chmod 700)")

// openFolder makes the folder, or removes the permissions of everybody except
// its owner: the folder has the records of everybody's money, and the token
// that decides about it. A folder with other files in it is refused and not
// changed, because others may need to read these files.
func openFolder(dir string, logger *slog.Logger) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&others == 0 {
		return nil
	}
	ours, err := isOurs(dir)
	if err != nil {
		return err
	}
	if !ours {
		return fmt.Errorf("%s: %w", dir, errOpenFolder)
	}
	if err := os.Chmod(dir, info.Mode().Perm()&^others); err != nil {
		return fmt.Errorf("users other than its owner may read it: %w", err)
	}
	logger.Warn("other users could read the folder: their permissions were removed", "folder", dir)
	return nil
}

// isOurs reports whether a folder is empty or has something that aliquot made.
func isOurs(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() == "lost+found" }) // in the root of a volume
	if len(entries) == 0 {
		return true, nil
	}
	for _, name := range [...]string{"streams", "ledger.db", "archive", "tlog", "keys", "ids", tokenFile, addressFile} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return err == nil, err
		}
	}
	return false, nil
}
