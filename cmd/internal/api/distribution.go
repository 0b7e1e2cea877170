package api

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aliquot-engine/aliquot/internal/rowfile"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/services/distribute"
	"github.com/aliquot-engine/aliquot/services/distribute/rails"
)

// Declare asks for a distribution.
type Declare struct {
	Token      string `json:"token"`
	Period     string `json:"period" doc:"Settled period that is distributed."`
	RecordDate string `json:"record_date,omitempty" doc:"Instant whose holdings count, RFC 3339; now by default."`
}

// Distribution is one pool of a distribution: one asset.
type Distribution struct {
	Distribution string       `json:"distribution"`
	Token        events.Token `json:"token"`
	Period       string       `json:"period"`
	RecordDate   time.Time    `json:"record_date"`
	Asset        money.Asset  `json:"asset"`
	Revenue      money.Amount `json:"revenue" doc:"Revenue that was in the inbox."`
	Fee          money.Amount `json:"fee"`
	Pool         money.Amount `json:"pool" doc:"Sum of the shares."`
	Holders      int          `json:"holders"`
	Supply       money.Units  `json:"supply"`
	Payouts      int          `json:"payouts"`
	Planned      money.Amount `json:"planned" doc:"Sum of the payouts as planned."`
	Held         money.Amount `json:"held" doc:"Shares of listed holders."`
	Control      uint64       `json:"control_position"`
	Ledger       uint64       `json:"ledger_position"`
	Register     uint64       `json:"register_position"`
}

// Batch is a set of payouts that was handed to a rail at once.
type Batch struct {
	Batch        string      `json:"batch"`
	Rail         events.Rail `json:"rail"`
	Distribution string      `json:"distribution"`
	Payouts      int         `json:"payouts"`
	Amounts      []Sum       `json:"amounts" doc:"What the payouts add up to, for each asset, in the order of its name."`
}

// Sum is an amount of one asset.
type Sum struct {
	Asset  money.Asset  `json:"asset"`
	Amount money.Amount `json:"amount"`
}

func (s *Server) distributions() {
	register(s, http.MethodPost, "/v1/distributions", "declare-distribution", "Distribute the revenue in a token's inbox to its holders",
		func(ctx context.Context, in *struct{ Body Declare }) (*answer[Distribution], error) {
			return s.declareDistribution(ctx, in.Body)
		})
	register(s, http.MethodGet, "/v1/distributions", "list-distributions", "List distributions",
		func(ctx context.Context, in *struct {
			Token events.Token `query:"token"`
		}) (*answer[[]Distribution], error) {
			all, err := s.Store.Distributions(ctx, in.Token)
			if err != nil {
				return nil, err
			}
			out := []Distribution{}
			for _, d := range all {
				if !d.Run() {
					out = append(out, pools(d)...)
				}
			}
			return &answer[[]Distribution]{out}, nil
		})
}

// pools returns a distribution as one value for each asset.
func pools(d distribution.Distribution) []Distribution {
	out := make([]Distribution, 0, len(d.Pools))
	for _, p := range d.Pools {
		out = append(out, Distribution{
			Distribution: d.ID, Token: d.Token, Period: string(d.Period), RecordDate: d.RecordDate, Asset: p.Asset,
			Revenue: p.Inbox, Fee: p.Fee, Pool: p.Pool, Holders: d.Holders, Supply: d.Supply,
			Payouts: p.Payouts, Planned: p.Planned, Held: p.Held,
			Control: d.Control, Ledger: d.Ledger, Register: d.Register,
		})
	}
	return out
}

