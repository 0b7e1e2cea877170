package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/internal/rowfile"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// payee is one payout in the exported file.
type payee struct {
	Holder events.Holder
	Token  events.Token
	Asset  money.Asset
	Amount money.Amount
}

// distribute declares a token's distribution of a closed period, exports its
// payouts and confirms them as a bank would. answer gives each payout's state
// and reference. If there is nothing to distribute it returns nothing and adds
// the reason to the result's notes.
func (st *stage) distribute(ctx context.Context, token events.Token, period events.Period, answer func(i int) (state, reference string), result *demoResult) (made *api.Distribution, paid []payee, err error) {
	var d api.Distribution
	err = st.server.call(ctx, http.MethodPost, "/v1/distributions", api.Declare{Token: string(token), Period: string(period)}, &d)
	var refusal *refusedError
	if errors.As(err, &refusal) && refusal.status == http.StatusConflict {
		result.note("token %s: %s", token, refusal.Error())
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("distributing to the holders of %s: %w", token, err)
	}
	if d.Payouts == 0 {
		return &d, nil, nil
	}
	var batch api.Batch
	if err := st.server.call(ctx, http.MethodPost, "/v1/payouts/export", map[string]string{"distribution": d.Distribution}, &batch); err != nil {
		return &d, nil, fmt.Errorf("exporting the payouts of %s: %w", d.Distribution, err)
	}
	path := "/v1/payouts/batches/" + url.PathEscape(batch.Batch)
	var file, confirmation bytes.Buffer
	if err := st.server.send(ctx, http.MethodGet, path, "", nil, &file); err != nil {
		return &d, nil, err
	}
	if paid, err = confirm(&file, &confirmation, token, answer); err != nil {
		return &d, nil, fmt.Errorf("reading the payouts of %s: %w", d.Distribution, err)
	}
	var done api.Applied
	if err := st.server.send(ctx, http.MethodPost, path+"/confirm?file=confirmation.csv", "text/csv", &confirmation, &done); err != nil {
		return &d, nil, fmt.Errorf("confirming the payouts of %s: %w", d.Distribution, err)
	}
	for _, v := range done.Void {
		return &d, nil, fmt.Errorf("confirming the payouts of %s: %s", d.Distribution, v.Reason)
	}
	return &d, paid, nil
}

// confirm writes the rail's answer to a file of payouts, and returns the payees
// who were paid.
func confirm(file io.Reader, to io.Writer, token events.Token, answer func(i int) (state, reference string)) ([]payee, error) {
	rows, err := rowfile.New(file, rowfile.Options{Name: "payouts", Format: rowfile.CSV})
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Only read.
	var id, holder, asset, amount rowfile.Column
	for _, column := range []struct {
		name string
		at   *rowfile.Column
	}{{"payout_id", &id}, {"holder", &holder}, {"asset", &asset}, {"amount", &amount}} {
		if *column.at, err = rows.Column(column.name); err != nil {
			return nil, err
		}
	}
	out := csv.NewWriter(to)
	if err := out.Write([]string{"payout_id", "state", "reference"}); err != nil {
		return nil, err
	}
	var paid []payee
	for i := 0; ; i++ {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		state, reference := answer(i)
		if err := out.Write([]string{row.Text(id), state, reference}); err != nil {
			return nil, err
		}
		if state != "confirmed" {
			continue
		}
		paidOut, err := money.ParseAmount(row.Text(amount))
		if err != nil {
			return nil, err
		}
		paid = append(paid, payee{events.Holder(strings.Clone(row.Text(holder))), token, money.Asset(strings.Clone(row.Text(asset))), paidOut})
	}
	out.Flush()
	return paid, out.Error()
}

// confirmed is the answer of a rail that makes every payout.
func confirmed(int) (state, reference string) { return "confirmed", "demo" }
