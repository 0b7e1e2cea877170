package directory

import (
	"fmt"
	"iter"
	"slices"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

type key struct {
	issued  events.KeyIssued
	revoked bool
}

func (d *Directory) issueKey(b events.KeyIssued) error {
	if b.Scope == "provider" {
		if _, ok := d.providers[b.Provider]; !ok {
			return fmt.Errorf("provider %q is not declared", b.Provider)
		}
	}
	if was, ok := d.keys[b.Key]; ok {
		if !was.revoked && was.issued == b {
			return nil
		}
		return fmt.Errorf("key %q was issued before: a key keeps its secret and its scope", b.Key)
	}
	if other, ok := d.secrets[secretOf(b)]; ok {
		return fmt.Errorf("the secret is that of key %q", other)
	}
	d.keys[b.Key] = key{issued: b}
	d.secrets[secretOf(b)] = b.Key
	return nil
}

func secretOf(b events.KeyIssued) string {
	if b.SHA256 != "" {
		return b.SHA256
	}
	return b.NKey
}

func (d *Directory) revokeKey(b events.KeyRevoked) error {
	was, ok := d.keys[b.Key]
	if !ok {
		return fmt.Errorf("key %q was not issued", b.Key)
	}
	was.revoked = true
	d.keys[b.Key] = was
	return nil
}

// Key returns a key by the SHA-256 of its secret, in lower-case hexadecimal, or
// by its public NKey. A revoked key is not found.
func (d *Directory) Key(secret string) (events.KeyIssued, bool) {
	k, ok := d.keys[d.secrets[secret]]
	return k.issued, ok && !k.revoked
}

// Keys returns every key that is not revoked, ascending by name.
func (d *Directory) Keys() []events.KeyIssued {
	var list []events.KeyIssued
	for _, k := range ascending(d.keys) {
		if !k.revoked {
			list = append(list, k.issued)
		}
	}
	return slices.Clip(list)
}

// AllKeys yields every key that was ever issued, ascending by name, and
// whether it is revoked.
func (d *Directory) AllKeys() iter.Seq2[events.KeyIssued, bool] {
	return func(yield func(events.KeyIssued, bool) bool) {
		for _, k := range ascending(d.keys) {
			if !yield(k.issued, k.revoked) {
				return
			}
		}
	}
}

// Issued returns a key that was issued under a name, and whether it is revoked.
func (d *Directory) Issued(name string) (issued events.KeyIssued, revoked, ok bool) {
	k, ok := d.keys[name]
	return k.issued, k.revoked, ok
}
