package api

import (
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/services/ingest"
)

// usage describes the paths that ingest serves itself: their bodies are not
// only JSON, and the general decoder would be too slow for their rate.
func (s *Server) usage() {
	schemas := s.api.OpenAPI().Components.Schemas
	schema := func(v any, hint string) *huma.Schema { return schemas.Schema(reflect.TypeOf(v), true, hint) }
	schemas.Map()["UsageEvent"] = &huma.Schema{
		Type: "object", Description: "A CloudEvent 1.0 of type aliquot.usage.",
		Required: []string{"specversion", "type", "source", "id"},
		OneOf:    []*huma.Schema{{Required: []string{"data"}}, {Required: []string{"data_base64"}}},
		Properties: map[string]*huma.Schema{
			"specversion": {Type: "string", Enum: []any{"1.0"}},
			"type":        {Type: "string", Enum: []any{"aliquot.usage", "aliquot.usage.v1"}},
			"source":      {Type: "string", MaxLength: number(512)},
			"id":          {Type: "string", MaxLength: number(256), Description: "Unique within the source."},
			"sequence":    {Type: "string", Description: "Decimal integer. With it, (source, epoch, sequence) is the identity."},
			"epoch":       {Type: "string", Description: "Decimal integer, 0 by default: a source that has lost its sequence starts a new epoch."},
			"subject":     {Type: "string", Description: "The customer, if data has none."},
			"time":        {Type: "string", Format: "date-time", Description: "The end, if data has none."},
			"data_base64": {Type: "string", Format: "byte", Description: "Instead of data: its JSON in base64 (CloudEvents JSON format 1.0.2, section 3.1)."},
			"data": {
				Type: "object", Required: []string{"node", "meter", "quantity"},
				Properties: map[string]*huma.Schema{
					"node": {Type: "string"}, "customer": {Type: "string"}, "meter": {Type: "string"},
					"quantity":   {Description: "Decimal as text or number, not negative, at most 18 decimals."},
					"start":      {Type: "string", Format: "date-time"},
					"end":        {Type: "string", Format: "date-time"},
					"attributes": {Type: "object", AdditionalProperties: &huma.Schema{Type: "string"}},
				},
			},
		},
	}
	event := &huma.Schema{Ref: "#/components/schemas/UsageEvent"}
	list := &huma.Schema{Type: "array", Items: event, MaxItems: number(packed.MaxEvents)}
	binary := &huma.Schema{Type: "string", Format: "binary"}
	lines := &huma.Schema{Type: "string", Description: "JSON Lines: one event per line."}
	bodies := map[string]*huma.MediaType{
		ingest.SingleMedia: {Schema: event},
		ingest.BatchMedia:  {Schema: list},
		ingest.PackedMedia: {Schema: binary},

		"application/json": {Schema: &huma.Schema{OneOf: []*huma.Schema{event, list, lines},
			Description: "An event, a list of events, or JSON Lines. With the headers ce-specversion, ce-type, " +
				"ce-source and ce-id (the binary mode of CloudEvents) the body is the data of one event."}},
	}
	for _, name := range ingest.LinesNames() {
		bodies[name] = &huma.MediaType{Schema: lines}
	}
	wait := &huma.Param{Name: "wait", In: "query", Schema: &huma.Schema{Type: "integer"},
		Description: "Seconds to wait for the final outcomes; also as Prefer: wait=N."}
	answered := func(description string) *huma.Response {
		return &huma.Response{Description: description, Content: map[string]*huma.MediaType{
			"application/json": {Schema: schema(events.Answer{}, "Answer")},
		}}
	}
	problem := func(description string) *huma.Response { return &huma.Response{Description: description} }
	s.api.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "submit-usage", Method: http.MethodPost, Path: "/v1/events",
		Summary:     "Submit usage",
		Description: "Answers when every accepted event is on disk. Bodies are UTF-8, with a byte order mark or without, and may be gzip or zstd encoded. It is safe to send the same body again.",
		Parameters: []*huma.Param{wait,
			{Name: "Aliquot-Provider", In: "header", Schema: &huma.Schema{Type: "string"}, Description: "Provider for which an operator submits."},
			{Name: "Aliquot-Received", In: "header", Schema: &huma.Schema{Type: "string", Enum: []any{"now", "event"}},
				Description: "With event, the time of receipt of each event is its own last instant, in books that allow this."},
		},
		RequestBody: &huma.RequestBody{Required: true, Content: bodies},
		Responses: map[string]*huma.Response{
			"200": answered("Every event is decided: the answer has the outcomes, or no event was accepted."),
			"202": answered("Accepted for settlement; refused events are listed."),
			"400": problem("Refused: the body cannot be read as its media type says, or a parameter is wrong; nothing was stored."),
			"422": answered("Refused: the body was read, but none of its events can be accepted; each is listed with its field and reason. " +
				"An event that retracts or replaces another is refused as unsupported."),
			"408": problem("The body arrived too slowly: nothing was stored. Send it again."),
			"401": problem("The key is missing or unknown."), "403": problem("The key may not submit for this provider."),
			"413": answered("Refused: too large."), "415": answered("Refused: the media type or the encoding is unknown."),
			"503": problem("Overloaded: send the same body again after Retry-After."),
			"507": problem("Free space is below the reserve: send the same body again later."),
		},
	})
	query := func(name, kind, description string) *huma.Param {
		return &huma.Param{Name: name, In: "query", Schema: &huma.Schema{Type: kind}, Description: description}
	}
	s.api.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "usage-outcomes", Method: http.MethodGet, Path: "/v1/usage/outcomes",
		Summary: "Show the outcomes of events, by handle, by source and id, or by source, epoch and sequence",
		Parameters: []*huma.Param{
			query("partition", "integer", "Partition of the handle, with position."), query("position", "integer", "Position of the handle."),
			query("first", "integer", "First event of the handle."), query("count", "integer", "Number of events of the handle."),
			query("source", "string", "Source of the event, with id or with sequence."), query("id", "string", "Id of the event within its source."),
			query("epoch", "integer", "Epoch of the sequence; 0 by default."), query("sequence", "integer", "Sequence of the event within source and epoch."),
			query("provider", "string", "Provider of the events, if an operator or auditor asks."), wait,
		},
		Responses: map[string]*huma.Response{
			"200": {Description: "Counts and exceptions.", Content: map[string]*huma.MediaType{
				"application/json": {Schema: schema(events.Outcomes{}, "Outcomes")},
			}},
			"400": problem("A parameter is missing or is not a number."),
			"401": problem("The key is missing or unknown."), "403": problem("The key does not allow access to the provider's usage."),
			"404": problem("There is no such usage of this provider."),
		},
	})
}

func number(n int) *int { return &n }
