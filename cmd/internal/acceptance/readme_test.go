package acceptance

import (
	"context"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// ownUsage is the script of the README that takes a provider's own usage to
// payouts.
func ownUsage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(inRepository(t, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "Then run it for real")
	_, after, begins := strings.Cut(after, "```sh\n")
	script, _, ends := strings.Cut(after, "```")
	if !found || !begins || !ends {
		t.Fatal("the README has no script of a provider's own usage")
	}
	return script
}

// The README's script runs as it stands, every time, with the files of
// examples/first: nothing in it depends on how fast usage is settled or which
// process holds the folder first. Fails when a command does not wait for the usage
// accepted before it (then the deposit is of nothing, and nothing is distributed).
func TestTheScriptOfTheREADMERunsEveryTime(t *testing.T) {
	t.Parallel()
	script := ownUsage(t)
	binaries := binaryFolder(t)
	revenue := firstRevenue(t)
	var guard sync.Mutex
	hashes := map[string]int{}
	t.Run("twenty times", func(t *testing.T) {
		for i := range 20 {
			t.Run(fmt.Sprint(i+1), func(t *testing.T) {
				t.Parallel()
				out := runScript(t, binaries, script)
				for _, want := range []string{
					"3 applied, 0 unchanged, 0 void", // each team paid what it owed
					"included: all usage accepted before, in partition 0 up to position",
					" " + revenue + " ",
					"confirmed",
				} {
					if !strings.Contains(out, want) {
						t.Errorf("%q is not in\n%s", want, out)
					}
				}
				hash := regexp.MustCompile(`journal_hash:? +([0-9a-f]{64})`).FindStringSubmatch(out)
				if hash == nil {
					t.Fatalf("no journal_hash in\n%s", out)
				}
				guard.Lock()
				defer guard.Unlock()
				hashes[hash[1]]++
			})
		}
	})
	if len(hashes) != 1 {
		t.Errorf("equal input has journals of different hashes: %v", hashes)
	}
}

// binaryFolder is a folder with the binary under the name that documents give it.
func binaryFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(os.Getenv(binaryVariable), filepath.Join(dir, "aliquot")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// runScript runs a script in a folder with the files of examples/first. The server
// is the script's only job: it must stop in order as well.
func runScript(t *testing.T, binaries, script string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"book.yaml", "map.yaml", "usage.csv", "holders.csv"} {
		data, err := os.ReadFile(inRepository(t, "examples/first/"+name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, name, string(data))
	}
	return shell(t, dir, binaries, script+"\nkill $!\nwait $!\n")
}

// shell runs a script in a folder, with aliquot in the path and none of the
// tester's settings, and stops what it left running. Fails where a command does.
func shell(t *testing.T, dir, binaries, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, "sh", "-c", "set -e\n"+script)
	c.Dir = dir
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ALIQUOT_") && !strings.HasPrefix(v, "PATH=") {
			c.Env = append(c.Env, v)
		}
	}
	c.Env = append(c.Env, "PATH="+binaries+string(os.PathListSeparator)+os.Getenv("PATH"), "ALIQUOT_LISTEN=127.0.0.1:0")
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGQUIT) }
	// A script that fails leaves its server, which holds the output open.
	c.WaitDelay = 5 * time.Second
	text := new(journal)
	c.Stdout, c.Stderr = text, text
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	err := c.Wait()
	_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // what a script that failed has left
	if err != nil {
		t.Fatalf("%v\n%s%s", err, tail(text.all()), kept(t, text.all()))
	}
	return text.all()
}

// firstRevenue is what the usage of examples/first comes to: each row's seconds at
// 1.99 for 3600, rounded half-even to 10⁻¹⁸.
func firstRevenue(t *testing.T) string {
	t.Helper()
	sum, one := new(big.Int), new(big.Int).Exp(big.NewInt(10), big.NewInt(18), nil)
	for _, row := range rows(t, inRepository(t, "examples/first/usage.csv")) {
		charge, ok := new(big.Rat).SetString(row["seconds"])
		if !ok {
			t.Fatalf("%v", row)
		}
		charge.Mul(charge, big.NewRat(199, 100*3600)).Mul(charge, new(big.Rat).SetInt(one))
		whole, rest := new(big.Int).QuoRem(charge.Num(), charge.Denom(), new(big.Int))
		if c := rest.Lsh(rest, 1).Cmp(charge.Denom()); c > 0 || c == 0 && whole.Bit(0) == 1 {
			whole.Add(whole, big.NewInt(1))
		}
		sum.Add(sum, whole)
	}
	units, attos := new(big.Int).QuoRem(sum, one, new(big.Int))
	return strings.TrimRight(fmt.Sprintf("%v.%018v", units, attos), "0")
}
