package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// An identity is what the control plane proves itself and its users with: a
// CA, the API server's certificate, the key that signs ServiceAccount tokens,
// and tokens for its users.
type identity struct {
	caFile, certFile, keyFile string
	serviceAccountKeyFile     string
	tokenFile                 string
	ca                        []byte // PEM
	// Tokens. The last two are a node's, if there is one.
	admin, controllerManager, scheduler, kubelet string
}

const lifetime = 30 * 24 * time.Hour

// newIdentity makes everything anew in a folder.
func newIdentity(folder string) (*identity, error) {
	id := &identity{
		caFile:                filepath.Join(folder, "ca.crt"),
		certFile:              filepath.Join(folder, "apiserver.crt"),
		keyFile:               filepath.Join(folder, "apiserver.key"),
		serviceAccountKeyFile: filepath.Join(folder, "service-account.key"),
		tokenFile:             filepath.Join(folder, "tokens.csv"),
		admin:                 rand.Text(),
		controllerManager:     rand.Text(),
		scheduler:             rand.Text(),
		kubelet:               rand.Text(),
	}
	caKey, caKeyErr := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	serverKey, serverKeyErr := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	accountKey, accountKeyErr := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err := errors.Join(caKeyErr, serverKeyErr, accountKeyErr); err != nil {
		return nil, err
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "vaultsecret test CA " + rand.Text()[:8]},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(lifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return nil, err
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "kube-apiserver"},
		NotBefore:    ca.NotBefore,
		NotAfter:     ca.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback, net.IPv4(10, 0, 0, 1)},
	}
	serverDER, err := x509.CreateCertificate(rand.Reader, server, ca, serverKey.Public(), caKey)
	if err != nil {
		return nil, err
	}
	serverKeyDER, serverKeyErr := x509.MarshalECPrivateKey(serverKey)
	accountKeyDER, accountKeyErr := x509.MarshalECPrivateKey(accountKey)
	if err := errors.Join(serverKeyErr, accountKeyErr); err != nil {
		return nil, err
	}
	id.ca = encodePEM("CERTIFICATE", caDER)
	tokens := fmt.Sprintf("%s,admin,admin,system:masters\n"+
		"%s,system:kube-controller-manager,system:kube-controller-manager\n"+
		"%s,system:kube-scheduler,system:kube-scheduler\n"+
		"%s,%[5]s,%[5]s,system:nodes\n",
		id.admin, id.controllerManager, id.scheduler, id.kubelet, nodeUser)
	return id, errors.Join(
		os.WriteFile(id.caFile, id.ca, 0o600),
		os.WriteFile(id.certFile, encodePEM("CERTIFICATE", serverDER), 0o600),
		os.WriteFile(id.keyFile, encodePEM("EC PRIVATE KEY", serverKeyDER), 0o600),
		os.WriteFile(id.serviceAccountKeyFile, encodePEM("EC PRIVATE KEY", accountKeyDER), 0o600),
		os.WriteFile(id.tokenFile, []byte(tokens), 0o600),
	)
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// writeKubeconfig writes a kubeconfig for one user. It is JSON, which is YAML.
func (id *identity) writeKubeconfig(path, server, user, token string) error {
	type object map[string]any
	const name = "vaultsecret-test"
	content, err := json.MarshalIndent(object{
		"apiVersion":      "v1",
		"kind":            "Config",
		"current-context": name,
		"clusters": []object{{"name": name, "cluster": object{
			"server":                     server,
			"certificate-authority-data": base64.StdEncoding.EncodeToString(id.ca),
		}}},
		"users":    []object{{"name": user, "user": object{"token": token}}},
		"contexts": []object{{"name": name, "context": object{"cluster": name, "user": user}}},
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(content, '\n'), 0o600)
}
