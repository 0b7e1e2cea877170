package k8s

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// inImage is the path to which the first stage of the container file writes the
// binary.
const inImage = "/out/aliquot"

// stage is a stage of the container file: its instructions, in order.
type stage struct {
	from         string
	instructions [][2]string // name and the rest
}

// containerFile reads deploy/Containerfile.
func containerFile() ([]stage, error) {
	data, err := os.ReadFile("../Containerfile")
	if err != nil {
		return nil, err
	}
	var stages []stage
	for line := range strings.SplitSeq(string(data), "\n") {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case name == "" || strings.HasPrefix(name, "#"):
		case name == "FROM":
			stages = append(stages, stage{from: rest})
		default:
			last := &stages[len(stages)-1]
			last.instructions = append(last.instructions, [2]string{name, rest})
		}
	}
	return stages, nil
}

// run finds the command that contains a text.
func (s stage) run(text string) (string, bool) {
	for _, i := range s.instructions {
		if i[0] == "RUN" && strings.Contains(i[1], text) {
			return i[1], true
		}
	}
	return "", false
}

func (s stage) all(name string) []string {
	var list []string
	for _, i := range s.instructions {
		if i[0] == name {
			list = append(list, i[1])
		}
	}
	return list
}

// No container engine runs here. Without one the test can check that the command
// makes a static binary, that the files to be copied exist, and that the image
// and the manifests use the same user.
func TestTheContainerIsTheStaticBinaryAlone(t *testing.T) {
	stages, err := containerFile()
	if err != nil {
		t.Fatal(err)
	}
	if len(stages) != 2 || stages[1].from != "scratch" {
		t.Fatalf("stages: %+v", stages)
	}
	module, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version, _, _ := strings.Cut(strings.TrimPrefix(stages[0].from, "golang:"), " ")
	if !strings.Contains(string(module), "\ngo "+version) {
		t.Errorf("it is built by Go %s, and go.mod wants another", version)
	}
	for _, copied := range stages[0].all("COPY") {
		words := strings.Fields(copied)
		for _, name := range words[:len(words)-1] {
			if _, err := os.Stat(filepath.Join(root, name)); err != nil {
				t.Error(err)
			}
		}
	}
	if line, ok := stages[0].run("/console/"); !ok {
		t.Error("the binary is built without the page that verifies")
	} else {
		list := exec.Command("go", "list", strings.TrimPrefix(line, "go run "))
		list.Dir = root
		if out, err := list.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", line, err, out)
		}
	}
	if !slices.Contains(stages[1].all("COPY"), "--from=build "+inImage+" /aliquot") ||
		!slices.Equal(stages[1].all("ENTRYPOINT"), []string{`["/aliquot"]`}) {
		t.Error("the image does not start what was built")
	}
	file, err := built()
	if err != nil {
		t.Fatal(err)
	}
	program, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = program.Close() }()
	if needed, err := program.ImportedLibraries(); err != nil || len(needed) > 0 {
		t.Errorf("the binary needs %v, %v", needed, err)
	}
	if slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Error("the binary needs a loader")
	}
	users := stages[1].all("USER")
	for _, overlay := range overlays {
		for _, one := range assemble(t, overlay).workloads {
			if c := &one.pod.Spec.Containers[0]; isOurs(c) {
				s := one.pod.Spec.SecurityContext
				want := strconv.FormatInt(*s.RunAsUser, 10) + ":" + strconv.FormatInt(*s.RunAsGroup, 10)
				if len(users) != 1 || users[0] != want {
					t.Errorf("%s runs as %s, the image as %v", one, want, users)
				}
			}
		}
	}
}

// Versions that must be equal are equal.
func TestVersionsAgree(t *testing.T) {
	w := assemble(t, "production")
	about := binary(t)
	module, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range w.workloads {
		c := &one.pod.Spec.Containers[0]
		name, tag, _ := strings.Cut(c.Image, ":")
		switch {
		case name == "nats" && !strings.Contains(string(module), "github.com/nats-io/nats-server/v2 v"+tag+"\n"):
			t.Errorf("the servers are NATS %s, and the tests run another", tag)
		case isOurs(c) && tag != about.Version:
			t.Errorf("%s: version %s of the image, %s of the binary", one, tag, about.Version)
		}
	}
}
