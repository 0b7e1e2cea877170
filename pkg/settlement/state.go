package settlement

// State summarises everything that a store has derived, as one hash and in parts.
type State struct {
	Root        string           `json:"state_root" doc:"Hash over everything below; equal streams give an equal hash."`
	JournalHash string           `json:"journal_hash"`
	Partitions  []StatePartition `json:"partitions" doc:"How far usage is settled."`
	Distributed uint64           `json:"distributed" doc:"CONTROL position up to which the distributor has acted."`
	Ledger      uint64           `json:"ledger" doc:"Last position of LEDGER that a distribution rests on."`
	Register    uint64           `json:"register" doc:"Last position of REGISTER that a distribution rests on."`
	Parts       []StatePart      `json:"parts" doc:"Every relation, in the order in which one follows from another."`
}

// StatePartition is how far one partition's usage is settled.
type StatePartition struct {
	Partition int    `json:"partition"`
	Stream    string `json:"stream"`
	Usage     uint64 `json:"usage" doc:"Position."`
	Control   uint64 `json:"control" doc:"Last position of CONTROL in effect there."`
}

// StatePart is one relation.
type StatePart struct {
	Name string `json:"name"`
	Rows uint64 `json:"rows"`
	Hash string `json:"hash"`
}
