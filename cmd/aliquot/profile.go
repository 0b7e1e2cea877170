package main

import (
	"errors"
	"os"
	"runtime/pprof"
)

// profiled runs f and writes a CPU profile of it to a file; if the name is
// empty it writes none.
func profiled(file string, f func() error) error {
	if file == "" {
		return f()
	}
	to, err := os.Create(file) //nolint:gosec // the caller chose the file
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(to); err != nil {
		return errors.Join(err, to.Close())
	}
	err = f()
	pprof.StopCPUProfile()
	return errors.Join(err, to.Close())
}
