package eventlog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// lockFile is beside the server's own folders. The lock is the kernel's, so it
// ends with the process however it ends; the process id inside is only for the
// error message.
const lockFile = "LOCK"

// InUseError says which process uses a folder. It is [ErrInUse] to errors.Is.
type InUseError struct {
	Dir    string
	PID    string // of the process
	Holder string // how the process describes itself; see [Config]
}

// Error names the folder and the process.
func (e *InUseError) Error() string {
	who := "pid " + e.PID
	if e.Holder != "" {
		who += ", " + e.Holder
	}
	return fmt.Sprintf("locking %s: %v (%s)", e.Dir, ErrInUse, who)
}

// Is makes errors.Is(err, ErrInUse) true.
func (e *InUseError) Is(target error) bool { return target == ErrInUse }

// FreeBytes returns how many bytes an unprivileged process may still use on the
// file system of a folder.
func FreeBytes(dir string) (uint64, error) { return freeBytes(dir) }

// lockDir locks the folder for this process; if another one has it, the error
// names that process.
func lockDir(dir, holder string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("making folder: %w", err)
	}
	path := filepath.Join(dir, lockFile)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("locking folder: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		text, _ := io.ReadAll(io.LimitReader(file, 128)) // only for the error: without it the folder is just as locked
		_ = file.Close()
		pid, other, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
		return nil, &InUseError{Dir: dir, PID: pid, Holder: other}
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	if err := file.Truncate(0); err == nil {
		_, err = file.WriteAt([]byte(strings.TrimSpace(strconv.Itoa(os.Getpid())+" "+holder)+"\n"), 0)
		if err != nil {
			_ = file.Close()
			return nil, fmt.Errorf("locking %s: %w", dir, err)
		}
	}
	return file, nil
}

// freeBytes returns how many bytes an unprivileged process may still use on
// dir's file system.
func freeBytes(dir string) (uint64, error) {
	var status syscall.Statfs_t
	if err := syscall.Statfs(dir, &status); err != nil {
		return 0, fmt.Errorf("reading free space of %s: %w", dir, err)
	}
	return status.Bavail * uint64(status.Bsize), nil
}

// spaceAge is how long a measurement of the free space is used. A disk that
// writes 2 GB/s could take half a GiB in that time, but what is written is
// limited by the window of messages in flight, so the default reserve covers
// that window.
const spaceAge = 250 * time.Millisecond

// space refuses writing when a folder's free space is below a reserve.
type space struct {
	dir     string
	reserve int64

	mu   sync.Mutex // guards what follows
	read time.Time
	err  error
}

// check returns nil while there is more free space than the reserve.
func (s *space) check() error {
	if s.reserve < 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.read.IsZero() && time.Since(s.read) < spaceAge {
		return s.err
	}
	free, err := freeBytes(s.dir)
	switch {
	case err != nil:
		// Unknown does not mean full, but it is not safe to write either.
		s.err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	case free < uint64(s.reserve):
		s.err = fmt.Errorf("%w: %d bytes free under %s, %d reserved", ErrFull, free, s.dir, s.reserve)
	default:
		s.err = nil
	}
	s.read = time.Now()
	return s.err
}
