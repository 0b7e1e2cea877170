package events

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Validate implements [Body].
func (b TokenDeclared) Validate() error {
	var p Problems
	p.name("token", string(b.Token))
	p.name("book", string(b.Book))
	for i, n := range b.Nodes {
		p.name(fmt.Sprintf("nodes[%d]", i), string(n))
	}
	sorted := slices.Clone(b.Nodes)
	slices.Sort(sorted)
	for i := 1; i < len(sorted); i++ {
		if sorted[i] == sorted[i-1] {
			p.add("nodes", "node %q is there twice", Clip(string(sorted[i])))
		}
	}
	switch {
	case b.Pool && len(b.Nodes) > 0:
		p.add("nodes", "are given together with all_nodes")
	case !b.Pool && len(b.Nodes) == 0:
		p.add("nodes", "is empty, and all_nodes is not set")
	}
	p.notNegative("minimum_payout", b.Minimum.Sign())
	return p.orNil()
}

// Validate implements [Body].
func (b WaterfallDeclared) Validate() error {
	var p Problems
	p.name("token", string(b.Token))
	if b.FeeBasisPoints < 0 || b.FeeBasisPoints > 10_000 {
		p.add("fee_basis_points", "%d is not between 0 and 10000", b.FeeBasisPoints)
	}
	return p.orNil()
}

// Validate implements [Body].
func (b KeyIssued) Validate() error {
	var p Problems
	p.name("key", b.Key)
	switch {
	case b.SHA256 == "" && b.NKey == "":
		p.add("sha256", "is empty, and so is nkey")
	case b.SHA256 != "" && b.NKey != "":
		p.add("nkey", "is given together with sha256")
	case b.SHA256 != "":
		if raw, err := hex.DecodeString(b.SHA256); err != nil || len(raw) != 32 || strings.ToLower(b.SHA256) != b.SHA256 {
			p.add("sha256", "is not 64 lower-case hexadecimal digits")
		}
	case len(b.NKey) != 56 || b.NKey[0] != 'U' || strings.Trim(b.NKey, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "":
		p.add("nkey", "is not the public NKey of a user: U and 55 characters of base 32")
	}
	switch b.Scope {
	case "provider":
		p.name("provider", string(b.Provider))
	case "operator", "auditor":
		if b.Provider != "" {
			p.add("provider", "is given, but the scope is %s", b.Scope)
		}
	default:
		p.add("scope", "%q is not one of operator, provider and auditor", Clip(b.Scope))
	}
	return p.orNil()
}

// Validate implements [Body].
func (b KeyRevoked) Validate() error {
	var p Problems
	p.name("key", b.Key)
	return p.orNil()
}

// Validate implements [Body].
func (b HoldersListed) Validate() error {
	var p Problems
	p.name("list", b.List)
	p.part(b.Part, b.Parts)
	for i, h := range b.Holders {
		if CheckHolder(h) != nil {
			p.holder(fmt.Sprintf("holders[%d]", i), h)
		}
	}
	return p.orNil()
}

// Validate implements [Body].
func (b DistributionDeclared) Validate() error {
	var p Problems
	p.name("distribution", b.Distribution)
	p.name("token", string(b.Token))
	p.period("period", b.Period)
	p.time("record_date", b.RecordDate)
	p.states("rests_on", b.RestsOn)
	return p.orNil()
}

// Validate implements [Body].
func (b PayoutsSubmitted) Validate() error {
	var p Problems
	p.name("batch", b.Batch)
	p.name("rail", string(b.Rail))
	p.name("distribution", b.Distribution)
	return p.orNil()
}

// Validate implements [Body].
func (b PayoutsConfirmed) Validate() error {
	var p Problems
	p.name("batch", b.Batch)
	p.name("rail", string(b.Rail))
	p.part(b.Part, b.Parts)
	if len(b.Results) == 0 {
		p.add("results", "is empty")
	}
	for i := range b.Results {
		r := &b.Results[i]
		at := func(field string) string { return fmt.Sprintf("results[%d].%s", i, field) } // called only if it is needed
		if err := CheckName(r.Payout); err != nil {
			p.add(at("payout"), "%v", err)
		}
		switch r.State {
		case "confirmed", "failed", "returned":
		default:
			p.add(at("state"), "%q is not one of confirmed, failed and returned", Clip(r.State))
		}
		if err := CheckText(r.Reference); err != nil {
			p.add(at("reference"), "%v", err)
		}
		if r.Holder != "" {
			if err := CheckName(string(r.Holder)); err != nil {
				p.add(at("holder"), "%v", err)
			}
		}
		if r.Asset != "" {
			if err := r.Asset.Valid(); err != nil {
				p.add(at("asset"), "%v", err)
			}
		}
		if r.Amount.Sign() < 0 {
			p.add(at("amount"), "is negative")
		}
	}
	return p.orNil()
}
