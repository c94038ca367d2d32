package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	nodeUser = "system:node:" + nodeName
	// pauseImage is the one whose container holds a Pod's namespaces.
	pauseImage = "localhost/pause:e2e"
	// containerdSocket is where containerd's own programs look for it.
	containerdSocket = volatile + "/containerd/containerd.sock"
)

// nodeAssets are what a node is made of.
type nodeAssets struct {
	kubelet, scheduler, pause string
	containerRuntime
	// Of the run: the sandbox's cgroup, and the images that the node has.
	cgroup string
	images []string
}

func findNode(ctx context.Context) (*nodeAssets, error) {
	builder, err := cacheBuilder(filepath.Join("node", kubernetesVersion), nodePrograms()...)
	if err != nil {
		return nil, err
	}
	runtime, err := findRuntime(ctx)
	if err != nil {
		return nil, err
	}
	if err := builder.build(ctx); err != nil {
		return nil, err
	}
	in := func(name string) string { return filepath.Join(builder.folder, name) }
	return &nodeAssets{
		kubelet: in("kubelet"), scheduler: in("kube-scheduler"), pause: in("pause"),
		containerRuntime: runtime,
	}, nil
}

// prepare takes what belongs to one run.
func (a *nodeAssets) prepare(images []string) error {
	cgroup, err := insideSandbox()
	if err != nil {
		return err
	}
	a.cgroup = cgroup
	for _, image := range images {
		image, err := filepath.Abs(image)
		if err != nil {
			return err
		}
		a.images = append(a.images, image)
	}
	return nil
}

// A node runs Pods: containerd, a kubelet, and the scheduler that gives it some.
type node struct {
	assets                         *nodeAssets
	scheduler, containerd, kubelet *process
	imported                       bool
}

func (n *node) processes() []*process { return []*process{n.scheduler, n.containerd, n.kubelet} }

// newNode writes what the node's programs read.
func newNode(
	assets *nodeAssets, cp *controlPlane, folder *workdir, program func(name, path string, args ...string) *process,
) (*node, error) {
	in := func(name string) string { return filepath.Join(folder.path, name) }
	network := in("cni")
	kubelet, err := json.MarshalIndent(kubeletConfig(assets.cgroup, in("resolv.conf")), "", "  ")
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		os.Mkdir(network, 0o700),
		os.WriteFile(filepath.Join(network, "10-bridge.conflist"), []byte(networkConfig), 0o600),
		os.WriteFile(in("containerd.toml"), []byte(assets.containerdConfig(network)), 0o600),
		os.WriteFile(in("resolv.conf"), nil, 0o600),
		os.WriteFile(in("kubelet.json"), kubelet, 0o600),
		cp.id.writeKubeconfig(in("kubelet.kubeconfig"), cp.server, nodeUser, cp.id.kubelet),
		cp.id.writeKubeconfig(in("scheduler.kubeconfig"), cp.server, "system:kube-scheduler", cp.id.scheduler),
	)
	if err != nil {
		return nil, err
	}
	n := &node{
		assets: assets,
		scheduler: program("kube-scheduler", assets.scheduler,
			"--kubeconfig="+in("scheduler.kubeconfig"),
			"--secure-port=0", // serves nothing
			"--leader-elect=false",
			"--profiling=false",
		),
		containerd: program("containerd", assets.containerd, "--config="+in("containerd.toml")),
		kubelet: program("kubelet", assets.kubelet,
			"--config="+in("kubelet.json"),
			"--kubeconfig="+in("kubelet.kubeconfig"),
			"--hostname-override="+nodeName,
			"--node-ip="+bridgeAddress,
			"--root-dir="+volatile+"/kubelet",
			"--cert-dir="+volatile+"/kubelet/pki",
		),
	}
	// containerd looks for its shim, and the shim for runc.
	path := strings.Join([]string{filepath.Dir(assets.containerd), filepath.Dir(assets.runc), os.Getenv("PATH")},
		string(filepath.ListSeparator))
	n.containerd.env = []string{"PATH=" + path}
	return n, nil
}

