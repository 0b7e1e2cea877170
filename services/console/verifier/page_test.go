package verifier_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/receipt"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/console/verifier"
)

var pictures = flag.String("pictures", "", "folder to write pictures of the page to, for people to look at")

const samples = "../../../pkg/receipt/testdata"

func sample(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(samples, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func save(t *testing.T, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func command(args ...string) error {
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// build returns the page from the present source, made as the task build makes it,
// once for all tests.
func build(t *testing.T) verifier.Page {
	t.Helper()
	page, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return page
}

var built = sync.OnceValues(func() (page verifier.Page, err error) {
	folder, err := os.MkdirTemp("", "aliquot-page-")
	if err != nil {
		return verifier.Page{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if err := command("run", "./build", "-o", folder); err != nil {
		return verifier.Page{}, err
	}
	program, err := verifier.ReadProgram(os.DirFS(folder))
	if err != nil {
		return verifier.Page{}, err
	}
	return program.Page()
})

// native builds the command aliquot-verify for this machine.
func native(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "aliquot-verify")
	if err := command("build", "-o", file, "../../../cmd/aliquot-verify"); err != nil {
		t.Fatal(err)
	}
	return file
}

// said is a verdict as a person sees it.
type said struct {
	State  string // yes, no, maybe
	Why    string
	Proved []string
	Stated []string
	Signed []string
}

// bySelf runs the native command.
func bySelf(t *testing.T, program, file, key string) said {
	t.Helper()
	c := exec.Command(program, "-key", key, "-json", file)
	var out, complaint bytes.Buffer
	c.Stdout, c.Stderr = &out, &complaint
	var exit *exec.ExitError
	if err := c.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if c.ProcessState.ExitCode() == 2 {
		return said{State: "maybe", Why: strings.TrimPrefix(strings.TrimSpace(complaint.String()), "aliquot-verify: ")}
	}
	var v receipt.Verdict
	if err := json.Unmarshal(out.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	if c.ProcessState.ExitCode() != 0 {
		return said{State: "no", Why: v.Fault}
	}
	s := said{State: "yes", Why: "Receipt of " + string(v.Kind) + " " + v.ID, Proved: v.Proved, Stated: v.Stated}
	for _, l := range v.Signed {
		s.Signed = append(s.Signed, strings.Join([]string{l.Origin, l.By, l.Root.String()}, " "))
	}
	return s
}

// byPage reads the verdict that the page shows, once there is one.
func byPage(b *browser) said {
	b.t.Helper()
	b.await(`verdict.dataset.state !== "empty" && !verdict.hasAttribute("aria-busy")`)
	var s said
	b.must(`(() => {
		const lines = (id) => [...document.querySelectorAll("#" + id + " li")].map((e) => e.textContent);
		const value = (li, term) => [...li.querySelectorAll("dt")].find((e) => e.textContent === term).nextSibling.textContent;
		const signed = [...document.querySelectorAll("#signed li")];
		return {
			State: verdict.dataset.state,
			Why: document.querySelector("#verdict .why")?.textContent ?? "",
			Proved: lines("proved"), Stated: lines("stated"),
			Signed: signed.map((li) => [value(li, "log"), value(li, "signed by"), value(li, "root")].join(" ")),
		};
	})()`, &s)
	return s
}

func same(a, b said) bool {
	return a.State == b.State && a.Why == b.Why &&
		slices.Equal(a.Proved, b.Proved) && slices.Equal(a.Stated, b.Stated) && slices.Equal(a.Signed, b.Signed)
}

// attempt is a receipt and a key, with the verdict that must come of them.
type attempt struct {
	name, want string
	receipt    []byte
	key        []byte
}

// attempts returns every sample, and samples with everything that can be wrong
// with one.
func attempts(t *testing.T) []attempt {
	key := bytes.TrimSpace(sample(t, "key.pub"))
	files, err := filepath.Glob(filepath.Join(samples, "*.json"))
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	var list []attempt
	for _, file := range files {
		name := filepath.Base(file)
		data := sample(t, name)
		list = append(list,
			attempt{name, "yes", data, key},
			attempt{"half of " + name, "no", data[:len(data)/2], key},
			attempt{"a changed hash in " + name, "no", edit(t, data, func(r *receipt.Receipt) { r.Hashes[0][5] ^= 1 }), key},
			attempt{"changed data in " + name, "no", edit(t, data, func(r *receipt.Receipt) { r.Data[len(r.Data)/2] ^= 1 }), key},
			attempt{"a changed checkpoint in " + name, "no", edit(t, data, func(r *receipt.Receipt) {
				r.Logs[0].Checkpoint = strings.Replace(r.Logs[0].Checkpoint, "\n", "\n1", 1)
			}), key})
	}
	event, payout := sample(t, "event.json"), sample(t, "payout.json")
	stranger, err := tlog.NewKey([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	return append(list,
		attempt{"a charge of more", "no", edit(t, event, func(r *receipt.Receipt) {
			r.Event.Charge.Amount, _ = r.Event.Charge.Amount.Add(r.Event.Charge.Amount)
		}), key},
		attempt{"another holder", "no", edit(t, payout, func(r *receipt.Receipt) { r.Payout.Holder = "dave" }), key},
		attempt{"an id that is a verdict", "yes", edit(t, payout, func(r *receipt.Receipt) { r.ID = "po-1\n✓ paid twice\x1b[2J\u202e<b>" }), key},
		attempt{"a state that is a sentence", "no", edit(t, payout, func(r *receipt.Receipt) { r.Payout.State = "confirmed, and paid twice" }), key},
		attempt{"a member in two spellings", "no", bytes.Replace(payout, []byte(`"payout":{`), []byte(`"PAYOUT":{},"payout":{`), 1), key},
		attempt{"a name that is markup", "no", edit(t, payout, func(r *receipt.Receipt) { r.Logs[0].Name = "<img src=x onerror=alert(1)>" }), key},
		attempt{"the key of another installation", "no", event, []byte(stranger.Public().String())},
		attempt{"something behind it", "no", append(slices.Clone(event), "{}"...), key},
		attempt{"no JSON", "no", []byte("receipt"), key},
		attempt{"bytes that are no text", "no", []byte{0xff, 0xfe, 0, 0x80}, key},
		attempt{"more than a receipt can have", "maybe", bytes.Repeat([]byte(" "), receipt.MaxReceipt+1), key},
		attempt{"no key", "maybe", event, []byte("aliquot/none+0+0")},
		attempt{"a key cut off", "maybe", event, key[:len(key)-4]})
}

func edit(t *testing.T, data []byte, change func(*receipt.Receipt)) []byte {
	t.Helper()
	r, err := receipt.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	change(r)
	changed, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

// clear empties the form.
func clear(b *browser) {
	b.t.Helper()
	b.must(`document.getElementById("clear").click()`, nil)
	b.await(`verdict.dataset.state === "empty"`)
}

func TestTheBrowserSaysWhatTheCommandSays(t *testing.T) {
	t.Parallel()
	b := chromium(t)
	program := native(t)
	page := build(t)
	name, err := page.Write(filepath.Join(t.TempDir(), "a folder"))
	if err != nil {
		t.Fatal(err)
	}
	address := (&url.URL{Scheme: "file", Path: name}).String()
	b.open(address)
	for _, a := range attempts(t) {
		file, key := save(t, "receipt.json", a.receipt), save(t, "log.pub", a.key)
		want := bySelf(t, program, file, key)
		if want.State != a.want {
			t.Errorf("%s: the command says %+v", a.name, want)
		}
		clear(b)
		b.choose("#receipt-file", file)
		b.choose("#key-file", key)
		if got := byPage(b); !same(got, want) {
			t.Errorf("%s: the page says %+v, the command %+v", a.name, got, want)
		}
	}
	quiet(b, address)
}

// quiet fails the test if the page requested something or reported an error.
func quiet(b *browser, address string) {
	b.t.Helper()
	for _, asked := range b.requests {
		if asked != address && !strings.HasPrefix(asked, "data:") {
			b.t.Errorf("the page asked for %s", asked)
		}
	}
	if len(b.complaints) > 0 {
		b.t.Errorf("complaints of the page: %q", b.complaints)
	}
}

func TestReceiptsArePastedDroppedAndReplaced(t *testing.T) {
	t.Parallel()
	b := chromium(t)
	page := build(t)
	server := httptest.NewServer(page)
	defer server.Close()
	b.open(server.URL + "/verify")
	put := func(box, text string) {
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		b.must(`(() => { const e = document.getElementById("`+box+`"); e.focus(); e.value = ""; document.execCommand("insertText", false, `+string(quoted)+`); })()`, nil)
	}
	expect := func(what, state, why string) {
		t.Helper()
		b.await(`verdict.dataset.state === "` + state + `" && !verdict.hasAttribute("aria-busy")`)
		if got := byPage(b); !strings.Contains(got.Why, why) {
			t.Errorf("%s: %+v", what, got)
		}
	}
	b.must(`document.getElementById("verify").click()`, nil)
	expect("nothing", "maybe", "Give the receipt")
	put("receipt-text", string(sample(t, "event.json")))
	b.must(`document.getElementById("verify").click()`, nil)
	expect("no key", "maybe", "Give the public key")
	put("key-text", string(sample(t, "key.pub")))
	expect("pasted", "yes", "Receipt of event")
	put("receipt-text", strings.Replace(string(sample(t, "event.json")), "aliquot receipt 1", "aliquot receipt 9", 1))
	expect("another pasted over it", "no", "not of the format")
	clear(b)

	b.drop(filepath.Join(absolute(t), "key.pub"), filepath.Join(absolute(t), "payout.json"))
	expect("dropped together", "yes", "Receipt of payout")
	var inputs []string
	b.must(`["receipt-file", "key-file"].map((id) => [...document.getElementById(id).files].map((f) => f.name).join())`, &inputs)
	if !slices.Equal(inputs, []string{"payout.json", "key.pub"}) {
		t.Errorf("the inputs show %q", inputs)
	}
	forged := save(t, "forged.json", edit(t, sample(t, "payout.json"), func(r *receipt.Receipt) { r.Payout.Units.Lo++ }))
	b.drop(forged)
	expect("a forged one dropped over it", "no", "the holder held")
	b.drop(filepath.Join(absolute(t), "payout.json"), filepath.Join(absolute(t), "event.json"))
	expect("two", "maybe", "one receipt at a time")
	quiet(b, server.URL+"/verify")

	// The policy is enforced: code from elsewhere does not run, and no request is
	// made.
	if err := b.evaluate(`fetch("/livez")`, nil); err == nil {
		t.Error("the page may ask for other things")
	}
	if err := b.evaluate(`eval("1")`, nil); err == nil {
		t.Error("the page may run text as a script")
	}
	b.must(`(() => { const s = document.createElement("style"); s.textContent = "body { display: none }"; document.head.append(s); })()`, nil)
	var display string
	b.must(`getComputedStyle(document.body).display`, &display)
	if display == "none" {
		t.Error("another style is shown")
	}
}

func absolute(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(samples)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Everybody can read the page: every control has a name, the contrast is at least
// 4.5 to 1 in both colour schemes, and nothing is wider than a narrow window.
func TestThePageIsReadable(t *testing.T) {
	t.Parallel()
	b := chromium(t)
	page := build(t)
	name, err := page.Write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b.open((&url.URL{Scheme: "file", Path: name}).String())
	forged := save(t, "forged.json", edit(t, sample(t, "payout.json"), func(r *receipt.Receipt) { r.Payout.Units.Lo++ }))
	shown := []struct{ name, receipt, key, state string }{
		{"empty", "", "", "empty"},
		{"verified", filepath.Join(absolute(t), "payout.json"), filepath.Join(absolute(t), "key.pub"), "yes"},
		{"refused", forged, filepath.Join(absolute(t), "key.pub"), "no"},
		{"unread", forged, save(t, "log.pub", []byte("key")), "maybe"},
	}
	for _, s := range shown {
		clear(b)
		if s.receipt != "" {
			b.choose("#receipt-file", s.receipt)
			b.choose("#key-file", s.key)
		}
		b.await(`verdict.dataset.state === "` + s.state + `" && !verdict.hasAttribute("aria-busy")`)
		for _, scheme := range []string{"light", "dark"} {
			for _, width := range []int{1000, 320} {
				b.media(scheme, width)
				if *pictures != "" {
					file := filepath.Join(*pictures, s.name+"-"+scheme+"-"+map[int]string{1000: "wide", 320: "narrow"}[width]+".png")
					if err := os.WriteFile(file, b.picture(), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				var faults []string
				b.must(unreadable, &faults)
				for _, f := range faults {
					t.Errorf("%s, %s, %d wide: %s", s.name, scheme, width, f)
				}
			}
		}
	}
	var tree struct {
		Nodes []struct {
			Ignored bool `json:"ignored"`
			Role    struct {
				Value string `json:"value"`
			} `json:"role"`
			Name struct {
				Value string `json:"value"`
			} `json:"name"`
		} `json:"nodes"`
	}
	b.call("Accessibility.getFullAXTree", nil, &tree)
	operated := 0
	for _, n := range tree.Nodes {
		if !n.Ignored && slices.Contains([]string{"button", "textbox", "status"}, n.Role.Value) {
			operated++
			if n.Name.Value == "" {
				t.Errorf("a %s has no name", n.Role.Value)
			}
		}
	}
	if operated < 7 {
		t.Errorf("only %d things to operate or to be told are seen by assistive technology", operated)
	}
}

// unreadable lists texts with too little contrast (WCAG 2.2, 1.4.3), and elements
// that make the page wider than the window.
const unreadable = `(() => {
	const channels = (c) => { const m = c.match(/[\d.]+/g).map(Number); return { rgb: m.slice(0, 3), alpha: m[3] ?? 1 }; };
	const luminance = (rgb) => { const [r, g, b] = rgb.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const ground = (e) => { for (; e; e = e.parentElement) { const c = channels(getComputedStyle(e).backgroundColor); if (c.alpha === 1) return c.rgb; } return matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0] : [255, 255, 255]; };
	const faults = [];
	for (const e of document.querySelectorAll("body *")) {
		if (e.closest("script, noscript") || !e.checkVisibility() || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
		const [a, b] = [luminance(channels(getComputedStyle(e).color).rgb), luminance(ground(e))].sort((x, y) => y - x);
		const ratio = (a + 0.05) / (b + 0.05);
		if (ratio < 4.5) faults.push("contrast " + ratio.toFixed(2) + " of " + e.textContent.trim().slice(0, 40));
	}
	if (document.documentElement.scrollWidth > innerWidth) faults.push("the page is " + document.documentElement.scrollWidth + " wide");
	return faults;
})()`
