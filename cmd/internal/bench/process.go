package bench

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// cpu is the CPU time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident is the memory that this process uses, in bytes; 0 if the system does
// not say.
func resident() int64 {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(data), &size, &pages); err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// Disk is the size of a folder's contents, in bytes.
type Disk struct {
	Usage  int64 `json:"usage"`  // the stream of usage
	Ledger int64 `json:"ledger"` // the stream of journal entries
	Other  int64 `json:"other"`  // other streams
	SQL    int64 `json:"sql"`    // the database with its write-ahead log
	IDs    int64 `json:"ids"`    // the index of events without sequence
	Kept   int64 `json:"kept"`   // the second copy and the verifiable logs
}

// Sum is the sum of all parts.
func (d Disk) Sum() int64 { return d.Usage + d.Ledger + d.Other + d.SQL + d.IDs + d.Kept }

func (d Disk) less(e Disk) Disk {
	return Disk{d.Usage - e.Usage, d.Ledger - e.Ledger, d.Other - e.Other, d.SQL - e.SQL, d.IDs - e.IDs, d.Kept - e.Kept}
}

func diskOf(dir string) (d Disk, err error) {
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return ignoreGone(err)
		}
		info, err := entry.Info()
		if err != nil {
			return ignoreGone(err)
		}
		name, _ := filepath.Rel(dir, path)
		switch {
		case strings.HasPrefix(name, "archive"), strings.HasPrefix(name, "tlog"):
			d.Kept += info.Size()
		case strings.Contains(name, "USAGE-"):
			d.Usage += info.Size()
		case strings.Contains(name, string(filepath.Separator)+"LEDGER"+string(filepath.Separator)):
			d.Ledger += info.Size()
		case strings.HasPrefix(name, "streams"):
			d.Other += info.Size()
		case strings.HasPrefix(name, "ledger.db"):
			d.SQL += info.Size()
		case strings.HasPrefix(name, "ids"):
			d.IDs += info.Size()
		}
		return nil
	})
	return d, err
}

// ignoreGone ignores files that were removed while the folder was read.
func ignoreGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// Machine describes the machine on which the figures were measured.
type Machine struct {
	CPU   string `json:"cpu"`
	Cores int    `json:"cores"` // number that this process may use
	OS    string `json:"os"`
	Go    string `json:"go"`
}

func (m Machine) String() string {
	return fmt.Sprintf("%s, %d cores, %s, %s", m.CPU, m.Cores, m.OS, m.Go)
}

// ThisMachine describes where the process runs.
func ThisMachine() Machine {
	m := Machine{CPU: runtime.GOARCH, Cores: runtime.GOMAXPROCS(0), OS: runtime.GOOS, Go: runtime.Version()}
	if name := field("/proc/cpuinfo", "model name", ":"); name != "" {
		m.CPU = name
	}
	if name := field("/etc/os-release", "PRETTY_NAME", "="); name != "" {
		m.OS = name
	}
	return m
}

// field returns the first value with that name in a file of names and values.
func field(file, name, separator string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		key, value, found := strings.Cut(lines.Text(), separator)
		if found && strings.TrimSpace(key) == name {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}
