package bench

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/aliquot-engine/aliquot/internal/telemetry"
)

// show is the consumer of a variant's telemetry.
type show struct {
	telemetry *telemetry.Telemetry // nil if there is none
	sink      *http.Server         // nil if there is no collector
	stop      chan struct{}
	looking   sync.WaitGroup
}

// newShow sets up a variant's telemetry and its consumer.
func newShow(ctx context.Context, v Variant, logger *slog.Logger) (*show, error) {
	s := &show{stop: make(chan struct{})}
	config := telemetry.Config{Service: "aliquot-bench", Logger: logger}
	switch v.shown {
	case hidden:
		return s, nil
	case exported:
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		s.sink = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // Everything is answered with 200.
		})}
		s.looking.Go(func() { _ = s.sink.Serve(listener) })
		config.Collector = "http://" + listener.Addr().String()
	}
	var err error
	if s.telemetry, err = telemetry.Start(ctx, config); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.looking.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				s.telemetry.Page().ServeHTTP(unread{}, &http.Request{Method: http.MethodGet})
			case <-s.stop:
				return
			}
		}
	})
	return s, nil
}

// unread is an answer that nobody reads.
type unread struct{}

func (unread) Header() http.Header { return http.Header{} }

func (unread) Write(p []byte) (int, error) { return len(p), nil }

func (unread) WriteHeader(int) {}

// close exports the rest and stops the consumer.
func (s *show) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := s.telemetry.Close(ctx)
	close(s.stop)
	if s.sink != nil {
		err = errors.Join(err, s.sink.Close())
	}
	s.looking.Wait()
	return err
}
