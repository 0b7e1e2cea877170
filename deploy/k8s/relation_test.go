package k8s

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// given are the secrets, with their keys, that the operator creates and that
// never come from files in the repository: README.md describes them.
var given = map[string][]string{
	"aliquot-database":       {"url"},
	"aliquot-database-owner": {"url"},
	"aliquot-nats":           {"aliquot.nk", "aliquot.pub"},
	"aliquot-operator":       {"token"},
	"cockroachdb-node-tls":   {"ca.crt", "tls.crt", "tls.key"},
	"cockroachdb-root-tls":   {"ca.crt", "tls.crt", "tls.key"},
	"cockroachdb-client-tls": {"ca.crt", "tls.crt", "tls.key"},
	"postgresql-ca":          {"ca.crt"},
	"nats-tls":               {"ca.crt", "tls.crt", "tls.key"},
}

// config returns the keys of a ConfigMap; ok is false if there is none.
func (w *world) config(name string) (map[string]string, bool) {
	c, ok := w.configs[name]
	if !ok {
		return nil, false
	}
	return c.Data, true
}

// secret returns the keys of a Secret that is made here or given.
func (w *world) secret(name string) ([]string, bool) {
	if s, ok := w.secrets[name]; ok {
		var keys []string
		for key := range s.Data {
			keys = append(keys, key)
		}
		for key := range s.StringData {
			keys = append(keys, key)
		}
		return keys, true
	}
	keys, ok := given[name]
	return keys, ok
}

// checkNames checks that every volume, ConfigMap, Secret and key that a pod names
// exists.
func (w *world) checkNames(one *workload) {
	volumes := map[string]*corev1.Volume{}
	for i := range one.pod.Spec.Volumes {
		v := &one.pod.Spec.Volumes[i]
		volumes[v.Name] = v
		w.checkVolume(one, v)
	}
	for i := range one.claims {
		volumes[one.claims[i].Name] = &corev1.Volume{}
	}
	used := map[string]bool{}
	for _, c := range containers(&one.pod.Spec) {
		for _, m := range c.VolumeMounts {
			used[m.Name] = true
			if volumes[m.Name] == nil {
				w.fault("%s, container %s: it mounts %s, which is no volume of its pod", one, c.Name, m.Name)
			}
		}
		for _, e := range c.Env {
			if e.ValueFrom != nil {
				w.checkSource(one, e)
			}
		}
		for _, from := range c.EnvFrom {
			if from.ConfigMapRef == nil {
				w.fault("%s, container %s: all keys of a secret as variables", one, c.Name)
			} else if _, ok := w.config(from.ConfigMapRef.Name); !ok {
				w.fault("%s, container %s: there is no ConfigMap %s", one, c.Name, from.ConfigMapRef.Name)
			}
		}
	}
	for name := range volumes {
		if !used[name] {
			w.fault("%s: nothing mounts its volume %s", one, name)
		}
	}
}

func (w *world) checkVolume(one *workload, v *corev1.Volume) {
	var keys []string
	var items []corev1.KeyToPath
	ok := true
	switch {
	case v.ConfigMap != nil:
		data, there := w.config(v.ConfigMap.Name)
		for key := range data {
			keys = append(keys, key)
		}
		items, ok = v.ConfigMap.Items, there
	case v.Secret != nil:
		keys, ok = w.secret(v.Secret.SecretName)
		items = v.Secret.Items
	case v.Projected != nil:
		for _, source := range v.Projected.Sources {
			if source.Secret == nil {
				w.fault("%s: volume %s has a source that nothing here needs", one, v.Name)
				continue
			}
			have, there := w.secret(source.Secret.Name)
			keys, ok = append(keys, have...), ok && there
			items = append(items, source.Secret.Items...)
		}
	case v.EmptyDir != nil:
		if v.EmptyDir.SizeLimit == nil {
			w.fault("%s: volume %s has no limit", one, v.Name)
		}
	default:
		w.fault("%s: volume %s is of a kind that nothing here needs", one, v.Name)
	}
	if !ok {
		w.fault("%s: what its volume %s holds is not there", one, v.Name)
	}
	for _, item := range items {
		if !slices.Contains(keys, item.Key) {
			w.fault("%s: volume %s: there is no key %s", one, v.Name, item.Key)
		}
	}
}

func (w *world) checkSource(one *workload, e corev1.EnvVar) {
	from := e.ValueFrom
	switch {
	case from.SecretKeyRef != nil:
		if keys, ok := w.secret(from.SecretKeyRef.Name); !ok || !slices.Contains(keys, from.SecretKeyRef.Key) {
			w.fault("%s: variable %s: there is no secret %s with a key %s", one, e.Name, from.SecretKeyRef.Name, from.SecretKeyRef.Key)
		}
	case from.ConfigMapKeyRef != nil:
		if data, _ := w.config(from.ConfigMapKeyRef.Name); data[from.ConfigMapKeyRef.Key] == "" {
			w.fault("%s: variable %s: there is no ConfigMap %s with a key %s", one, e.Name, from.ConfigMapKeyRef.Name, from.ConfigMapKeyRef.Key)
		}
	case from.FieldRef != nil:
	default:
		w.fault("%s: variable %s comes from somewhere else", one, e.Name)
	}
}

