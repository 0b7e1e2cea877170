package clustertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"time"

	"github.com/nats-io/nkeys"
)

// files makes the authority, the servers' certificate and everybody's nkeys.
func (c *Cluster) files() error {
	if c.options.Like != nil {
		return os.CopyFS(c.file("keys"), os.DirFS(c.options.Like.file("keys")))
	}
	if err := os.Mkdir(c.file("keys"), 0o700); err != nil {
		return err
	}
	if err := WriteSeed(c.NKeyFile()); err != nil {
		return err
	}
	for _, provider := range c.options.Providers {
		if err := WriteSeed(c.ProviderKey(provider)); err != nil {
			return err
		}
	}
	over := time.Now().Add(24 * time.Hour)
	if c.options.Expired {
		over = time.Now().Add(-time.Hour)
	}
	return writeCertificates(c.CAFile(), c.file("keys/server.pem"), c.file("keys/server.key"), over)
}

// WriteSeed makes a user nkey and writes its seed.
func WriteSeed(file string) error {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return err
	}
	seed, err := pair.Seed()
	if err != nil {
		return err
	}
	return os.WriteFile(file, seed, 0o600)
}

func writeCertificates(caFile, certFile, keyFile string, over time.Time) error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "clustertest authority"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "clustertest server"},
		NotBefore: time.Now().Add(-36 * time.Hour), NotAfter: over,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for name, block := range map[string]*pem.Block{
		caFile:   {Type: "CERTIFICATE", Bytes: caDER},
		certFile: {Type: "CERTIFICATE", Bytes: leafDER},
		keyFile:  {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}
