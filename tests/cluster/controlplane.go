package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	startDeadline = 2 * time.Minute
	// stopGrace is short: nothing of a throwaway cluster needs saving.
	stopGrace    = time.Second
	portAttempts = 5
)

// auditPolicy: a write's RequestReceived is in the log before the write is
// handled, so whoever got the answer to a write finds it there. Its
// ResponseComplete, with the status code, may follow the answer.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
- level: Metadata
  omitStages: [RequestReceived]
`

// A controlPlane is a running etcd, kube-apiserver and, perhaps,
// kube-controller-manager and a node.
type controlPlane struct {
	etcd, apiServer   *process
	controllerManager *process // nil: there is none
	node              *node    // nil: there is none

	name       string // of the etcd member
	etcdURL    string
	server     string
	kubeconfig string
	id         *identity
	client     *http.Client
	died       chan *process
}

// startControlPlane starts everything in a folder and waits until it serves.
func startControlPlane(ctx context.Context, programs assets, folder *workdir, auditLog string) (*controlPlane, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startDeadline, fmt.Errorf("not ready within %s", startDeadline))
	defer cancel()
	id, err := newIdentity(folder.path)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		cp, err := newControlPlane(programs, folder, id, auditLog)
		if err != nil {
			return nil, err
		}
		if err = cp.start(ctx); err == nil {
			return cp, nil
		}
		cp.stop()
		if !errors.Is(err, errPortTaken) || attempt == portAttempts {
			return nil, err
		}
		progress("%s: starting again with others", errPortTaken)
		if err := os.RemoveAll(filepath.Join(folder.path, "etcd")); err != nil {
			return nil, err
		}
	}
}

// newControlPlane chooses ports and writes what the programs read.
func newControlPlane(programs assets, folder *workdir, id *identity, auditLog string) (*controlPlane, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(id.ca)
	in := func(name string) string { return filepath.Join(folder.path, name) }
	cp := &controlPlane{
		name:       filepath.Base(folder.path),
		etcdURL:    fmt.Sprintf("http://127.0.0.1:%d", ports[0]),
		server:     fmt.Sprintf("https://127.0.0.1:%d", ports[2]),
		kubeconfig: in("kubeconfig"),
		id:         id,
		client: &http.Client{
			Timeout: 5 * time.Second,
			// No kept connections: the server at the other end comes and goes.
			Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: trusted}},
		},
		died: make(chan *process, 6),
	}
	address, authorization := "127.0.0.1", "RBAC"
	if programs.node != nil {
		// Pods reach it as they do everywhere, at the address of its Service.
		address, authorization = "0.0.0.0", "Node,RBAC"
		ports[2] = 443
		cp.server = "https://127.0.0.1:443"
	}
	if err := id.writeKubeconfig(cp.kubeconfig, cp.server, "admin", id.admin); err != nil {
		return nil, err
	}
	program := func(name, path string, args ...string) *process {
		return &process{name: name, path: path, args: args, folder: folder.path, logPath: filepath.Join(folder.logs(), name+".log")}
	}
	peerURL := fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	cp.etcd = program("etcd", programs.etcd,
		"--name="+cp.name,
		"--data-dir="+in("etcd"),
		"--listen-client-urls="+cp.etcdURL,
		"--advertise-client-urls="+cp.etcdURL,
		"--listen-peer-urls="+peerURL,
		"--initial-advertise-peer-urls="+peerURL,
		"--initial-cluster="+cp.name+"="+peerURL,
		"--unsafe-no-fsync",
		"--log-level=warn",
	)
	apiServerArgs := []string{
		"--etcd-servers=" + cp.etcdURL,
		"--bind-address=" + address,
		// Nobody needs the endpoints of the Service `kubernetes`, which can't be
		// on loopback anyway: without a node, or where its address is the node's.
		"--advertise-address=127.0.0.1",
		"--endpoint-reconciler-type=none",
		fmt.Sprintf("--secure-port=%d", ports[2]),
		"--tls-cert-file=" + id.certFile,
		"--tls-private-key-file=" + id.keyFile,
		"--cert-dir=" + in("apiserver"),
		"--authorization-mode=" + authorization,
		"--token-auth-file=" + id.tokenFile,
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + id.serviceAccountKeyFile,
		"--service-account-signing-key-file=" + id.serviceAccountKeyFile,
		"--service-cluster-ip-range=10.0.0.0/24",
		"--allow-privileged=true",
		"--profiling=false",
	}
	if programs.node != nil {
		apiServerArgs = append(apiServerArgs, "--kubelet-preferred-address-types=InternalIP")
	}
	if auditLog != "" {
		policy := in("audit-policy.yaml")
		if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
			return nil, err
		}
		apiServerArgs = append(apiServerArgs,
			"--audit-policy-file="+policy,
			"--audit-log-path="+auditLog,
			"--audit-log-mode=blocking",
			"--audit-log-maxsize=10000", // megabytes: never rotated
		)
	}
	cp.apiServer = program("kube-apiserver", programs.apiServer, apiServerArgs...)
	if programs.node != nil {
		if cp.node, err = newNode(programs.node, cp, folder, program); err != nil {
			return nil, err
		}
	}
	if programs.controllerManager == "" {
		return cp, nil
	}
	kubeconfig := in("controller-manager.kubeconfig")
	if err := id.writeKubeconfig(kubeconfig, cp.server, "system:kube-controller-manager", id.controllerManager); err != nil {
		return nil, err
	}
	cp.controllerManager = program("kube-controller-manager", programs.controllerManager,
		"--kubeconfig="+kubeconfig,
		"--secure-port=0", // serves nothing
		"--leader-elect=false",
		"--use-service-account-credentials=true",
		"--service-account-private-key-file="+id.serviceAccountKeyFile,
		"--root-ca-file="+id.caFile,
		"--kube-api-qps=200",
		"--kube-api-burst=400",
		"--profiling=false",
		// It would be made below /usr/libexec.
		"--flex-volume-plugin-dir="+in("volume-plugins"),
	)
	return cp, nil
}

func (cp *controlPlane) processes() []*process {
	all := []*process{cp.etcd, cp.apiServer}
	if cp.controllerManager != nil {
		all = append(all, cp.controllerManager)
	}
	if cp.node != nil {
		all = append(all, cp.node.processes()...)
	}
	return all
}

func (cp *controlPlane) start(ctx context.Context) error {
	for _, p := range cp.processes() {
		if err := cp.bringUp(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// bringUp starts one process and waits until it does its work.
func (cp *controlPlane) bringUp(ctx context.Context, p *process) error {
	if err := p.start(); err != nil {
		return err
	}
	if err := waitFor(ctx, p, cp.readiness(p)); err != nil {
		_ = p.stop(0) // fails only if it ended by itself
		return err
	}
	p.reportDeath(cp.died)
	return nil
}

// stop ends all that runs, all at once.
func (cp *controlPlane) stop() {
	var ends sync.WaitGroup
	for _, p := range cp.processes() {
		ends.Go(func() { _ = p.stop(stopGrace) }) // fails only if it doesn't run
	}
	ends.Wait()
}
