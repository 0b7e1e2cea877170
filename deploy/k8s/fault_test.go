package k8s

import (
	"strings"
	"testing"
)

// Each fault that a person could make is found. Another test checks that the
// manifests without a fault pass.
func TestEveryFaultIsFound(t *testing.T) {
	about := binary(t)
	const local, production = "local", "production"
	tests := []struct {
		name, overlay string
		change        change
		want          string
	}{
		{"a command that is not there", local, change{"base/settle.yaml", "args: [settle]", "args: [settel]"}, `no command ["settel"]`},
		{"a flag that is not there", local, change{"base/settle.yaml", "args: [settle]", "args: [settle, --takeover]"}, "no flag --takeover"},
		{"a flag of another command", local, change{"base/ingest.yaml", "args: [ingest]", "args: [ingest, --take-over]"}, "no flag --take-over"},
		{"a variable that is not there", local, change{"base/settle.yaml", "ALIQUOT_DIR", "ALIQUOT_DIRECTORY"}, "reads no variable ALIQUOT_DIRECTORY"},
		{"a variable in a ConfigMap", local, change{"base/kustomization.yaml", "ALIQUOT_LISTEN=", "ALIQUOT_LISTENS="}, "reads no variable ALIQUOT_LISTENS"},
		{"a variable of another command", production, change{"base/distribute.yaml", "DATABASE_URL", "ALIQUOT_PARTITIONS"}, "reads no variable ALIQUOT_PARTITIONS"},
		{"a word for a number", local, change{"base/kustomization.yaml", "ALIQUOT_REPLICAS=3", "ALIQUOT_REPLICAS=three"}, "no number"},
		{"a file where nothing is", production, change{"overlays/production/aliquot.yaml", "/etc/aliquot/nats/ca.crt", "/etc/aliquot/nts/ca.crt"}, "where nothing is mounted"},
		{"another port", local, change{"base/settle.yaml", "containerPort: 8080", "containerPort: 8081"}, "it listens on 8080"},
		{"a port of this host only", local, change{"base/kustomization.yaml", "ALIQUOT_LISTEN=:8080", "ALIQUOT_LISTEN=127.0.0.1:8080"}, "where no probe reaches it"},
		{"a probe of another port", local, change{"base/distribute.yaml", "{path: /livez, port: http}", "{path: /livez, port: https}"}, "not one of its"},
		{"a probe of another path", local, change{"base/distribute.yaml", "path: /readyz", "path: /ready"}, "aliquot distribute does not serve"},
		{"a path of another command", local, change{"base/settle.yaml", "path: /readyz", "path: /v1/status"}, "aliquot settle does not serve"},
		{"a field that is not there", local, change{"base/settle.yaml", "podManagementPolicy:", "podManagmentPolicy:"}, `unknown field "spec.podManagmentPolicy"`},
		{"a field twice", local, change{"base/nats.yaml", "  replicas: 3\n", "  replicas: 3\n  replicas: 2\n"}, "already"},
		{"a text for a number", local, change{"base/nats.yaml", "  replicas: 3\n", "  replicas: many\n"}, "cannot unmarshal"},
		{"a secret that nobody makes", production, change{"base/ingest.yaml", "name: aliquot-database,", "name: aliquot-databse,"}, "no secret aliquot-databse"},
		{"a key that it does not have", production, change{"base/ingest.yaml", "key: url", "key: uri"}, "with a key uri"},
		{"a volume that is not there", local, change{"base/settle.yaml", "- {name: data, mountPath", "- {name: dta, mountPath"}, "no volume of its pod"},
		{"pods that nobody selects", local, change{"base/ingest.yaml", "  selector: {app.kubernetes.io/name: ingest,", "  selector: {app.kubernetes.io/name: intake,"}, "it selects nothing"},
		{"a service's port that nobody has", local, change{"base/nats.yaml", "targetPort: client", "targetPort: clients"}, "has no port clients"},
		{"root", local, change{"base/settle.yaml", "runAsNonRoot: true", "runAsNonRoot: false"}, "may run as root"},
		{"a file system that is writable", local, change{"base/nats.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"}, "is writable"},
		{"capabilities", local, change{"base/cockroachdb.yaml", "capabilities: {drop: [ALL]}", "capabilities: {drop: [NET_RAW]}"}, "has capabilities"},
		{"no seccomp profile", local, change{"base/distribute.yaml", "seccompProfile: {type: RuntimeDefault}", "seccompProfile: {type: Unconfined}"}, "not RuntimeDefault"},
		{"no bound of memory", local, change{"base/migrate.yaml", "            limits: {memory: 256Mi}\n", ""}, "no limit"},
		{"an image without a version", production, change{"overlays/production/kustomization.yaml", ", newTag: 0.1.0", ", newTag: latest"}, "names no version"},
		{"no budget for drains", local, change{"base/settle.yaml", "kind: PodDisruptionBudget\nmetadata:\n  name: settle\nspec:\n  maxUnavailable: 1\n  selector:\n    matchLabels: {app.kubernetes.io/name: settle,", "kind: PodDisruptionBudget\nmetadata:\n  name: settle\nspec:\n  maxUnavailable: 1\n  selector:\n    matchLabels: {app.kubernetes.io/name: other,"}, "0 PodDisruptionBudgets"},
		{"one pod alone", local, change{"base/distribute.yaml", "replicas: 2", "replicas: 1"}, "it is there once"},
		{"two who keep", local, change{"base/keep.yaml", "replicas: 1", "replicas: 2"}, "it is there 2 times"},
		{"everything allowed", local, change{"base/network.yaml", "  policyTypes: [Ingress, Egress]\n---", "  policyTypes: [Ingress]\n---"}, "denies everything"},
		{"a way to a database that was taken away", "postgresql", change{"overlays/postgresql/kustomization.yaml", "- op: replace\n        path: /spec/egress/1\n", "- op: add\n        path: /spec/egress/-\n"}, "a peer is not there"},
		{"a certificate that nobody makes", "postgresql", change{"overlays/postgresql/kustomization.yaml", "secretName: postgresql-ca", "secretName: postgres-ca"}, "what its volume database holds is not there"},
		{"a way to nobody", local, change{"base/network.yaml", "matchLabels: {app.kubernetes.io/name: cockroachdb}", "matchLabels: {app.kubernetes.io/name: cockroach}"}, "a peer is not there"},
		{"a way to another port", local, change{"base/network.yaml", "ports: [{port: 26257}]", "ports: [{port: 26258}]"}, "port 26258 is not one of"},
		{"something else to scale", local, change{"base/ingest.yaml", "kind: Deployment, name: ingest}", "kind: Deployment, name: intake}"}, "there is no Deployment intake"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			faults := assemble(t, test.overlay, test.change).check(about)
			for _, fault := range faults {
				if strings.Contains(fault, test.want) {
					return
				}
			}
			t.Errorf("want %q, found %q", test.want, faults)
		})
	}
}

// Servers that would lose messages are found too: the test of their configuration
// reads it with the servers' own code.
func TestServersThatDoNotSyncAreFound(t *testing.T) {
	w := assemble(t, "production", change{"overlays/production/nats.conf", "sync_interval: always", "sync_interval: 2m"})
	if options := parse(t, w); options.SyncAlways {
		t.Error("they sync always?")
	}
}
