package events

// Answer is what ingest says about a submission, in JSON. Accepted means stored
// for settlement: duplicates and late events among them are found when they are
// settled.
type Answer struct {
	Accepted int       `json:"accepted"`
	Refused  int       `json:"refused"` // events; 0 beside a refusal of the submission as a whole
	Handle   []Handle  `json:"handle"`
	Refusals []Refusal `json:"refusals"`
	Outcomes *Outcomes `json:"outcomes,omitempty"` // where they were waited for
}

// Handle says where accepted events are: Count of them, from the one with
// ordinal First in the message at Position on, in the order of the submission.
type Handle struct {
	Partition int    `json:"partition"`
	Position  uint64 `json:"position"`
	First     int    `json:"first"`
	Count     int    `json:"count"`
}

// Outcomes is what became of events that are in the stream.
type Outcomes struct {
	Settled    bool        `json:"settled"` // false: some of them are not settled yet, and not counted
	Accepted   int         `json:"accepted"`
	Late       int         `json:"late"`
	Duplicate  int         `json:"duplicate"`
	Refused    int         `json:"refused"`
	Exceptions []Exception `json:"exceptions"` // all that are not simply accepted, at most MaxEvents of them
}

// Exception is one event that was not simply accepted.
type Exception struct {
	Partition int    `json:"partition"`
	Position  uint64 `json:"position"`
	Ordinal   int    `json:"ordinal"` // in the message at Position
	Source    string `json:"source,omitempty"`
	ID        string `json:"id,omitempty"` // or "epoch/sequence"
	Outcome   string `json:"outcome"`      // "late", "duplicate", "refused"
	Reason    Reason `json:"reason,omitempty"`
}
