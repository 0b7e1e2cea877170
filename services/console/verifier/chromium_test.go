package verifier_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// patience is how long one answer of the browser may take on a busy machine.
const patience = 2 * time.Minute

// A browser is one page of a headless Chromium, driven through the DevTools
// protocol over a pair of pipes: JSON messages, each ended by a zero byte.
type browser struct {
	t       *testing.T
	in      *os.File
	from    *os.File
	out     *bufio.Reader
	id      int
	session string
	// What the page did while the test waited for calls.
	requests   []string // addresses that it asked for
	complaints []string // exceptions, and errors in the console
}

// message is a call, an answer or an event.
type message struct {
	ID        int             `json:"id,omitempty"`
	Session   string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    json.RawMessage `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Exception *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// chromium starts a browser, or skips the test if there is none.
func chromium(t *testing.T) *browser {
	t.Helper()
	if testing.Short() {
		t.Skip("a real browser is for the whole run")
	}
	var program string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			program = found
			break
		}
	}
	if program == "" {
		t.Skip("Chromium is absent: task setup installs it")
	}
	toBrowser, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, fromBrowser, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	profile, err := os.MkdirTemp("", "aliquot-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program, "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-quic",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--disable-extensions", "--disable-dev-shm-usage", "--hide-scrollbars", "--user-data-dir="+profile, "about:blank")
	c.ExtraFiles = []*os.File{toBrowser, fromBrowser} // 3 and 4
	c.Stderr = &log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = toBrowser.Close(), fromBrowser.Close()
	b := &browser{t: t, in: in, from: out, out: bufio.NewReader(out)}
	t.Cleanup(func() {
		_ = in.Close() // which ends the browser
		ended := make(chan error, 1)
		go func() { ended <- c.Wait() }()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = c.Process.Kill()
			<-ended
		}
		_ = out.Close()
		// The browser's own child processes may still be writing there.
		for range 50 {
			if os.RemoveAll(profile) == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if t.Failed() {
			for _, line := range strings.Split(log.String(), "\n") {
				if !strings.Contains(line, "dbus/") { // there is no desktop to talk to
					t.Logf("the browser said: %s", line)
				}
			}
		}
	})
	var target struct {
		ID string `json:"targetId"`
	}
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct {
		Session string `json:"sessionId"`
	}
	b.call("Target.attachToTarget", map[string]any{"targetId": target.ID, "flatten": true}, &attached)
	b.session = attached.Session
	for _, domain := range []string{"Page", "Network", "Runtime", "Log", "DOM", "Accessibility"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

// call calls a method of the protocol and decodes its result.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	b.id++
	m := message{ID: b.id, Session: b.session, Method: method}
	if params != nil {
		data, err := json.Marshal(params)
		if err != nil {
			b.t.Fatal(err)
		}
		m.Params = data
	}
	data, err := json.Marshal(m)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(data, 0)); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	if err := b.from.SetReadDeadline(time.Now().Add(patience)); err != nil {
		b.t.Fatal(err)
	}
	for {
		data, err := b.out.ReadBytes(0)
		if err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
		var answer message
		if err := json.Unmarshal(data[:len(data)-1], &answer); err != nil {
			b.t.Fatal(err)
		}
		if answer.ID != b.id {
			b.note(answer)
			continue
		}
		if answer.Exception != nil {
			b.t.Fatalf("%s: %s", method, answer.Exception.Message)
		}
		if result != nil {
			if err := json.Unmarshal(answer.Result, result); err != nil {
				b.t.Fatalf("%s: %v", method, err)
			}
		}
		return
	}
}

// note records the requests and errors of an event.
func (b *browser) note(m message) {
	var event struct {
		Request struct {
			URL string `json:"url"`
		} `json:"request"`
		Entry struct {
			Level string `json:"level"`
			Text  string `json:"text"`
		} `json:"entry"`
		Details struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	if len(m.Params) > 0 && json.Unmarshal(m.Params, &event) != nil {
		return
	}
	switch m.Method {
	case "Network.requestWillBeSent":
		b.requests = append(b.requests, event.Request.URL)
	case "Log.entryAdded":
		if event.Entry.Level == "error" || event.Entry.Level == "warning" {
			b.complaints = append(b.complaints, event.Entry.Text)
		}
	case "Runtime.exceptionThrown":
		b.complaints = append(b.complaints, event.Details.Text+" "+event.Details.Exception.Description)
	}
}

// open shows a page, and returns when its script has run.
func (b *browser) open(url string) {
	b.t.Helper()
	b.requests, b.complaints = nil, nil
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	b.await(fmt.Sprintf("location.href === %q && document.documentElement.dataset.ready === 'true'", url))
}

// evaluate decodes the value of an expression and waits for a promise. The error
// is what the expression threw.
func (b *browser) evaluate(expression string, to any) error {
	b.t.Helper()
	var answer struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true, "allowUnsafeEvalBlockedByCSP": false}, &answer)
	if answer.Exception != nil {
		return errors.New(answer.Exception.Text + " " + answer.Exception.Exception.Description)
	}
	if to == nil || len(answer.Result.Value) == 0 {
		return nil
	}
	return json.Unmarshal(answer.Result.Value, to)
}

// must does the same as evaluate for an expression that must not throw.
func (b *browser) must(expression string, to any) {
	b.t.Helper()
	if err := b.evaluate(expression, to); err != nil {
		b.t.Fatalf("%.200s: %v", expression, err)
	}
}

// await waits until a condition holds.
func (b *browser) await(condition string) {
	b.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var holds bool
		if b.evaluate("Boolean("+condition+")", &holds) == nil && holds {
			return
		}
	}
	var page string
	_ = b.evaluate("document.body.innerText", &page)
	b.t.Fatalf("waited in vain for %s; the page says: %.2000s; complaints: %q", condition, page, b.complaints)
}

// choose gives files to a file input, as a person does who chooses them.
func (b *browser) choose(selector string, files ...string) {
	b.t.Helper()
	var document struct {
		Root struct {
			Node int `json:"nodeId"`
		} `json:"root"`
	}
	b.call("DOM.getDocument", nil, &document)
	var found struct {
		Node int `json:"nodeId"`
	}
	b.call("DOM.querySelector", map[string]any{"nodeId": document.Root.Node, "selector": selector}, &found)
	b.call("DOM.setFileInputFiles", map[string]any{"nodeId": found.Node, "files": files}, nil)
}

// drop drops files onto the page.
func (b *browser) drop(files ...string) {
	b.t.Helper()
	for _, kind := range []string{"dragEnter", "dragOver", "drop"} {
		b.call("Input.dispatchDragEvent", map[string]any{
			"type": kind, "x": 200, "y": 120,
			"data": map[string]any{"items": []any{}, "files": files, "dragOperationsMask": 1},
		}, nil)
	}
}

// media sets the values that style sheets can query.
func (b *browser) media(scheme string, width int) {
	b.t.Helper()
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false}, nil)
}

// picture returns the whole page as PNG.
func (b *browser) picture() []byte {
	b.t.Helper()
	var shot struct {
		Data []byte `json:"data"`
	}
	b.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true}, &shot)
	return shot.Data
}
