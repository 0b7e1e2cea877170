package mapping

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Survey is what one reading of a file found, without any shift.
type Survey struct {
	Counts     Counts
	Start, End int64             // the earliest start and the latest end, nanoseconds since 1970 UTC
	Last       int64             // the latest last instant: see [events.LastInstant]
	Nodes      []events.Node     // ascending; only where the map declares nodes
	Customers  []events.Customer // ascending; only where the map declares customers
}

// Survey reads a file once. Its memory grows with distinct names only, which
// it refuses beyond [MaxNames].
func (m *Map) Survey(path string) (Survey, error) {
	r, err := m.open(path, 0, true)
	if err != nil {
		return Survey{}, err
	}
	defer func() { _ = r.Close() }()
	return m.survey(r)
}

func (m *Map) survey(r *Reader) (Survey, error) {
	var s Survey
	nodes, customers := map[events.Node]struct{}{}, map[events.Customer]struct{}{}
	for {
		item, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Survey{}, err
		}
		if item.Refusal != nil {
			continue
		}
		u := &item.Usage
		if first := r.counts.Events == 1; first || u.Start < s.Start {
			s.Start = u.Start
		}
		s.End, s.Last = max(s.End, u.End), max(s.Last, u.LastInstant())
		if m.DeclareNodes {
			if _, known := nodes[u.Node]; !known {
				nodes[events.Node(strings.Clone(string(u.Node)))] = struct{}{}
			}
		}
		if m.DeclareCustomers {
			if _, known := customers[u.Customer]; !known {
				customers[events.Customer(strings.Clone(string(u.Customer)))] = struct{}{}
			}
		}
		if len(nodes) > MaxNames || len(customers) > MaxNames {
			return Survey{}, fmt.Errorf("surveying %s: more than %d nodes or customers", r.row.file, MaxNames)
		}
	}
	s.Counts = r.counts
	for node := range nodes { // Sorted below.
		s.Nodes = append(s.Nodes, node)
	}
	for customer := range customers { // Sorted below.
		s.Customers = append(s.Customers, customer)
	}
	slices.Sort(s.Nodes)
	slices.Sort(s.Customers)
	return s, nil
}
