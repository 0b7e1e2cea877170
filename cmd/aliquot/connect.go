package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/cmd/internal/host"
	"github.com/aliquot-engine/aliquot/pkg/plain"
)

// server is the API that a command talks to.
type server struct {
	url   string
	token string
	as    string
	close func() error
	watch waiting // reports requests that take long
}

// connect finds the API: by URL, by the folder's running process, or by
// starting the services on the folder for the length of this command.
func (r *root) connect(ctx context.Context) (*server, error) {
	if r.URL != "" {
		if r.Token == "" {
			return nil, misused("--url needs --bearer (or ALIQUOT_BEARER)")
		}
		return &server{url: strings.TrimSuffix(r.URL, "/"), token: r.Token, as: r.As, watch: newWaiting(r), close: func() error { return nil }}, nil
	}
	url, token, ok := host.Running(ctx, r.Data)
	var d *host.Process
	if !ok {
		var err error
		config := host.Config{Dir: r.Data, DatabaseURL: r.DatabaseURL, Listen: "127.0.0.1:0", Logger: quietLogger()}
		d, err = openFolder(ctx, config, func() bool { // the holder of the folder may be about to answer
			url, token, ok = host.Running(ctx, r.Data)
			return ok
		})
		if err != nil {
			return nil, err
		}
	}
	if d == nil {
		if r.onLine["database-url"] {
			return nil, misused("--database-url has no effect: a server holds %s and uses its own database", r.Data)
		}
		if r.Token != "" {
			token = r.Token
		}
		return &server{url: url, token: token, as: r.As, watch: newWaiting(r), close: func() error { return nil }}, nil
	}
	token = r.Token
	if token == "" {
		token = d.Token()
	}
	return &server{url: d.URL(), token: token, as: r.As, watch: newWaiting(r), close: d.Close}, nil
}

// quietLogger logs only errors.
func quietLogger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}

// problem is an answer of RFC 9457.
type problem struct {
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Errors []struct {
		Message  string `json:"message"`
		Location string `json:"location"`
		Value    text   `json:"value"`
	} `json:"errors"`
}

// text is a JSON member that is used only if it is a string; any other value is
// read as empty.
type text string

// UnmarshalJSON implements [json.Unmarshaler].
func (t *text) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) == nil {
		*t = text(s)
	}
	return nil
}

// call sends one request with a JSON body and decodes the JSON answer into out.
func (s *server) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	kind := ""
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body, kind = bytes.NewReader(data), "application/json"
	}
	return s.send(ctx, method, path, kind, body, out)
}

// send sends one request with any body.
func (s *server) send(ctx context.Context, method, path, kind string, body io.Reader, out any) error {
	request, err := http.NewRequestWithContext(ctx, method, s.url+path, body)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	request.Header.Set(api.AsHeader, s.as)
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	sent, received := &counter{from: request.Body}, &counter{}
	if request.Body != nil && request.Body != http.NoBody { // Content-Length stays set.
		request.Body = struct {
			io.Reader
			io.Closer
		}{sent, request.Body}
	}
	end := s.watch.during(about(path), sent, received)
	defer end()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	received.from = response.Body
	if response.StatusCode >= 400 || out == io.Writer(os.Stdout) {
		end() // Others will write to the terminal.
	}
	if response.StatusCode >= 400 {
		return answered(response)
	}
	if missing := response.Header.Get(api.UnsettledHeader); missing != "" {
		end()
		fmt.Fprintln(os.Stderr, "aliquot: not all usage is in this answer: "+missing)
	}
	if to, ok := out.(io.Writer); ok {
		_, err := io.Copy(to, received)
		return err
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(received).Decode(out); err != nil {
		return fmt.Errorf("reading the answer of %s: %w", path, err)
	}
	return nil
}

// about returns the part of a path that says what a request is about.
func about(path string) string {
	path, _, _ = strings.Cut(path, "?")
	return strings.TrimPrefix(path, "/v1/")
}

// answered turns an error answer into an error that has all of its text.
func answered(response *http.Response) error {
	data, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	var p problem
	if json.Unmarshal(data, &p) != nil || p.Detail == "" && p.Title == "" {
		p = problem{Detail: response.Status + ": " + strings.TrimSpace(string(data))}
	}
	return &refusedError{response.StatusCode, p}
}

// refusedError is an error answer of the API.
type refusedError struct {
	status  int // the HTTP status code
	problem problem
}

func (e *refusedError) Error() string {
	said := plain.Text(cmp.Or(e.problem.Detail, e.problem.Title))
	for _, one := range e.problem.Errors {
		said += "\n  " + plain.Text(strings.TrimSpace(one.Location+" "+one.Message))
	}
	return said
}

// print writes a value as JSON, or as text with the given function.
func (r *root) print(value any, text func(w io.Writer)) error {
	if r.JSON {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		if err := e.Encode(value); err != nil {
			return err
		}
		_, err := os.Stdout.Write(plain.JSON(b.Bytes()))
		return err
	}
	// The text functions make quoted input safe themselves; this catches what
	// one of them has missed.
	var b strings.Builder
	text(&b)
	_, err := io.WriteString(os.Stdout, plain.Lines(b.String()))
	return err
}

// ask connects, asks one thing and disconnects.
func (r *root) ask(ctx context.Context, method, path string, in, out any) (err error) {
	s, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return s.call(ctx, method, path, in, out)
}
