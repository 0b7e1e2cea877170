package events

// Answer is what ingest says about a submission, in JSON. Accepted events are
// stored for settlement, which finds the duplicates and late events among them.
type Answer struct {
	Accepted int       `json:"accepted"`
	Refused  int       `json:"refused"` // number of events; 0 if the submission is refused as a whole
	Handle   []Handle  `json:"handle"`
	Refusals []Refusal `json:"refusals"`
	Outcomes *Outcomes `json:"outcomes,omitempty"` // if the answer waited for them
}

// Handle says where accepted events are: Count of them, from the one with
// ordinal First in the message at Position on, in the order of the submission.
type Handle struct {
	Partition int    `json:"partition"`
	Position  uint64 `json:"position"`
	First     int    `json:"first"`
	Count     int    `json:"count"`
}

// Outcomes is the outcomes of events in the stream.
type Outcomes struct {
	Settled    bool        `json:"settled"` // false if some of them are not settled yet, and not counted
	Accepted   int         `json:"accepted"`
	Late       int         `json:"late"`
	Duplicate  int         `json:"duplicate"`
	Refused    int         `json:"refused"`
	Exceptions []Exception `json:"exceptions"` // all events that were not simply accepted, at most MaxEvents of them
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
