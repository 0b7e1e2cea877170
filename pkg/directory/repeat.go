package directory

import "github.com/aliquot-engine/aliquot/pkg/events"

// Decided reports whether a decision of this id has taken effect, and whether it
// was the same one: a repeat of it has no effect, and another decision under its
// id is void. Of quotes, which are repeated round by round, it knows nothing.
func (d *Directory) Decided(id string, body events.Body) (seen, same bool) {
	before, seen := d.ids[id]
	if !seen {
		return false, false
	}
	content, err := contentOf(body)
	return true, err == nil && before == content
}

// Issued returns a key that was issued under a name, and whether it is revoked.
func (d *Directory) Issued(name string) (issued events.KeyIssued, revoked, ok bool) {
	k, ok := d.keys[name]
	return k.issued, k.revoked, ok
}
