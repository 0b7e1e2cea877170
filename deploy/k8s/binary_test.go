package k8s

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// root is the product's module.
const root = "../.."

// description is the output of "aliquot describe --json".
type description struct {
	Version  string             `json:"version"`
	Commands []describedCommand `json:"commands"`
	// serves reports whether a running process of a command answers a path.
	serves func(command, path string) bool
}

type describedCommand struct {
	Name      string           `json:"name"`
	Arguments []describedValue `json:"arguments"`
	Flags     []describedValue `json:"flags"`
}

type describedValue struct {
	Name      string   `json:"name"`
	Variables []string `json:"variables"`
	Type      string   `json:"type"`
	Required  bool     `json:"required"`
}

// built is the product's binary, built once for all tests with the command of the
// container file.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "aliquot-k8s-")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "aliquot")
	stages, err := containerFile()
	if err != nil {
		return "", err
	}
	line, ok := stages[0].run(" -o " + inImage)
	if !ok {
		return "", fmt.Errorf("the container file builds no %s", inImage)
	}
	c := exec.Command("sh", "-ec", strings.Replace(line, inImage, file, 1))
	c.Dir = root
	c.Stderr = os.Stderr
	return file, c.Run()
})

func TestMain(m *testing.M) {
	code := m.Run()
	for _, end := range ends {
		end()
	}
	if file, err := built(); err == nil {
		_ = os.RemoveAll(filepath.Dir(file))
	}
	os.Exit(code)
}

// binary asks the binary for its commands and flags.
func binary(t *testing.T) description {
	t.Helper()
	file, err := built()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(file, "describe", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	d := description{serves: installed(t).serves}
	if err := json.Unmarshal(out, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// isOurs reports whether a container runs the binary.
func isOurs(c *corev1.Container) bool {
	name, _, _ := strings.Cut(path.Base(c.Image), ":")
	return name == "aliquot"
}

// checkBinary checks that every command, flag, variable, port and path that a
// container of ours names exists in the binary.
func (w *world) checkBinary(about description, one *workload, c *corev1.Container) {
	if !isOurs(c) {
		return
	}
	where := one.String() + ", container " + c.Name
	if len(c.Command) > 0 {
		w.fault("%s: it replaces the image's entry point", where)
	}
	command, rest := about.command(c.Args)
	if command == nil {
		w.fault("%s: the binary has no command %q", where, c.Args)
		return
	}
	values := map[string]string{} // of the flags that are set, by name
	for _, argument := range rest {
		name, value, _ := strings.Cut(strings.TrimPrefix(argument, "--"), "=")
		flag := command.flag(func(f describedValue) bool { return f.Name == name })
		if !strings.HasPrefix(argument, "--") || flag == nil {
			w.fault("%s: aliquot %s has no flag %s", where, command.Name, argument)
			continue
		}
		values[name] = value
		w.checkValue(where, argument, value, flag)
	}
	for name, value := range w.variables(c) {
		flag := command.flag(func(f describedValue) bool { return slices.Contains(f.Variables, name) })
		if flag == nil {
			w.fault("%s: aliquot %s reads no variable %s", where, command.Name, name)
			continue
		}
		if _, set := values[flag.Name]; !set {
			values[flag.Name] = value
		}
		w.checkValue(where, name, value, flag)
		w.checkFile(where, c, name, value)
	}
	for _, f := range command.Flags {
		if _, set := values[f.Name]; f.Required && !set {
			w.fault("%s: aliquot %s needs --%s", where, command.Name, f.Name)
		}
	}
	w.checkListener(about, where, command, c, values)
	if named := one.pod.Annotations["prometheus.io/port"]; named != "" && ":"+named != values["metrics-listen"] {
		w.fault("%s: metrics are asked for at port %s, and are at %q", where, named, values["metrics-listen"])
	}
}

// fromSecret stands for a value that is not in the manifests.
const fromSecret = "\x00"

// variables returns the variables that a container sets itself.
func (w *world) variables(c *corev1.Container) map[string]string {
	all := map[string]string{}
	for _, from := range c.EnvFrom {
		if from.ConfigMapRef != nil {
			data, _ := w.config(from.ConfigMapRef.Name)
			for name, value := range data {
				all[name] = value
			}
		}
	}
	for _, e := range c.Env {
		all[e.Name] = e.Value
		if e.ValueFrom != nil {
			all[e.Name] = fromSecret
			if ref := e.ValueFrom.ConfigMapKeyRef; ref != nil {
				data, _ := w.config(ref.Name)
				all[e.Name] = data[ref.Key]
			}
		}
	}
	return all
}

// checkValue checks that the value of a numeric flag is a number.
func (w *world) checkValue(where, what, value string, flag *describedValue) {
	if value == fromSecret {
		return
	}
	switch flag.Type {
	case "int", "int64":
		if _, err := strconv.ParseInt(value, 10, 64); err != nil {
			w.fault("%s: %s is %q, which is no number", where, what, value)
		}
	case "bool":
		if _, err := strconv.ParseBool(value); value != "" && err != nil {
			w.fault("%s: %s is %q, which is neither true nor false", where, what, value)
		}
	}
}

// checkFile checks that a file or folder that a variable names is in a volume.
func (w *world) checkFile(where string, c *corev1.Container, name, value string) {
	if !strings.HasPrefix(value, "/") {
		return
	}
	if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
		return value == m.MountPath || strings.HasPrefix(value, m.MountPath+"/")
	}) {
		w.fault("%s: %s is %s, where nothing is mounted", where, name, value)
	}
}

// checkListener checks that the port on which the command listens is declared and
// probed, and that the command serves the probes' paths there.
func (w *world) checkListener(about description, where string, command *describedCommand, c *corev1.Container, values map[string]string) {
	if command.flag(func(f describedValue) bool { return f.Name == "listen" }) == nil {
		if len(c.Ports) > 0 {
			w.fault("%s: aliquot %s serves nothing, and has a port", where, command.Name)
		}
		return
	}
	host, number, err := net.SplitHostPort(values["listen"])
	if err != nil {
		w.fault("%s: it listens on %q: %v", where, values["listen"], err)
		return
	}
	if host != "" {
		w.fault("%s: it listens on %s only, where no probe reaches it", where, host)
	}
	for _, p := range c.Ports {
		if declared := strconv.Itoa(int(p.ContainerPort)); declared != number && ":"+declared != values["metrics-listen"] {
			w.fault("%s: port %d is declared, and it listens on %s", where, p.ContainerPort, number)
		}
	}
	for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		if probe == nil || probe.HTTPGet == nil {
			continue // reported elsewhere
		}
		if n, ok := port(c, probe.HTTPGet.Port); ok && strconv.Itoa(int(n)) != number {
			w.fault("%s: a probe asks port %d, and it listens on %s", where, n, number)
		}
		if !about.serves(command.Name, probe.HTTPGet.Path) {
			w.fault("%s: a probe asks for %s, which aliquot %s does not serve", where, probe.HTTPGet.Path, command.Name)
		}
	}
}

// command finds the command with which the arguments begin, and returns the rest.
func (d description) command(args []string) (*describedCommand, []string) {
	for n := len(args); n > 0; n-- {
		for i := range d.Commands {
			if d.Commands[i].Name == strings.Join(args[:n], " ") {
				return &d.Commands[i], args[n:]
			}
		}
	}
	return nil, nil
}

func (c *describedCommand) flag(is func(describedValue) bool) *describedValue {
	if i := slices.IndexFunc(c.Flags, is); i >= 0 {
		return &c.Flags[i]
	}
	return nil
}
