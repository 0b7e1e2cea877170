package k8s

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
	corev1 "k8s.io/api/core/v1"
)

// servers finds the NATS servers of an overlay.
func servers(t *testing.T, w *world) (*workload, *corev1.Container) {
	t.Helper()
	for _, one := range w.workloads {
		if one.name == "nats" {
			return one, &one.pod.Spec.Containers[0]
		}
	}
	t.Fatalf("there is no NATS: %q", w.faults)
	return nil, nil
}

// parse reads the servers' configuration as the server itself does, with the
// files that the pods mount laid out below a folder.
func parse(t *testing.T, w *world) *server.Options {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	certificates(t, folder)
	return parseFor(t, w, "nats-0", public, folder)
}

// parseFor does the same as parse for one server, aliquot's public key and a
// folder with certificates.
func parseFor(t *testing.T, w *world, name, public, secret string) *server.Options {
	t.Helper()
	one, c := servers(t, w)
	folder := t.TempDir()
	for _, e := range c.Env {
		value := e.Value
		if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil {
			value = name
		} else if e.ValueFrom != nil {
			value = public
		}
		t.Setenv(e.Name, value)
	}
	for _, v := range one.pod.Spec.Volumes {
		i := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == v.Name })
		at := filepath.Join(folder, c.VolumeMounts[i].MountPath)
		if err := os.MkdirAll(at, 0o700); err != nil {
			t.Fatal(err)
		}
		if v.ConfigMap != nil {
			data, _ := w.config(v.ConfigMap.Name)
			for name, text := range data {
				for _, m := range c.VolumeMounts { // absolute paths are below the folder
					text = strings.ReplaceAll(text, `"`+m.MountPath, `"`+filepath.Join(folder, m.MountPath))
				}
				write(t, filepath.Join(at, name), []byte(text))
			}
		}
		if v.Secret != nil {
			if err := os.CopyFS(at, os.DirFS(secret)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(c.Args) != 2 || c.Args[0] != "--config" {
		t.Fatalf("the server's arguments are %q", c.Args)
	}
	options, err := server.ProcessConfigFile(filepath.Join(folder, c.Args[1]))
	if err != nil {
		t.Fatal(err)
	}
	options.StoreDir = strings.TrimPrefix(options.StoreDir, folder)
	options.PidFile = strings.TrimPrefix(options.PidFile, folder)
	return options
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// certificates makes the files that a secret of type kubernetes.io/tls has.
func certificates(t *testing.T, folder string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "nats"}, DNSNames: []string{"*.nats"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	write(t, filepath.Join(folder, "tls.crt"), certificate)
	write(t, filepath.Join(folder, "ca.crt"), certificate)
	write(t, filepath.Join(folder, "tls.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

// The configuration of the servers, read by the server's own code, is that of a
// cluster that loses nothing: each message is synced, and each server finds the
// others by the names and ports in the manifests.
func TestTheServersFormOneClusterThatSyncs(t *testing.T) {
	for _, overlay := range overlays {
		t.Run(overlay, func(t *testing.T) {
			w := assemble(t, overlay)
			one, c := servers(t, w)
			options := parse(t, w)
			if !options.JetStream || !options.SyncAlways {
				t.Error("messages are acknowledged before they are synced")
			}
			if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "data" && m.MountPath == options.StoreDir }) {
				t.Errorf("the streams are in %s, which is no volume", options.StoreDir)
			}
			if room := one.claims[0].Spec.Resources.Requests.Storage().Value(); options.JetStreamMaxStore <= 0 || options.JetStreamMaxStore > room*95/100 {
				t.Errorf("the streams may take %d of %d bytes", options.JetStreamMaxStore, room)
			}
			for name, number := range map[string]int{"client": options.Port, "cluster": options.Cluster.Port, "monitor": options.HTTPPort} {
				if !slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == name && int(p.ContainerPort) == number }) {
					t.Errorf("the server's %s port is %d", name, number)
				}
			}
			if !slices.Contains(c.Lifecycle.PreStop.Exec.Command, "ldm="+options.PidFile) {
				t.Errorf("the server's number is in %s", options.PidFile)
			}
			var routes []string
			for _, r := range options.Routes {
				routes = append(routes, r.Host)
			}
			if want := hosts(one, options.Cluster.Port); !slices.Equal(routes, want) {
				t.Errorf("routes lead to %v, want %v", routes, want)
			}
			want := "nats://"
			if options.TLSConfig != nil {
				want = "tls://"
			}
			config, _ := w.config(configOf(w))
			var reached []string
			for address := range strings.SplitSeq(config["NATS_URL"], ",") {
				u, err := url.Parse(address)
				if err != nil || u.Scheme+"://" != want {
					t.Errorf("aliquot connects to %q, and the servers want %s", address, want)
					continue
				}
				reached = append(reached, u.Host)
			}
			if !slices.Equal(reached, hosts(one, options.Port)) {
				t.Errorf("aliquot connects to %v", reached)
			}
			if config["ALIQUOT_REPLICAS"] != strconv.Itoa(int(one.replicas)) {
				t.Errorf("%s replicas on %d servers", config["ALIQUOT_REPLICAS"], one.replicas)
			}
		})
	}
}

// hosts returns the names of a StatefulSet's pods with a port.
func hosts(one *workload, number int) []string {
	var list []string
	for i := range one.replicas {
		list = append(list, one.name+"-"+strconv.Itoa(int(i))+"."+one.name+":"+strconv.Itoa(number))
	}
	return list
}

// configOf finds the ConfigMap that the services read, whose name contains a
// hash.
func configOf(w *world) string {
	for name := range w.configs {
		if w.configs[name].Data["NATS_URL"] != "" {
			return name
		}
	}
	return ""
}

// In production nobody can connect without a key, or read the traffic.
func TestProductionIsEncryptedAndClosed(t *testing.T) {
	w := assemble(t, "production")
	options := parse(t, w)
	if options.TLSConfig == nil || options.Cluster.TLSConfig == nil || options.Cluster.TLSConfig.ClientAuth != tls.RequireAndVerifyClientCert {
		t.Error("connections or routes are not encrypted, or routes from anybody")
	}
	if len(options.Nkeys) == 0 || len(options.Users) > 0 || options.Username != "" || options.NoAuthUser != "" || options.Authorization != "" {
		t.Error("clients get in by something else than an nkey")
	}
	for _, one := range w.workloads {
		for _, c := range containers(&one.pod.Spec) {
			text := strings.Join(append(slices.Clone(c.Command), c.Args...), " ")
			for _, e := range c.Env {
				text += " " + e.Name + "=" + e.Value
				if e.Name == "DATABASE_URL" && e.ValueFrom == nil {
					t.Errorf("%s: the database's URL, which has a password, is not a secret", one)
				}
			}
			if strings.Contains(strings.ToLower(text), "insecure") {
				t.Errorf("%s, container %s: %s", one, c.Name, text)
			}
		}
	}
	if len(w.secrets) > 0 {
		t.Error("secrets are in the repository")
	}
}