// checkServices checks that every service has pods and ports.
func (w *world) checkServices() {
	for _, s := range w.services {
		found := 0
		for _, one := range w.workloads {
			if !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(one.pod.Labels)) {
				continue
			}
			found++
			for _, p := range s.Spec.Ports {
				if !hasPort(one, p.TargetPort) {
					w.fault("Service %s: %s has no port %s", s.Name, one, p.TargetPort.String())
				}
			}
		}
		if found == 0 {
			w.fault("Service %s: it selects nothing", s.Name)
		}
	}
}

func hasPort(one *workload, by intstr.IntOrString) bool {
	for _, c := range containers(&one.pod.Spec) {
		if _, ok := port(c, by); ok {
			return true
		}
	}
	return false
}

// checkPolicies checks that everything is denied, and that everything that is
// allowed exists: both ends of each connection, and the port at its end.
func (w *world) checkPolicies() {
	denied := false
	for _, p := range w.policies {
		all := len(p.Spec.PodSelector.MatchLabels)+len(p.Spec.PodSelector.MatchExpressions) == 0
		if all && len(p.Spec.Ingress)+len(p.Spec.Egress) == 0 && len(p.Spec.PolicyTypes) == 2 {
			denied = true
		}
		selected := w.selected(&networkingv1.NetworkPolicyPeer{PodSelector: &p.Spec.PodSelector})
		if len(selected) == 0 {
			w.fault("NetworkPolicy %s: it is about nothing", p.Name)
		}
		for _, rule := range p.Spec.Ingress {
			w.checkPeers(p.Name, rule.From)
			w.checkPolicyPorts(p.Name, selected, rule.Ports)
		}
		for _, rule := range p.Spec.Egress {
			w.checkPeers(p.Name, rule.To)
			for i := range rule.To {
				w.checkPolicyPorts(p.Name, w.selected(&rule.To[i]), rule.Ports)
			}
		}
	}
	if !denied {
		w.fault("there is no NetworkPolicy that denies everything")
	}
	for _, one := range w.workloads {
		own := slices.ContainsFunc(w.policies, func(p *networkingv1.NetworkPolicy) bool {
			return len(p.Spec.PodSelector.MatchLabels) > 0 && matches(&p.Spec.PodSelector, one.pod.Labels)
		})
		if !own {
			w.fault("%s: no NetworkPolicy is about it, so it reaches nothing", one)
		}
	}
}

// selected returns the workloads of a peer in this namespace.
func (w *world) selected(peer *networkingv1.NetworkPolicyPeer) []*workload {
	var list []*workload
	if peer.PodSelector == nil || peer.NamespaceSelector != nil {
		return nil
	}
	for _, one := range w.workloads {
		if matches(peer.PodSelector, one.pod.Labels) {
			list = append(list, one)
		}
	}
	return list
}

func (w *world) checkPeers(policy string, peers []networkingv1.NetworkPolicyPeer) {
	if len(peers) == 0 {
		w.fault("NetworkPolicy %s: a rule names nobody, which is everybody", policy)
	}
	for i := range peers {
		peer := &peers[i]
		if peer.IPBlock == nil && peer.NamespaceSelector == nil && len(w.selected(peer)) == 0 {
			w.fault("NetworkPolicy %s: a peer is not there: %v", policy, peer.PodSelector.MatchLabels)
		}
	}
}

// checkPolicyPorts checks that one of the workloads has each of the ports.
func (w *world) checkPolicyPorts(policy string, at []*workload, ports []networkingv1.NetworkPolicyPort) {
	if len(ports) == 0 {
		w.fault("NetworkPolicy %s: a rule names no port, which is all", policy)
	}
	for _, p := range ports {
		if len(at) > 0 && p.Port != nil && !slices.ContainsFunc(at, func(one *workload) bool { return hasPort(one, *p.Port) }) {
			names := make([]string, len(at))
			for i, one := range at {
				names[i] = one.name
			}
			w.fault("NetworkPolicy %s: port %s is not one of %s", policy, p.Port.String(), strings.Join(names, ", "))
		}
	}
}

// allowed reports whether one workload may open a connection to a port of
// another.
func (w *world) allowed(from, to *workload, number int32) bool {
	has := func(ports []networkingv1.NetworkPolicyPort) bool {
		return slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
			if p.Port == nil {
				return false
			}
			for _, c := range containers(&to.pod.Spec) {
				if n, ok := port(c, *p.Port); ok && n == number {
					return true
				}
			}
			return false
		})
	}
	peers := func(list []networkingv1.NetworkPolicyPeer, one *workload) bool {
		return slices.ContainsFunc(list, func(p networkingv1.NetworkPolicyPeer) bool {
			return slices.Contains(w.selected(&p), one)
		})
	}
	out, in := false, false
	for _, p := range w.policies {
		if matches(&p.Spec.PodSelector, from.pod.Labels) {
			for _, rule := range p.Spec.Egress {
				out = out || peers(rule.To, to) && has(rule.Ports)
			}
		}
		if matches(&p.Spec.PodSelector, to.pod.Labels) {
			for _, rule := range p.Spec.Ingress {
				in = in || peers(rule.From, from) && has(rule.Ports)
			}
		}
	}
	return out && in
}
