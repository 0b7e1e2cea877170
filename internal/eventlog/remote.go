package eventlog

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aliquot-engine/aliquot/internal/retry"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Credentials are the files with which a cluster and this process authenticate
// each other. Each may be empty.
type Credentials struct {
	// CAFile has the authorities that sign the servers' certificates, as PEM.
	// If it is empty and the URL says tls, the system's authorities are used.
	CAFile string
	// CertFile and KeyFile are this process's own certificate and its key, as
	// PEM, for servers that ask for one; give both or neither.
	CertFile, KeyFile string
	// NKeyFile has the seed of a user nkey. It is read at each connection.
	NKeyFile string
}

const (
	// probeTimeout bounds the connection to each server during the probe.
	probeTimeout = 5 * time.Second
	// startPatience is how long the start waits for a cluster that answers but
	// has no leader, because an election takes seconds. It does not wait for a
	// server that does not answer at all.
	startPatience = 30 * time.Second
	startPause    = 250 * time.Millisecond

	// installationKey names the metadata of each stream that says which
	// installation of aliquot made it.
	installationKey = "aliquot-installation"
)

// options reads the files, so that an error names the faulty file instead of
// reporting a failed handshake.
func (c Credentials) options() ([]nats.Option, error) {
	options := []nats.Option{nats.PingInterval(5 * time.Second), nats.MaxPingsOutstanding(2)}
	if c.CAFile != "" {
		if err := readCertificates(c.CAFile); err != nil {
			return nil, err
		}
		options = append(options, nats.RootCAs(c.CAFile))
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return nil, errors.New("a certificate and its key go together: give both files or neither")
	}
	if c.CertFile != "" {
		if err := readCertificates(c.CertFile); err != nil {
			return nil, err
		}
		if _, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile); err != nil {
			return nil, fmt.Errorf("reading the certificate %s and its key: %w", c.CertFile, err)
		}
		options = append(options, nats.ClientCert(c.CertFile, c.KeyFile))
	}
	if c.NKeyFile != "" {
		option, err := nats.NkeyOptionFromSeed(c.NKeyFile)
		if err != nil {
			return nil, fmt.Errorf("reading the nkey %s: %w", c.NKeyFile, err)
		}
		options = append(options, option)
	}
	return options, nil
}

// readCertificates reads a file of certificates and refuses an expired one.
func readCertificates(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading certificates: %w", err)
	}
	found := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("reading the certificates of %s: %w", file, err)
		}
		if now := time.Now(); now.After(certificate.NotAfter) {
			return fmt.Errorf("reading the certificates of %s: %q has expired on %s", file, certificate.Subject.CommonName, certificate.NotAfter.UTC().Format(time.RFC3339))
		}
		found++
	}
	if found == 0 {
		return fmt.Errorf("reading the certificates of %s: there is none", file)
	}
	return nil
}

// probed is what one server of the URL said about itself.
type probed struct {
	address, cluster string
	control          time.Time // when its CONTROL was created; zero if that is not known
}

// probe asks every server of the URL, because one that refuses this process, or
// that belongs to another cluster, would cause failures at a later
// reconnection. It ignores servers that cannot be reached if at least one can
// be.
func (l *Log) probe(ctx context.Context, options []nats.Option) error {
	var first *probed
	var silent error
	for address := range strings.SplitSeq(l.config.URL, ",") {
		address = strings.TrimSpace(address)
		have, err := probeOne(ctx, address, options)
		switch {
		case err != nil && unreachable(err):
			silent = fmt.Errorf("%s: %w", redact(address), err)
			continue
		case err != nil:
			return fmt.Errorf("connecting to %s: %w", redact(address), admission(err))
		case first == nil:
			first = &have
		case have.cluster != first.cluster:
			return fmt.Errorf("%w: %s is of cluster %q, %s of cluster %q", ErrForeign, redact(first.address), first.cluster, redact(have.address), have.cluster)
		case !have.control.IsZero() && !first.control.IsZero() && !have.control.Equal(first.control):
			return fmt.Errorf("%w: %s and %s each have their own stream %s, so they belong to two clusters", ErrForeign, redact(first.address), redact(have.address), ControlStream)
		}
	}
	if first == nil {
		return fmt.Errorf("connecting: %w: no server answers: %w", ErrUnavailable, silent)
	}
	l.cluster = first.cluster
	return nil
}