// containerdConfig: everything in memory that is gone with the sandbox, also the
// folders that it makes unasked (/opt/containerd). No profile of AppArmor is
// loaded, which the whole machine would have.
func (a *nodeAssets) containerdConfig(network string) string {
	return fmt.Sprintf(`version = 2
root = "%[1]s/containerd/root"
state = "%[1]s/containerd/state"

[grpc]
address = %[2]q

[plugins."io.containerd.internal.v1.opt"]
path = "%[1]s/containerd/opt"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = %[3]q
# A root without CAP_SYS_RESOURCE may not let a process be spared.
restrict_oom_score_adj = true
disable_apparmor = true

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = %[4]q

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = %[5]q
conf_dir = %[6]q
`, volatile, containerdSocket, pauseImage, a.runc, a.plugins, network)
}

const networkConfig = `{
  "cniVersion": "0.4.0",
  "name": "pods",
  "plugins": [{
    "type": "bridge",
    "bridge": "` + bridgeName + `",
    "isGateway": true,
    "ipam": {
      "type": "host-local",
      "ranges": [[{"subnet": "` + podNetwork + `", "gateway": "` + bridgeAddress + `"}]],
      "routes": [{"dst": "0.0.0.0/0"}],
      "dataDir": "` + volatile + `/cni"
    }
  }]
}
`

// kubeletConfig: whoever is in the sandbox may ask it anything, and nothing is
// evicted from a machine that is not its own. The folder of volume plugins it would
// make below /usr/libexec. Pods ask the node for names: who
// wants them answered answers there.
func kubeletConfig(cgroup, resolvConf string) map[string]any {
	type object = map[string]any
	return object{
		"apiVersion":                  "kubelet.config.k8s.io/v1beta1",
		"kind":                        "KubeletConfiguration",
		"authentication":              object{"anonymous": object{"enabled": true}, "webhook": object{"enabled": false}},
		"authorization":               object{"mode": "AlwaysAllow"},
		"cgroupDriver":                "cgroupfs",
		"cgroupRoot":                  "/" + cgroup,
		"clusterDNS":                  []string{bridgeAddress},
		"clusterDomain":               "cluster.local",
		"containerRuntimeEndpoint":    "unix://" + containerdSocket,
		"enforceNodeAllocatable":      []string{},
		"evictionHard":                object{"imagefs.available": "0%", "memory.available": "0%", "nodefs.available": "0%"},
		"failCgroupV1":                false,
		"failSwapOn":                  false,
		"imageGCHighThresholdPercent": 100,
		"makeIPTablesUtilChains":      false,
		"resolvConf":                  resolvConf,
		"volumePluginDir":             volatile + "/kubelet/volume-plugins",
	}
}

// readiness returns the check that tells that a process of the node does its work.
func (n *node) readiness(cp *controlPlane, p *process) func(context.Context) error {
	switch p {
	case n.containerd:
		return n.hasImages
	case n.kubelet:
		return cp.nodeIsReady
	default:
		// What the scheduler does shows when there are Pods.
		return func(context.Context) error { return nil }
	}
}

// hasImages imports the images as soon as containerd takes them.
func (n *node) hasImages(ctx context.Context) error {
	run := func(args ...string) error {
		args = append([]string{"--address", containerdSocket, "--namespace", "k8s.io"}, args...)
		output, err := exec.CommandContext(ctx, n.assets.ctr, args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ctr: %w: %s", err, strings.TrimSpace(string(output)))
		}
		return nil
	}
	if err := run("version"); err != nil || n.imported {
		return err
	}
	for _, image := range n.assets.images {
		if err := run("images", "import", image); err != nil {
			return fmt.Errorf("%s: %w", image, err)
		}
	}
	n.imported = true
	return nil
}

func (cp *controlPlane) nodeIsReady(ctx context.Context) error {
	content, err := cp.read(ctx, "/api/v1/nodes/"+nodeName)
	if err != nil {
		return err
	}
	var object struct {
		Status struct {
			Conditions []struct{ Type, Status, Message string }
		}
	}
	if err := json.Unmarshal(content, &object); err != nil {
		return err
	}
	for _, condition := range object.Status.Conditions {
		if condition.Type == "Ready" {
			if condition.Status == "True" {
				return nil
			}
			return fmt.Errorf("the node is not ready: %s", condition.Message)
		}
	}
	return errors.New("the node has not said whether it is ready")
}