// declareDistribution records a declaration that names every position it rests
// on. A token distributes a period once: a second request is answered with the
// distribution that was made.
func (s *Server) declareDistribution(ctx context.Context, in Declare) (*answer[Distribution], error) {
	token := events.Token(in.Token)
	at := s.Now().UTC()
	if in.RecordDate != "" {
		t, err := events.ParseTime(in.RecordDate)
		if err != nil {
			return nil, huma.Error422UnprocessableEntity("record_date: " + err.Error())
		}
		at = t
	}
	var declared events.TokenDeclared
	var future error
	known, closed := false, false
	s.Engine.Directory(func(d *directory.Directory) {
		future = d.Future(events.DistributionDeclared{Token: token, RecordDate: at}, s.Now())
		if declared, known = d.Token(token); !known {
			return
		}
		book, _ := d.Book(declared.Book)
		_, until, err := events.Calendar(book.Calendar).Parse(events.Period(in.Period))
		closed = err == nil && until <= d.ClosedThrough(declared.Book)
	})
	switch {
	case !known:
		return nil, huma.Error404NotFound(fmt.Sprintf("token %q is not declared", token))
	case future != nil:
		return nil, huma.Error422UnprocessableEntity(future.Error())
	case !closed:
		return nil, huma.Error409Conflict(fmt.Sprintf("period %q of book %q is not closed", in.Period, declared.Book))
	}
	for try := 1; ; try++ {
		made, id, err := s.standing(ctx, token, events.Period(in.Period))
		if err != nil {
			return nil, err
		}
		if made == nil {
			made, err = s.distribute(ctx, id, declared, events.Period(in.Period), at)
		}
		if err != nil && try < 3 && errors.Is(err, errDeclared) {
			continue // another caller asked for the same meanwhile
		}
		if err != nil {
			return nil, err
		}
		if in.RecordDate != "" && !made.RecordDate.Equal(at) {
			return nil, huma.Error409Conflict(fmt.Sprintf("%s of %s was distributed as %s with the record date %s, and is not distributed again: money that is handed over for it later joins the next period's distribution",
				in.Period, token, made.ID, made.RecordDate.UTC().Format(time.RFC3339Nano)))
		}
		return &answer[Distribution]{pools(*made)[0]}, nil
	}
}

// errDeclared means that another caller declared the distribution meanwhile.
var errDeclared = errors.New("it was declared meanwhile")

// standing returns the distribution of a token and period that was made, or nil
// and the id of the next one.
func (s *Server) standing(ctx context.Context, token events.Token, period events.Period) (*distribution.Distribution, string, error) {
	var id string
	var taken []string
	var effective uint64
	s.Engine.Directory(func(d *directory.Directory) {
		effective = d.Position()
		id, taken = d.NextDistribution(token, period)
	})
	if len(taken) == 0 {
		return nil, id, nil
	}
	if err := s.effective(ctx, effective, "waiting for the result of distribution %s", taken[len(taken)-1]); err != nil {
		return nil, "", err
	}
	for _, declared := range taken {
		d, ok, err := s.Store.Distribution(ctx, declared)
		if err != nil {
			return nil, "", err
		}
		if ok && len(d.Pools) > 0 {
			return &d, "", nil
		}
	}
	return nil, id, nil
}

// distribute declares a distribution. If there is nothing to distribute,
// nothing is recorded.
func (s *Server) distribute(ctx context.Context, id string, token events.TokenDeclared, period events.Period, at time.Time) (*distribution.Distribution, error) {
	within, cancel := context.WithTimeout(ctx, settleBound)
	defer cancel()
	body, err := s.Engine.Declaration(within, id, token, period, at)
	if err != nil {
		return nil, unavailable(err)
	}
	inbox, err := s.Store.Inbox(ctx, token.Token, period, body.LedgerSeq)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(inbox, func(h distribution.Handover) bool { return h.Amount.Sign() > 0 }) {
		return nil, huma.Error409Conflict(fmt.Sprintf("the inbox of token %s has nothing from %s or before: either nothing was collected for its nodes, or all of it has been distributed", token.Token, period))
	}
	if body.RegisterSeq, err = s.recordPosition(ctx, token.Token, at); err != nil {
		return nil, unavailable(err)
	}
	body.RestsOn, err = s.rootsAt(ctx, place{"control", body.ControlSeq}, place{"ledger", body.LedgerSeq}, place{"register", body.RegisterSeq})
	if err != nil {
		return nil, unavailable(err)
	}
	// The id makes a repetition of the same declaration recognisable, also by
	// other callers.
	results, err := s.decide(ctx, proposal{id: events.DeclarationID(id), body: body})
	if err != nil {
		return nil, err
	}
	made, ok, err := s.Store.Distribution(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case ok && len(made.Pools) > 0:
		return &made, nil
	case results[0].Effect == "void":
		err := huma.Error409Conflict(results[0].WhyVoid())
		// Our declaration may be in effect and distribute nothing; then it is
		// not tried again.
		if b, declared := s.declaredAs(id); declared && (b.ControlSeq != body.ControlSeq || !b.RecordDate.Equal(body.RecordDate)) {
			return nil, errors.Join(errDeclared, err)
		}
		return nil, err
	}
	return nil, huma.Error409Conflict("nothing was distributed: the inbox is empty")
}

