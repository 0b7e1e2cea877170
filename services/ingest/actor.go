package ingest

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Errors of authentication.
var (
	ErrUnauthenticated = errors.New("the key is not known")
	ErrForbidden       = errors.New("the key's scope does not allow this")
	ErrNoProvider      = errors.New("the provider is not known")
)

// Actor is who submits or asks.
type Actor struct {
	Name     events.Actor    // "provider:<key>", "operator:<key>"
	Key      string          // name of the key
	Scope    string          // "operator", "provider", "auditor"
	Provider events.Provider // of scope "provider"; empty for the others
}

// Authenticate finds the actor of a token. The operator's own token is compared
// in constant time. The look-up of other tokens leaks nothing useful through its
// duration: it is by the token's SHA-256, of which an attacker cannot choose a
// prefix.
func (s *Service) Authenticate(token string) (Actor, error) {
	sum := sha256.Sum256([]byte(token))
	if s.config.OperatorSHA256 != [32]byte{} && subtle.ConstantTimeCompare(sum[:], s.config.OperatorSHA256[:]) == 1 {
		return Actor{Name: "operator:local", Key: "local", Scope: "operator"}, nil
	}
	return s.actor(hex.EncodeToString(sum[:]))
}

// AuthenticateNKey finds the actor of a public nkey whose signature was checked.
func (s *Service) AuthenticateNKey(nkey string) (Actor, error) { return s.actor(nkey) }

func (s *Service) actor(secret string) (Actor, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	key, ok := s.folded.Key(secret)
	if !ok || secret == "" {
		return Actor{}, ErrUnauthenticated
	}
	return Actor{Name: events.Actor(key.Scope + ":" + key.Key), Key: key.Key, Scope: key.Scope, Provider: key.Provider}, nil
}

// For returns the provider for which an actor may submit usage: its own, or for
// an operator the one that is named. named is empty if the request names none.
func (s *Service) For(a Actor, named events.Provider) (events.Provider, error) {
	switch a.Scope {
	case "provider":
		if named != "" && named != a.Provider {
			return "", ErrForbidden
		}
		named = a.Provider
	case "operator":
	default:
		return "", ErrForbidden
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, ok := s.folded.Provider(named); !ok {
		return "", ErrNoProvider
	}
	return named, nil
}
