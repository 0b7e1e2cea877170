package keeper

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
)

// Hold locks the folder of a keeper whose streams are elsewhere for this process,
// until the file is closed. If another process has it, the error names that
// process. The kernel holds the lock and releases it when the process ends; the
// content of the file is only used for the error.
func Hold(dir, who string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the folder: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the folder: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder, _ := io.ReadAll(io.LimitReader(file, 1<<10)) // only for the error: the lock does not depend on it
		err = fmt.Errorf("%w: %s", eventlog.ErrInUse, strings.TrimSpace(string(holder)))
	}
	if err == nil {
		if err = file.Truncate(0); err == nil {
			_, err = file.WriteAt([]byte(who+"\n"), 0)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", dir, err), file.Close())
	}
	return file, nil
}
