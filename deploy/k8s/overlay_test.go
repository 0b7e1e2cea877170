package k8s

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// overlays are what is deployed; the base alone is not deployed.
var overlays = []string{"local", "production", "postgresql"}

// workload is pods of one kind.
type workload struct {
	kind, name string
	replicas   int32 // as in the manifest; see least
	fixed      bool  // whether the manifest sets the number
	pod        corev1.PodTemplateSpec
	claims     []corev1.PersistentVolumeClaim
}

func (w *workload) String() string { return w.kind + " " + w.name }

// runs reports whether the workload runs until it is stopped.
func (w *workload) runs() bool { return w.kind != "Job" }

// world is everything that an overlay creates.
type world struct {
	workloads []*workload
	services  []*corev1.Service
	configs   map[string]*corev1.ConfigMap
	secrets   map[string]*corev1.Secret
	budgets   []*policyv1.PodDisruptionBudget
	policies  []*networkingv1.NetworkPolicy
	scalers   []*autoscalingv2.HorizontalPodAutoscaler
	faults    []string // faults of building and decoding
}

// change is made to a copy of the manifests before they are built.
type change struct{ file, old, new string }

// manifests copies the folder into memory, with changes.
func manifests(t *testing.T, changes ...change) filesys.FileSystem {
	t.Helper()
	memory := filesys.MakeFsInMemory()
	done := make([]bool, len(changes))
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for i, c := range changes {
			if c.file != filepath.ToSlash(name) {
				continue
			}
			if !bytes.Contains(data, []byte(c.old)) {
				return fmt.Errorf("%s has no %q", name, c.old)
			}
			data = bytes.Replace(data, []byte(c.old), []byte(c.new), 1)
			done[i] = true
		}
		return memory.WriteFile(filepath.Join("/", name), data)
	})
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(done, false) {
		t.Fatalf("%+v: no such file", changes)
	}
	return memory
}

// assemble builds an overlay and decodes it strictly: an unknown field, a field
// that occurs twice and a value of another type are faults.
func assemble(t *testing.T, overlay string, changes ...change) *world {
	t.Helper()
	w := &world{configs: map[string]*corev1.ConfigMap{}, secrets: map[string]*corev1.Secret{}}
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(manifests(t, changes...), "/overlays/"+overlay)
	if err != nil {
		w.fault("putting it together: %v", err)
		return w
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, autoscalingv2.AddToScheme, batchv1.AddToScheme,
		corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	for _, r := range resources.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			w.fault("%s: %v", r.CurId(), err)
			continue
		}
		object, _, err := decoder.Decode(text, nil, nil)
		if err != nil {
			w.fault("%s %s: %v", r.GetKind(), r.GetName(), err)
			continue
		}
		w.add(object)
	}
	slices.SortFunc(w.workloads, func(a, b *workload) int { return strings.Compare(a.name, b.name) })
	return w
}

func (w *world) fault(format string, args ...any) {
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

func (w *world) add(object runtime.Object) {
	one := func(n *int32) int32 {
		if n == nil {
			return 1
		}
		return *n
	}
	switch o := object.(type) {
	case *appsv1.Deployment:
		w.workloads = append(w.workloads, &workload{"Deployment", o.Name, one(o.Spec.Replicas), o.Spec.Replicas != nil, o.Spec.Template, nil})
		w.selects("Deployment "+o.Name, o.Spec.Selector, o.Spec.Template.Labels)
	case *appsv1.StatefulSet:
		w.workloads = append(w.workloads, &workload{"StatefulSet", o.Name, one(o.Spec.Replicas), o.Spec.Replicas != nil, o.Spec.Template, o.Spec.VolumeClaimTemplates})
		w.selects("StatefulSet "+o.Name, o.Spec.Selector, o.Spec.Template.Labels)
	case *batchv1.Job:
		w.workloads = append(w.workloads, &workload{"Job", o.Name, 1, true, o.Spec.Template, nil})
	case *corev1.Service:
		w.services = append(w.services, o)
	case *corev1.ConfigMap:
		w.configs[o.Name] = o
	case *corev1.Secret:
		w.secrets[o.Name] = o
	case *policyv1.PodDisruptionBudget:
		w.budgets = append(w.budgets, o)
	case *networkingv1.NetworkPolicy:
		w.policies = append(w.policies, o)
	case *autoscalingv2.HorizontalPodAutoscaler:
		w.scalers = append(w.scalers, o)
	case *corev1.Namespace:
		if o.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
			w.fault("Namespace %s: its pods are not restricted", o.Name)
		}
	default:
		w.fault("%T: nothing here checks it", object)
	}
}

// check returns everything that is wrong with a world.
func (w *world) check(about description) []string {
	for _, one := range w.workloads {
		w.checkPod(one)
		w.checkNames(one)
		w.checkReplicas(one)
		for i := range one.pod.Spec.InitContainers {
			w.checkBinary(about, one, &one.pod.Spec.InitContainers[i])
		}
		for i := range one.pod.Spec.Containers {
			w.checkBinary(about, one, &one.pod.Spec.Containers[i])
		}
	}
	w.checkServices()
	w.checkPolicies()
	w.checkScalers()
	return w.faults
}

// Fails when something of CockroachDB is left, and when our processes are not
// allowed to reach the database's port.
func TestTheOverlayOnPostgreSQLHasNothingOfCockroachDB(t *testing.T) {
	w := assemble(t, "postgresql")
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(manifests(t), "/overlays/postgresql")
	if err != nil {
		t.Fatal(err)
	}
	text, err := resources.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "cockroach") || strings.Contains(line, "26257") {
			t.Errorf("there is %q", strings.TrimSpace(line))
		}
	}
	reaches := slices.ContainsFunc(w.policies, func(p *networkingv1.NetworkPolicy) bool {
		return p.Name == "aliquot" && slices.ContainsFunc(p.Spec.Egress, func(rule networkingv1.NetworkPolicyEgressRule) bool {
			return len(rule.Ports) == 1 && rule.Ports[0].Port.IntValue() == 5432 && rule.To[0].NamespaceSelector != nil
		})
	})
	if !reaches {
		t.Error("no policy lets our processes reach PostgreSQL")
	}
}

func TestEveryOverlayIsWhole(t *testing.T) {
	about := binary(t)
	for _, overlay := range overlays {
		t.Run(overlay, func(t *testing.T) {
			w := assemble(t, overlay)
			for _, fault := range w.check(about) {
				t.Error(fault)
			}
			want := []string{"distribute", "ingest", "keep", "migrate", "nats", "settle"}
			if overlay != "postgresql" {
				want = append([]string{"cockroachdb", "cockroachdb-init"}, want...)
			}
			if overlay != "local" { // a second settler is the standby of the first
				want = append(want, "relief")
				slices.Sort(want)
			}
			var have []string
			for _, one := range w.workloads {
				have = append(have, one.name)
			}
			if !slices.Equal(have, want) {
				t.Errorf("the workloads are %v, want %v", have, want)
			}
		})
	}
}
