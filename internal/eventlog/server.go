package eventlog

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// inProcessUser is the user name of this process's own connections if clients
// must authenticate; the password is random and never leaves the process.
const inProcessUser = "aliquot"

// Grant is what a NATS client may do: subjects with wildcards to publish to
// and to subscribe to. Nothing else is allowed, and an empty list allows
// nothing.
type Grant struct {
	// Name appears in the server's log.
	Name      string
	Publish   []string
	Subscribe []string
}

// startServer locks the folder, starts the server in it and returns the options
// for connecting to it.
func (l *Log) startServer(ctx context.Context) ([]nats.Option, error) {
	// An absolute path stays valid if the working directory changes later.
	dir, err := filepath.Abs(l.config.Dir)
	if err != nil {
		return nil, fmt.Errorf("resolving folder: %w", err)
	}
	if l.lock, err = lockDir(dir, l.config.Holder); err != nil {
		return nil, err
	}
	l.space = &space{dir: dir, reserve: l.config.ReserveBytes}

	options := &server.Options{
		ServerName:             "aliquot",
		JetStream:              true,
		StoreDir:               dir,
		SyncAlways:             !l.config.LazySync,
		JetStreamMaxStore:      maxStoreBytes,
		JetStreamMaxMemory:     maxMemoryBytes,
		DontListen:             l.config.Listen == "",
		NoSigs:                 true,
		MaxPending:             maxPendingBytes,
		DisableJetStreamBanner: true,
	}
	var connect []nats.Option
	if l.config.Listen != "" {
		if err := listenOn(options, l.config.Listen); err != nil {
			return nil, err
		}
		password := rand.Text()
		options.AlwaysEnableNonce = true
		options.CustomClientAuthentication = &authenticator{password: password, grant: l.config.Auth}
		connect = append(connect, nats.UserInfo(inProcessUser, password))
	}
	instance, err := server.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("preparing server: %w", err)
	}
	l.server = instance
	l.complain = &complaints{logger: l.logger}
	instance.SetLoggerV2(l.complain, false, false, false)
	go instance.Start() // Close ends it, and waits for the server's own goroutines

	for !instance.ReadyForConnections(startPoll) {
		if err := l.complain.fatal(); err != nil {
			return nil, fmt.Errorf("starting server: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("starting server: %w", err)
		}
	}
	if err := l.complain.fatal(); err != nil {
		return nil, fmt.Errorf("starting server: %w", err)
	}
	if !instance.JetStreamEnabled() {
		return nil, errors.New("starting server: JetStream did not start")
	}
	return append(connect, nats.InProcessServer(instance)), nil
}

func listenOn(options *server.Options, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("reading listen address: %w", err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fmt.Errorf("reading listen address %q: %w", address, err)
	}
	options.Host, options.Port = host, int(number)
	if number == 0 {
		options.Port = server.RANDOM_PORT
	}
	return nil
}

// onDisk reports whether the embedded server's folder has a stream with this
// name, recovered or not.
func (l *Log) onDisk(name string) bool {
	if l.space == nil {
		return false
	}
	_, err := os.Stat(filepath.Join(l.space.dir, server.JetStreamStoreDir, "$G", "streams", name))
	return err == nil
}

// authenticator admits this process's own connections by a password, and all
// others by an nkey that signed the server's nonce.
type authenticator struct {
	password string
	grant    func(nkey string) (Grant, error)
}

// Check implements server.Authentication.
func (a *authenticator) Check(client server.ClientAuthentication) bool {
	options := client.GetOpts()
	if options.Username == inProcessUser {
		if subtle.ConstantTimeCompare([]byte(options.Password), []byte(a.password)) != 1 {
			return false
		}
		client.RegisterUser(&server.User{Username: inProcessUser})
		return true
	}
	nonce := client.GetNonce()
	if options.Nkey == "" || len(nonce) == 0 || !nkeys.IsValidPublicUserKey(options.Nkey) {
		return false
	}
	signature, err := base64.RawURLEncoding.DecodeString(options.Sig)
	if err != nil {
		// Older clients use the padded standard alphabet.
		if signature, err = base64.StdEncoding.DecodeString(options.Sig); err != nil {
			return false
		}
	}
	key, err := nkeys.FromPublicKey(options.Nkey)
	if err != nil || key.Verify(nonce, signature) != nil {
		return false
	}
	grant, err := a.grant(options.Nkey)
	if err != nil {
		return false
	}
	client.RegisterUser(&server.User{Username: grant.Name, Permissions: &server.Permissions{
		Publish:   allowOnly(grant.Publish),
		Subscribe: allowOnly(grant.Subscribe),
	}})
	return true
}

// allowOnly converts an empty list into one that denies everything, because to
// the server an empty list would allow everything.
func allowOnly(subjects []string) *server.SubjectPermission {
	if len(subjects) == 0 {
		return &server.SubjectPermission{Deny: []string{">"}}
	}
	return &server.SubjectPermission{Allow: subjects}
}

// complaints passes on the server's warnings and remembers a fatal error, for
// which the server's own logger would end the process.
type complaints struct {
	logger *slog.Logger

	mu    sync.Mutex // guards what follows
	first error
}

func (c *complaints) fatal() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.first
}

func (c *complaints) Fatalf(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	c.mu.Lock()
	if c.first == nil {
		c.first = errors.New(message)
	}
	c.mu.Unlock()
	c.logger.Error("event log server", "message", message)
}

func (c *complaints) Errorf(format string, args ...any) {
	c.logger.Error("event log server", "message", fmt.Sprintf(format, args...))
}

func (c *complaints) Warnf(format string, args ...any) {
	c.logger.Warn("event log server", "message", fmt.Sprintf(format, args...))
}

func (c *complaints) Noticef(string, ...any) {}
func (c *complaints) Debugf(string, ...any)  {}
func (c *complaints) Tracef(string, ...any)  {}
