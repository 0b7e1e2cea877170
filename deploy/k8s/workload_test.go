package k8s

import (
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func truth(b *bool) bool { return b != nil && *b }

// containers returns all containers of a pod.
func containers(spec *corev1.PodSpec) []*corev1.Container {
	var list []*corev1.Container
	for i := range spec.InitContainers {
		list = append(list, &spec.InitContainers[i])
	}
	for i := range spec.Containers {
		list = append(list, &spec.Containers[i])
	}
	return list
}

// checkPod checks what every pod here must have: no privilege, limits, a probe.
func (w *world) checkPod(one *workload) {
	spec := &one.pod.Spec
	if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
		w.fault("%s: it has a token of the cluster's API", one)
	}
	security := spec.SecurityContext
	if security == nil || !truth(security.RunAsNonRoot) || security.RunAsUser == nil || *security.RunAsUser == 0 {
		w.fault("%s: it may run as root", one)
	}
	if security == nil || security.SeccompProfile == nil || security.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		w.fault("%s: its seccomp profile is not RuntimeDefault", one)
	}
	for _, c := range containers(spec) {
		where := one.String() + ", container " + c.Name
		own := c.SecurityContext
		switch {
		case own == nil || own.AllowPrivilegeEscalation == nil || *own.AllowPrivilegeEscalation || truth(own.Privileged):
			w.fault("%s: it may gain privileges", where)
		case !truth(own.ReadOnlyRootFilesystem):
			w.fault("%s: its root file system is writable", where)
		case own.Capabilities == nil || !slices.Contains(own.Capabilities.Drop, "ALL") || len(own.Capabilities.Add) > 0:
			w.fault("%s: it has capabilities", where)
		}
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			if c.Resources.Requests[name] == (corev1.ResourceList{}[name]) {
				w.fault("%s: it requests no %s", where, name)
			}
		}
		if c.Resources.Limits.Memory().IsZero() {
			w.fault("%s: its memory has no limit", where)
		}
		_, tag, _ := strings.Cut(path.Base(c.Image), ":")
		if tag == "" || tag == "latest" {
			w.fault("%s: image %s names no version", where, c.Image)
		}
		w.checkPorts(where, c)
	}
	if !one.runs() {
		return
	}
	for i := range spec.Containers {
		c := &spec.Containers[i]
		for name, probe := range map[string]*corev1.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
			if probe == nil {
				w.fault("%s, container %s: it has no %s probe", one, c.Name, name)
			}
		}
	}
}

// checkPorts checks that the container has every port that a probe names.
func (w *world) checkPorts(where string, c *corev1.Container) {
	for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		if probe == nil {
			continue
		}
		if probe.HTTPGet == nil {
			w.fault("%s: a probe that asks nothing over HTTP", where)
			continue
		}
		if _, ok := port(c, probe.HTTPGet.Port); !ok {
			w.fault("%s: a probe asks port %s, which is not one of its", where, probe.HTTPGet.Port.String())
		}
	}
}

// port finds a port of a container by number or name.
func port(c *corev1.Container, by intstr.IntOrString) (int32, bool) {
	for _, p := range c.Ports {
		if by.Type == intstr.Int && p.ContainerPort == by.IntVal || by.Type == intstr.String && p.Name == by.StrVal {
			return p.ContainerPort, true
		}
	}
	return 0, false
}

// single is the one workload with a single pod: what keep has signed is in its
// volume, and a second volume would be another history.
const single = "keep"

// checkReplicas checks that workloads with several pods are spread, and that
// enough pods are kept while nodes are drained.
func (w *world) checkReplicas(one *workload) {
	if !one.runs() {
		return
	}
	budgets := 0
	for _, b := range w.budgets {
		if matches(b.Spec.Selector, one.pod.Labels) {
			budgets++
			if b.Spec.MinAvailable != nil && b.Spec.MinAvailable.IntVal >= w.least(one) {
				w.fault("PodDisruptionBudget %s: no node of %s could ever be drained", b.Name, one)
			}
		}
	}
	if budgets != 1 {
		w.fault("%s: it has %d PodDisruptionBudgets", one, budgets)
	}
	if least := w.least(one); least < 2 && one.name != single {
		w.fault("%s: it is there once", one)
	} else if least != 1 && one.name == single {
		w.fault("%s: it is there %d times, each with a volume of its own", one, least)
	}
	spread := one.pod.Spec.TopologySpreadConstraints
	if len(spread) == 0 {
		w.fault("%s: its pods are not spread", one)
	}
	for _, s := range spread {
		if !matches(s.LabelSelector, one.pod.Labels) {
			w.fault("%s: it is spread by labels that it does not have", one)
		}
	}
}

// least returns the smallest number of pods that a workload has.
func (w *world) least(one *workload) int32 {
	for _, s := range w.scalers {
		if s.Spec.ScaleTargetRef.Name == one.name && s.Spec.ScaleTargetRef.Kind == one.kind && s.Spec.MinReplicas != nil {
			return *s.Spec.MinReplicas
		}
	}
	return one.replicas
}

func matches(selector *metav1.LabelSelector, set map[string]string) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(labels.Set(set))
}

func (w *world) selects(what string, selector *metav1.LabelSelector, set map[string]string) {
	if !matches(selector, set) {
		w.fault("%s: it does not select its own pods", what)
	}
}
