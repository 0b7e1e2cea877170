package eventlog

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// cpu is the processor time this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func benchStream(b *testing.B, config Config) *Stream {
	b.Helper()
	config.Dir, config.Logger = b.TempDir(), quiet
	l, err := Open(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	s, err := l.Usage(b.Context(), 0, 1)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// noise is what a packed batch looks like to a disk: it does not compress.
func noise(size int) []byte {
	random := rand.NewChaCha8([32]byte{1})
	data := make([]byte, size)
	_, _ = random.Read(data)
	return data
}

func report(b *testing.B, start time.Duration) {
	b.Helper()
	b.ReportMetric(float64((cpu(b)-start).Microseconds())/float64(b.N), "cpu-us/op")
}

// BenchmarkPublish measures one packed message of 1,000 and of 10,000 events,
// with a number of them in flight.
func BenchmarkPublish(b *testing.B) {
	for _, lazy := range []bool{false, true} {
		for _, size := range []int{52_000, 520_000} {
			for _, window := range []int{1, 4, 16, 64} {
				name := fmt.Sprintf("sync=%t/bytes=%d/window=%d", !lazy, size, window)
				b.Run(name, func(b *testing.B) {
					s := benchStream(b, Config{LazySync: lazy})
					data := noise(size)
					futures := make(chan *Future, window-1)
					finished := make(chan error, 1)
					b.SetBytes(int64(size))
					b.ResetTimer()
					start := cpu(b)
					go func() {
						var first error
						for future := range futures {
							if _, err := future.Wait(b.Context()); err != nil && first == nil {
								first = err
							}
						}
						finished <- first
					}()
					for range b.N {
						future, err := s.PublishAsync(b.Context(), UsageSubject(0), data, PublishOptions{})
						if err != nil {
							b.Fatal(err)
						}
						if window == 1 {
							if _, err := future.Wait(b.Context()); err != nil {
								b.Fatal(err)
							}
							continue
						}
						futures <- future
					}
					close(futures)
					if err := <-finished; err != nil {
						b.Fatal(err)
					}
					report(b, start)
				})
			}
		}
	}
}

// BenchmarkRead measures reading what is stored.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{52_000, 520_000} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			s := benchStream(b, Config{LazySync: true})
			data := noise(size)
			var last *Future
			for range b.N {
				future, err := s.PublishAsync(b.Context(), UsageSubject(0), data, PublishOptions{})
				if err != nil {
					b.Fatal(err)
				}
				last = future
			}
			if _, err := last.Wait(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			b.ResetTimer()
			start := cpu(b)
			r, err := s.Read(b.Context(), 1, "")
			if err != nil {
				b.Fatal(err)
			}
			defer r.Stop()
			for range b.N {
				if _, err := r.Next(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			report(b, start)
		})
	}
}

// BenchmarkPublishAndRead measures both at once, as a running engine does.
func BenchmarkPublishAndRead(b *testing.B) {
	for _, size := range []int{52_000, 520_000} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			s := benchStream(b, Config{})
			data := noise(size)
			r, err := s.Read(b.Context(), 1, "")
			if err != nil {
				b.Fatal(err)
			}
			defer r.Stop()
			b.SetBytes(int64(size))
			b.ResetTimer()
			start := cpu(b)
			sent := make(chan error, 1)
			go func() {
				for range b.N {
					if _, err := s.PublishAsync(b.Context(), UsageSubject(0), data, PublishOptions{}); err != nil {
						sent <- err
						return
					}
				}
				sent <- nil
			}()
			for range b.N {
				if _, err := r.Next(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			if err := <-sent; err != nil {
				b.Fatal(err)
			}
			report(b, start)
		})
	}
}
