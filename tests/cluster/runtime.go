package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// containerRuntime is what runs containers, and connects them.
type containerRuntime struct {
	containerd, ctr, runc string
	plugins               string // a folder of CNI plugins
}

// A component is a part of it that the machine may have, and that a package of
// Debian or Ubuntu brings where it has not.
type component struct {
	pkg      string
	programs []string
	// folders, besides those of PATH, to find the programs in.
	folders []string
}

var (
	containerdComponent = component{pkg: "containerd", programs: []string{"containerd", "containerd-shim-runc-v2", "ctr"}}
	runcComponent       = component{pkg: "runc", programs: []string{"runc"}}
	pluginsComponent    = component{
		pkg:      "containernetworking-plugins",
		programs: []string{"bridge", "host-local", "loopback"},
		folders:  []string{"/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"},
	}
)

// findRuntime takes what the machine has, and unpacks packages into the cache for
// what it has not: nothing is installed, and no service started.
func findRuntime(ctx context.Context) (containerRuntime, error) {
	containerd, err := containerdComponent.find(ctx)
	if err != nil {
		return containerRuntime{}, err
	}
	runc, err := runcComponent.find(ctx)
	if err != nil {
		return containerRuntime{}, err
	}
	plugins, err := pluginsComponent.find(ctx)
	if err != nil {
		return containerRuntime{}, err
	}
	found := containerRuntime{
		containerd: filepath.Join(containerd, "containerd"),
		ctr:        filepath.Join(containerd, "ctr"),
		runc:       filepath.Join(runc, "runc"),
		plugins:    plugins,
	}
	// A package without the libraries it depends on would fail only later.
	for _, program := range []string{found.containerd, found.runc} {
		if output, err := exec.CommandContext(ctx, program, "--version").CombinedOutput(); err != nil {
			return found, fmt.Errorf("%s does not run: %w: %s", program, err, strings.TrimSpace(string(output)))
		}
	}
	return found, nil
}

// find returns the folder of the component's programs.
func (c component) find(ctx context.Context) (string, error) {
	if folder := c.within(append(filepath.SplitList(os.Getenv("PATH")), c.folders...)); folder != "" {
		return folder, nil
	}
	cache, err := cacheBuilder(filepath.Join("node", "packages"))
	if err != nil {
		return "", err
	}
	root := filepath.Join(cache.folder, c.pkg)
	inPackage := []string{filepath.Join(root, "usr/bin"), filepath.Join(root, "usr/sbin"), filepath.Join(root, "usr/lib/cni")}
	if folder := c.within(inPackage); folder != "" {
		return folder, nil
	}
	if err := c.unpack(ctx, root); err != nil {
		return "", err
	}
	if folder := c.within(inPackage); folder != "" {
		return folder, nil
	}
	return "", fmt.Errorf("the package %s has no %s", c.pkg, strings.Join(c.programs, ", "))
}

// within returns the first folder that holds all of the programs.
func (c component) within(folders []string) string {
	for _, folder := range folders {
		all := true
		for _, program := range c.programs {
			info, err := os.Stat(filepath.Join(folder, program))
			all = all && err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
		}
		if all {
			return folder
		}
	}
	return ""
}

// unpack gets the package from where this machine gets its packages. It appears in
// its place only when it is whole.
func (c component) unpack(ctx context.Context, root string) error {
	for _, tool := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("the programs %s, and %s to get Debian's package %s with",
				strings.Join(c.programs, ", "), tool, c.pkg)
		}
	}
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(root), ".unpack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	progress("%s: unpacking the distribution's package into %s", c.pkg, root)
	// Root hands its downloads to another user, who may not write to this folder.
	download := exec.CommandContext(ctx, "apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", c.pkg)
	download.Dir = work
	if output, err := download.CombinedOutput(); err != nil {
		return fmt.Errorf("the package %s can't be had (`apt-get update` may help): %w: %s",
			c.pkg, err, strings.TrimSpace(string(output)))
	}
	packages, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil || len(packages) != 1 {
		return errors.Join(fmt.Errorf("apt-get brought %d packages for %s", len(packages), c.pkg), err)
	}
	unpacked := filepath.Join(work, "root")
	output, err := exec.CommandContext(ctx, "dpkg-deb", "-x", packages[0], unpacked).CombinedOutput()
	if err != nil {
		return fmt.Errorf("unpacking %s: %w: %s", c.pkg, err, strings.TrimSpace(string(output)))
	}
	if err := os.RemoveAll(root); err != nil {
		return err
	}
	return os.Rename(unpacked, root)
}