func (s *Server) declaredAs(id string) (b events.DistributionDeclared, ok bool) {
	s.Engine.Directory(func(d *directory.Directory) { b, ok = d.Distribution(id) })
	return b, ok
}

func (s *Server) payouts() {
	register(s, http.MethodPost, "/v1/payouts/export", "export-payouts", "Submit the planned payouts of a distribution, or of a payout run, to their rail as one batch",
		func(ctx context.Context, in *struct {
			Body struct {
				Distribution string `json:"distribution"`
			}
		}) (*answer[Batch], error) {
			return s.submit(ctx, in.Body.Distribution)
		})
	register(s, http.MethodGet, "/v1/payouts/batches", "list-batches", "List batches of payouts",
		func(ctx context.Context, in *struct {
			Distribution string `query:"distribution"`
		}) (*answer[[]Batch], error) {
			all, err := s.Store.Batches(ctx, in.Distribution)
			if err != nil {
				return nil, err
			}
			out := []Batch{}
			for _, b := range all {
				one, err := s.batch(ctx, b.Name)
				if err != nil {
					return nil, err
				}
				sum, err := summed(&one)
				if err != nil {
					return nil, err
				}
				out = append(out, sum)
			}
			return &answer[[]Batch]{out}, nil
		})
	register(s, http.MethodGet, "/v1/payouts/batches/{batch}", "read-batch", "Read the file of a batch, in the format of its rail",
		func(ctx context.Context, in *struct {
			Batch string `path:"batch"`
		}) (*railFile, error) {
			b, err := s.batch(ctx, in.Batch)
			if err != nil {
				return nil, err
			}
			var out bytes.Buffer
			kind, err := b.Export(&out)
			if err != nil {
				return nil, err
			}
			return &railFile{ContentType: kind, Body: out.Bytes()}, nil
		})
	register(s, http.MethodPost, "/v1/payouts/batches/{batch}/confirm", "confirm-payouts", "Record the rail's answer: CSV with payout_id and state, and reference, holder, asset and amount if the rail gives them",
		func(ctx context.Context, in *struct {
			Batch     string   `path:"batch"`
			File      string   `query:"file" doc:"Name of the file, for messages."`
			Format    string   `query:"format" doc:"csv or json; detected by default."`
			Separator string   `query:"separator" doc:"Separator of the fields of CSV."`
			Comment   string   `query:"comment" doc:"Lines that begin with this character are comments."`
			Skip      int      `query:"skip" minimum:"0" doc:"Number of lines to skip before the header line."`
			Columns   []string `query:"columns" doc:"Names of the columns, if the file has no header line."`
			Decimal   string   `query:"decimal" doc:"Decimal mark of numbers."`
			Thousands string   `query:"thousands" doc:"Thousands separator of numbers."`
			Column    []string `query:"column,explode" doc:"Name of a column in the file, such as payout_id=NAME."`
			RawBody   []byte   `contentType:"text/csv"`
		}) (*answer[Applied], error) {
			b, ok, err := s.Store.Batch(ctx, in.Batch)
			if err != nil {
				return nil, err
			}
			if !ok {
				return nil, huma.Error404NotFound(fmt.Sprintf("batch %q does not exist", in.Batch))
			}
			flags := rowfile.Flags{
				Format: in.Format, Separator: in.Separator, Comment: in.Comment, Skip: in.Skip, Columns: in.Columns, Decimal: in.Decimal, Thousands: in.Thousands,
			}
			how := rails.Answers{Named: map[string]string{}}
			if how.Options, err = flags.Options(in.File); err != nil {
				return nil, huma.Error422UnprocessableEntity(err.Error())
			}
			for _, named := range in.Column {
				ours, theirs, ok := strings.Cut(named, "=")
				if !ok || theirs == "" {
					return nil, huma.Error422UnprocessableEntity(fmt.Sprintf("column: %q is not of the form payout_id=NAME", named))
				}
				how.Named[ours] = theirs
			}
			outcomes, err := rails.ReadConfirmations(bytes.NewReader(in.RawBody), how)
			if err != nil {
				return nil, huma.Error422UnprocessableEntity(err.Error())
			}
			var corrected uint64
			s.Engine.Directory(func(d *directory.Directory) { corrected = d.Corrected(b.Distribution) })
			var proposals []proposal
			for _, c := range rails.Confirmations(in.Batch, b.Rail, outcomes) {
				id, err := events.ConfirmationID(c, corrected)
				if err != nil {
					return nil, huma.Error422UnprocessableEntity(fmt.Sprintf("%s: %v", in.File, err))
				}
				proposals = append(proposals, proposal{id: id, body: c})
			}
			return s.decided(ctx, proposals)
		})
	register(s, http.MethodPost, "/v1/payouts/corrections/{payout}", "correct-payout", "Decide what became of a payout, against the answer of its rail",
		func(ctx context.Context, in *struct {
			Payout string `path:"payout"`
			Body   Correct
		}) (*answer[Corrected], error) {
			return s.correctPayout(ctx, in.Payout, in.Body)
		})
}