func probeOne(ctx context.Context, address string, options []nats.Option) (probed, error) {
	conn, err := nats.Connect(address, append(options, nats.NoReconnect(), nats.Timeout(probeTimeout), nats.IgnoreDiscoveredServers())...)
	if err != nil {
		return probed{}, err
	}
	defer conn.Close()
	have := probed{address: address, cluster: conn.ConnectedClusterName()}
	js, err := jetstream.New(conn)
	if err != nil {
		return probed{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if stream, err := js.Stream(ctx, ControlStream); err == nil {
		have.control = stream.CachedInfo().Created
	}
	return have, nil
}

// unreachable reports whether a server could not be reached, as opposed to one
// that refuses.
func unreachable(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

// admission explains why a server and this process do not accept each other.
func admission(err error) error {
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("the server's certificate has expired: %w", err)
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrNkeysNotSupported), errors.Is(err, nats.ErrAuthExpired):
		return fmt.Errorf("the server does not admit this nkey: %w", err)
	}
	return err
}

// redact removes the password from a URL.
func redact(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Redacted()
	}
	return address
}

// sameCluster is called at each reconnection, so that nothing is ever written
// to another cluster's server at the same address.
func (l *Log) sameCluster(conn *nats.Conn) {
	if l.cluster == "" || conn.ConnectedClusterName() == l.cluster {
		return
	}
	l.logger.Error("event log: connected to another cluster, disconnecting", "cluster", conn.ConnectedClusterName(), "want", l.cluster)
	if err := conn.ForceReconnect(); err != nil {
		l.logger.Error("event log: disconnecting from another cluster", "error", err)
	}
}

// patiently repeats a question that the cluster does not answer, for as long as
// an election may take. For an embedded server nothing is repeated.
func (l *Log) patiently(ctx context.Context, ask func(context.Context) error) error {
	return retry.Policy{
		Pause:  startPause,
		Again:  func(err error) bool { return l.config.URL != "" && Unavailable(interrupted(err)) },
		Enough: func(_ int, since time.Duration) bool { return since > startPatience },
	}.Do(ctx, func() error { return ask(ctx) })
}

// belongs checks and remembers to which installation a stream belongs.
func (l *Log) belongs(name string, metadata map[string]string) error {
	of := metadata[installationKey]
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case of == "" && l.config.URL == "":
		return nil // a stream in a folder, made before installations had names
	case of == "":
		return fmt.Errorf("opening stream %s: %w: aliquot did not make it", name, ErrForeign)
	case l.installation == "":
		l.installation = of
	case l.installation != of:
		return fmt.Errorf("opening stream %s: %w: it belongs to installation %s, the other streams to %s", name, ErrForeign, of, l.installation)
	}
	return nil
}

// named returns the installation's name for a stream that is about to be
// created: the name in the existing streams, or a new one. So a restored stream
// gets the name of those that were not lost.
func (l *Log) named(ctx context.Context) (string, error) {
	if id := l.Installation(); id != "" {
		return id, nil
	}
	all := l.reader.ListStreams(ctx)
	id := ""
	for info := range all.Info() {
		if of := info.Config.Metadata[installationKey]; id == "" {
			id = of
		}
	}
	if err := all.Err(); err != nil {
		return "", fmt.Errorf("finding out to which installation the streams belong: %w", err)
	}
	if id == "" {
		id = rand.Text()
	}
	return id, nil
}

// Installation returns the name of the installation to which the streams
// belong, once one was opened. It is empty for a folder that was made before
// installations had names.
func (l *Log) Installation() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.installation
}
