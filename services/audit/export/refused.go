package export

import (
	"github.com/aliquot-engine/aliquot/pkg/events"
)

func refusedColumns() []Column {
	return []Column{
		{"received", Instant, true},
		{"provider", Text, true}, // null if it is unknown, as without a valid key
		{"actor", Text, true},
		{"media", Text, true}, // media type that the submission named
		{"size", Count, true}, // bytes
		{"sha256", Text, true},
		{"events", Count, true}, // number of refused events; 0 if the whole submission was refused
		{"reason", Text, true},
		{"count", Count, true},  // number with this reason
		{"index", Number, true}, // ordinal of the first of them in the submission; -1 for the whole submission
		{"line", Count, true},
		{"event_id", Text, true},
		{"field", Text, true},
		{"detail", Text, true},
		{"head", Bytes, true}, // the first 4 KB of the submission
	}
}

// refused lists the submissions of which something was refused before it was
// stored, one row for each reason. Their stream drops its oldest messages and has
// no log.
func (r *run) refused() error {
	stream := r.Refused
	extent, err := stream.Info(r.ctx)
	if err != nil || extent.Messages == 0 {
		return err
	}
	reader, err := stream.Read(r.ctx, extent.First, "")
	if err != nil {
		return err
	}
	defer reader.Stop()
	of := &source{stream: stream}
	for at := uint64(0); at < extent.Last; {
		m, err := reader.Next(r.ctx)
		if err != nil {
			return err
		}
		at = m.Seq
		s, err := events.DecodeRefused(m.Data)
		if err != nil {
			return err
		}
		for _, c := range s.Counts {
			first := firstOf(s.First, c.Reason)
			cells := []cell{moment(s.Received), named(s.Provider), named(s.Actor), named(s.Media), count(uint64(s.Size)), text(s.SHA256), count(s.Events),
				text(c.Reason), count(c.Count)}
			if first == nil {
				cells = append(cells, cell{}, cell{}, cell{}, cell{}, cell{})
			} else {
				cells = append(cells, number(first.Index), count(first.Line), named(first.ID), named(first.Field), named(first.Detail))
			}
			if err := r.emit(of, at, append(cells, blob(s.Head))...); err != nil {
				return err
			}
		}
	}
	return nil
}

func firstOf(list []events.Refusal, reason events.Reason) *events.Refusal {
	for i := range list {
		if list[i].Reason == reason {
			return &list[i]
		}
	}
	return nil
}
