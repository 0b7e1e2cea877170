package ledger

// EntryKind says what an entry is for. It is part of a record's bytes.
type EntryKind string

// The kinds of entries. Usage to Reversal are posted by settle, the others by
// distribute.
const (
	Usage        EntryKind = "usage"        // charges of events, added up over a cut
	Release      EntryKind = "release"      // charges of quantities that had waited for a price
	Collection   EntryKind = "collection"   // prepaid money covers charges
	Handover     EntryKind = "handover"     // collected money goes to tokens and providers
	Deposit      EntryKind = "deposit"      // a customer's money has arrived
	Reversal     EntryKind = "reversal"     // a deposit is taken back
	Distribution EntryKind = "distribution" // revenue is divided among holders
	Payout       EntryKind = "payout"       // what holders are owed is paid, or a payment fails
)

// Charges reports whether an entry of this kind charges customers for usage.
func (k EntryKind) Charges() bool { return k == Usage || k == Release }

// AccountKind says to whom an account belongs: the part of its name before the
// first colon.
type AccountKind string

// The kinds of accounts.
const (
	OfCustomer AccountKind = "customer"
	OfNode     AccountKind = "node"
	OfProvider AccountKind = "provider"
	OfPlatform AccountKind = "platform" // without an id
	OfToken    AccountKind = "token"
	OfHolder   AccountKind = "holder"
	OfTreasury AccountKind = "treasury" // without a part
	OfRail     AccountKind = "rail"
)

// Prefix returns the beginning of the names of all accounts of the kind.
func (k AccountKind) Prefix() string { return string(k) + ":" }

// PrefixOf returns the beginning of the names of the accounts of one id.
// Accounts of ids that begin with this id and a colon have it too.
func (k AccountKind) PrefixOf(id string) string { return k.Prefix() + id + ":" }

// Part distinguishes the accounts of one id: the part of its name after the
// last colon.
type Part string

// The parts, each with the kinds that have it.
const (
	Prepaid    Part = "prepaid"    // customer
	Receivable Part = "receivable" // customer
	Earned     Part = "earned"     // node
	Collected  Part = "collected"  // node
	Payable    Part = "payable"    // provider, holder
	Fees       Part = "fees"       // platform
	Inbox      Part = "inbox"      // token
	Pool       Part = "pool"       // token
	Held       Part = "held"       // holder
	InFlight   Part = "in_flight"  // rail
	Paid       Part = "paid"       // rail
)

// Suffix returns the end of the names of all accounts of the part.
func (p Part) Suffix() string { return ":" + string(p) }

// has reports whether accounts of the kind have a part.
func (k AccountKind) has(part Part) bool {
	switch k {
	case OfCustomer:
		return part == Prepaid || part == Receivable
	case OfNode:
		return part == Earned || part == Collected
	case OfProvider:
		return part == Payable
	case OfPlatform:
		return part == Fees
	case OfToken:
		return part == Inbox || part == Pool
	case OfHolder:
		return part == Payable || part == Held
	case OfTreasury:
		return part == ""
	case OfRail:
		return part == InFlight || part == Paid
	}
	return false
}
