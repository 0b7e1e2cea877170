package tlog

// Index is what an installation publishes about its logs at GET /tlog/index.json.
type Index struct {
	Installation string   `json:"installation"`
	Key          string   `json:"key"`                 // that signs now
	Handovers    []string `json:"handovers,omitempty"` // signed notes
	Logs         []string `json:"logs"`                // names, ascending
}
