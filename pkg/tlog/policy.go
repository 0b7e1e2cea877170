package tlog

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Policy says which logs are believed, and which witnesses must have cosigned a
// checkpoint before it is believed, as C2SP tlog-policy defines.
//
// One log line covers all logs of an installation, because they have the same
// key; a second log line may name the key to which they were handed over.
type Policy struct {
	Logs      []PolicyLog
	Witnesses []PolicyWitness
	groups    []group // in the order of their lines
	quorum    int     // index into members; none
	members   []member
}

// PolicyLog is a log line.
type PolicyLog struct {
	Key *PublicKey
	URL string // empty if the line has none
}

// PolicyWitness is a witness line.
type PolicyWitness struct {
	Name string // the name in this file
	Key  *CosignatureKey
	URL  string // prefix of the URL to which submissions are sent; empty if the line has none
}

// member is a witness or a group, by index.
type member struct {
	name    string
	witness int // none if it is a group
	group   int
	inGroup bool
}

type group struct {
	most    int // members that must have cosigned
	members []int
}

const (
	none       = -1
	quorumNone = "none"
	// MaxPolicy is the length of the longest policy that is read, in bytes.
	MaxPolicy = 256 << 10
)

var (
	errPolicyByte   = errors.New("a control character that is neither tab nor newline")
	errPolicyWord   = errors.New("a line must begin with log, witness, group or quorum")
	errPolicyLine   = errors.New("the line has too many or too few words")
	errPolicyName   = errors.New("the name is already defined, or is the word none")
	errPolicyKey    = errors.New("the key is already in the policy")
	errPolicyMember = errors.New("no line above defines the name")
	errPolicyTwice  = errors.New("the name is already a member of a group")
	errThreshold    = errors.New("want all, any, or a number from 1 to the number of members")
	errQuorumTwice  = errors.New("a second quorum")
	errNoQuorum     = errors.New("there is no quorum line")
	errPolicyLong   = errors.New("it is longer than a policy can be")
)

// ErrQuorum means that a checkpoint does not have the cosignatures that a policy
// requires.
var ErrQuorum = errors.New("the witnesses that have cosigned it are not a quorum")

// ParsePolicy reads a policy. Its errors name the line number.
func ParsePolicy(text []byte) (*Policy, error) {
	if len(text) > MaxPolicy {
		return nil, fmt.Errorf("reading a policy: %w", errPolicyLong)
	}
	p := &Policy{quorum: none}
	keys := map[string]bool{}
	quorums := 0
	for i, line := range bytes.Split(text, []byte("\n")) {
		err := p.line(string(line), keys, &quorums)
		if err != nil {
			return nil, fmt.Errorf("reading a policy, line %d: %w", i+1, err)
		}
	}
	if quorums == 0 {
		return nil, fmt.Errorf("reading a policy: %w", errNoQuorum)
	}
	return p, nil
}

func (p *Policy) line(line string, keys map[string]bool, quorums *int) error {
	for i := range len(line) {
		if c := line[i]; c < ' ' && c != '\t' || c == 0x7f {
			return errPolicyByte
		}
	}
	words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(words) == 0 || words[0][0] == '#' {
		return nil
	}
	switch words[0] {
	case "log":
		return p.log(words[1:], keys)
	case "witness":
		return p.witness(words[1:], keys)
	case "group":
		return p.group(words[1:])
	case "quorum":
		if *quorums++; *quorums > 1 {
			return errQuorumTwice
		}
		if len(words) != 2 {
			return errPolicyLine
		}
		if words[1] == quorumNone {
			return nil
		}
		var err error
		p.quorum, err = p.find(words[1])
		return err
	}
	return fmt.Errorf("%.40q: %w", words[0], errPolicyWord)
}