// railFile is an answer with the file for a rail.
type railFile struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

// submit decides that a distribution's planned payouts are handed to their
// rail. Asked again, it answers with the batch that was made.
func (s *Server) submit(ctx context.Context, distribution string) (*answer[Batch], error) {
	id, body, err := distribute.Submission(ctx, s.Store, distribution)
	if err != nil {
		return nil, err
	}
	if _, err := s.decideOne(ctx, id, body); err != nil {
		return nil, err
	}
	b, ok, err := distribute.BatchOf(ctx, s.Store, body.Batch)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, huma.Error404NotFound(fmt.Sprintf("distribution %q has no planned payouts", distribution))
	}
	sum, err := summed(&b)
	return &answer[Batch]{sum}, err
}

// batch reads a batch that was submitted.
func (s *Server) batch(ctx context.Context, name string) (distribute.RailBatch, error) {
	b, ok, err := distribute.BatchOf(ctx, s.Store, name)
	if err == nil && !ok {
		err = huma.Error404NotFound(fmt.Sprintf("batch %q does not exist", name))
	}
	return b, err
}

// summed adds up the payouts of a batch: amounts of different assets are never added.
func summed(b *distribute.RailBatch) (sum Batch, err error) {
	sum = Batch{Batch: b.Name, Rail: b.Rail, Distribution: b.Distribution, Payouts: len(b.Payouts), Amounts: []Sum{}}
	for i := range b.Payouts {
		p := &b.Payouts[i]
		at, known := slices.BinarySearchFunc(sum.Amounts, p.Asset, func(s Sum, a money.Asset) int { return cmp.Compare(s.Asset, a) })
		if !known {
			sum.Amounts = slices.Insert(sum.Amounts, at, Sum{Asset: p.Asset})
		}
		if sum.Amounts[at].Amount, err = sum.Amounts[at].Amount.Add(p.Amount); err != nil {
			return sum, fmt.Errorf("adding up batch %s: %w", b.Name, err)
		}
	}
	return sum, nil
}
