package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

func (c *Client) post(ctx context.Context, e *encoder) (answer events.Answer, after time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.target, bytes.NewReader(e.body))
	if err != nil {
		return answer, 0, err
	}
	h := request.Header
	h.Set("Authorization", "Bearer "+c.config.Token)
	h.Set("Content-Type", e.media)
	if e.coding != "" {
		h.Set("Content-Encoding", e.coding)
	}
	if c.config.Provider != "" {
		h.Set("Aliquot-Provider", string(c.config.Provider))
	}
	if c.config.ReceivedFromEvent {
		h.Set("Aliquot-Received", "event")
	}
	if c.config.Wait >= time.Second {
		h.Set("Prefer", "wait="+strconv.Itoa(int(c.config.Wait/time.Second)))
	}
	status, header, body, err := c.do(request)
	if err != nil {
		return answer, 0, err
	}
	if seconds, err := strconv.Atoi(header.Get("Retry-After")); err == nil && seconds > 0 {
		after = c.config.LastWait
		if int64(seconds) < int64(after/time.Second) { // Compared as seconds, because any number may arrive and a duration could overflow.
			after = time.Duration(seconds) * time.Second
		}
	}
	switch status {
	case http.StatusOK, http.StatusAccepted, http.StatusUnprocessableEntity:
		if err := json.Unmarshal(body, &answer); err != nil {
			// The answer was cut off: the batch is stored, and sending it again
			// is harmless.
			return answer, after, fmt.Errorf("reading the answer: %w", err)
		}
		return answer, 0, nil
	}
	return answer, after, problemOf(status, body)
}

func (c *Client) do(request *http.Request) (status int, header http.Header, body []byte, err error) {
	response, err := c.config.HTTP.Do(request)
	if err != nil {
		return 0, nil, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return response.StatusCode, response.Header, body, err
}

func problemOf(status int, body []byte) *ProblemError {
	problem := &ProblemError{}
	if json.Unmarshal(body, problem) != nil || problem.Title == "" {
		problem.Title = http.StatusText(status)
		problem.Detail = strings.ToValidUTF8(string(body[:min(len(body), 200)]), "\uFFFD")
	}
	problem.Status = status
	return problem
}

// Outcomes asks what became of accepted events. It waits up to wait, in whole
// seconds, for them to be settled.
func (c *Client) Outcomes(ctx context.Context, h events.Handle, wait time.Duration) (events.Outcomes, error) {
	query := url.Values{}
	query.Set("partition", strconv.Itoa(h.Partition))
	query.Set("position", strconv.FormatUint(h.Position, 10))
	query.Set("first", strconv.Itoa(h.First))
	query.Set("count", strconv.Itoa(h.Count))
	query.Set("wait", strconv.Itoa(int(wait/time.Second)))
	target := strings.TrimSuffix(c.target, "events") + "usage/outcomes?" + query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return events.Outcomes{}, fmt.Errorf("asking for outcomes: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+c.config.Token)
	status, _, body, err := c.do(request)
	if err == nil && status != http.StatusOK {
		err = problemOf(status, body)
	}
	var outcomes events.Outcomes
	if err == nil {
		err = json.Unmarshal(body, &outcomes)
	}
	if err != nil {
		return events.Outcomes{}, fmt.Errorf("asking for outcomes: %w", err)
	}
	return outcomes, nil
}