func (p *Policy) log(words []string, keys map[string]bool) error {
	if len(words) < 1 || len(words) > 2 {
		return errPolicyLine
	}
	key, err := ParsePublicKey(words[0])
	if err == nil {
		err = once(words[0], keys)
	}
	if err != nil {
		return err
	}
	l := PolicyLog{Key: key}
	if len(words) > 1 {
		l.URL = words[1]
	}
	p.Logs = append(p.Logs, l)
	return nil
}

func (p *Policy) witness(words []string, keys map[string]bool) error {
	if len(words) < 2 || len(words) > 3 {
		return errPolicyLine
	}
	key, err := ParseCosignatureKey(words[1])
	if err == nil {
		err = once(words[1], keys)
	}
	if err != nil {
		return err
	}
	w := PolicyWitness{Name: words[0], Key: key}
	if len(words) > 2 {
		w.URL = words[2]
	}
	p.Witnesses = append(p.Witnesses, w)
	return p.define(member{name: words[0], witness: len(p.Witnesses) - 1, group: none})
}

// once refuses a key whose public key another key of the same kind already has. A
// log and a witness may have the same public key.
func once(text string, keys map[string]bool) error {
	parts := strings.SplitN(text, "+", 3) // Name, hash, and base64 that may have a plus.
	data, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil {
		return errKey
	}
	if keys[string(data)] {
		return errPolicyKey
	}
	keys[string(data)] = true
	return nil
}

func (p *Policy) group(words []string) error {
	if len(words) < 3 {
		return errPolicyLine
	}
	g := group{}
	for _, name := range words[2:] {
		at, err := p.find(name)
		if err != nil {
			return err
		}
		if p.members[at].inGroup {
			return fmt.Errorf("%.80q: %w", name, errPolicyTwice)
		}
		p.members[at].inGroup = true
		g.members = append(g.members, at)
	}
	switch words[1] {
	case "all":
		g.most = len(g.members)
	case "any":
		g.most = 1
	default:
		k, err := strconv.ParseUint(words[1], 10, 16)
		if err != nil || k < 1 || k > uint64(len(g.members)) || strconv.FormatUint(k, 10) != words[1] {
			return fmt.Errorf("%.40q: %w", words[1], errThreshold)
		}
		g.most = int(k)
	}
	p.groups = append(p.groups, g)
	return p.define(member{name: words[0], witness: none, group: len(p.groups) - 1})
}

func (p *Policy) define(m member) error {
	if _, err := p.find(m.name); err == nil || m.name == quorumNone {
		return fmt.Errorf("%.80q: %w", m.name, errPolicyName)
	}
	p.members = append(p.members, m)
	return nil
}

func (p *Policy) find(name string) (int, error) {
	for i := range p.members {
		if p.members[i].name == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%.80q: %w", name, errPolicyMember)
}

// Verifiers returns the keys of all witnesses, to be given to [OpenCheckpoint].
func (p *Policy) Verifiers() []note.Verifier {
	list := make([]note.Verifier, len(p.Witnesses))
	for i := range p.Witnesses {
		list[i] = p.Witnesses[i].Key
	}
	return list
}

// Check returns [ErrQuorum] if a note does not have the cosignatures that the
// policy requires. The note must have been opened with [Policy.Verifiers], so
// that its Sigs are valid.
func (p *Policy) Check(opened *note.Note) error {
	if p.quorum == none {
		return nil
	}
	// A group is always defined after its members, so one pass is enough.
	witnessed := make([]bool, len(p.members))
	for i, m := range p.members {
		if m.witness != none {
			key := p.Witnesses[m.witness].Key
			for _, s := range opened.Sigs {
				witnessed[i] = witnessed[i] || s.Name == key.Name() && s.Hash == key.KeyHash()
			}
			continue
		}
		count := 0
		for _, at := range p.groups[m.group].members {
			if witnessed[at] {
				count++
			}
		}
		witnessed[i] = count >= p.groups[m.group].most
	}
	if !witnessed[p.quorum] {
		return fmt.Errorf("%q: %w", p.members[p.quorum].name, ErrQuorum)
	}
	return nil
}
