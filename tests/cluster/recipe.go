package main

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

const (
	kubernetesVersion = "v1.37.2"
	helmVersion       = "v4.3.1"
	helm3Version      = "v3.22.0"
	// helm3Kubernetes is the minor version of the client-go that helm 3 has in
	// its go.mod. Its makefile sets it; helm 4 finds it by itself.
	helm3Kubernetes = "37"
)

// The module that the programs are built from travels inside this program, so
// that it can build them wherever it runs.
//
//go:embed go.mod go.sum node.sum cmd
var module embed.FS

// nodeSums are the lines that a node's programs need in go.sum besides. In go.sum
// itself, as what they need in go.mod, they would be a reason to build the control
// plane again.
const nodeSums = "node.sum"

// A program is something `build` makes: all a build depends on is in here.
type program struct {
	name    string
	ldflags []string
	tags    string // build tags, with commas
	// source is the package to build: a folder of the embedded module, or a
	// package of another module with its version.
	source string
	// usually is how long a build takes on two cores when nothing is cached.
	usually string
	// sums is a file of the embedded module that go.sum goes on with, or empty.
	sums string
}

func (p program) embedded() bool { return strings.HasPrefix(p.source, "./") }

// controlPlanePrograms come in the order in which they are built: what is
// compiled for one is there for the next.
func controlPlanePrograms() []program {
	ldflags := kubernetesFlags()
	return []program{
		{name: "etcd", ldflags: ldflags, source: "./cmd/etcd", usually: "half a minute"},
		{name: "kube-apiserver", ldflags: ldflags, source: "./cmd/kube-apiserver", usually: "5 to 7 minutes"},
		{name: "kube-controller-manager", ldflags: ldflags, source: "./cmd/kube-controller-manager", usually: "2 to 3 minutes"},
		{name: "kubectl", ldflags: ldflags, source: "./cmd/kubectl", usually: "1 minute"},
	}
}

// nodePrograms are what a node needs besides the container runtime, and the
// scheduler, which is of no use without one.
func nodePrograms() []program {
	ldflags := kubernetesFlags()
	return []program{
		{name: "pause", ldflags: []string{"-s", "-w"}, source: "./cmd/pause", usually: "a second"},
		{name: "kube-scheduler", ldflags: ldflags, source: "./cmd/kube-scheduler", usually: "half a minute", sums: nodeSums},
		{name: "kubelet", ldflags: ldflags, source: "./cmd/kubelet", usually: "1 to 2 minutes", sums: nodeSums},
	}
}

func kubernetesFlags() []string {
	gitVersion := "-X k8s.io/component-base/version."
	major, minor, _ := strings.Cut(strings.TrimPrefix(kubernetesVersion, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	return []string{
		"-s", "-w",
		gitVersion + "gitVersion=" + kubernetesVersion,
		gitVersion + "gitMajor=" + major,
		gitVersion + "gitMinor=" + minor,
	}
}

// helmProgram is helm of that version, such as v4.3.1.
func helmProgram(version string) program {
	major, _, _ := strings.Cut(version, ".")
	module := "helm.sh/helm/" + major
	ldflags := []string{"-s", "-w", "-X " + module + "/internal/version.version=" + version}
	if major == "v3" {
		for _, where := range []string{"chartutil", "lint/rules"} {
			version := "-X " + module + "/pkg/" + where + ".k8sVersion"
			ldflags = append(ldflags, version+"Major=1", version+"Minor="+helm3Kubernetes)
		}
	}
	return program{
		name:    "helm",
		ldflags: ldflags,
		source:  module + "/cmd/helm@" + version,
		usually: "2 to 3 minutes",
	}
}

// stamp identifies what a program is built from: two programs with the same
// stamp are interchangeable.
func (p program) stamp() (string, error) {
	hash := sha256.New()
	fmt.Fprintf(hash, "%s\n%s\n%s/%s\n", p.source, strings.Join(p.ldflags, " "), runtime.GOOS, runtime.GOARCH)
	if p.tags != "" {
		fmt.Fprintf(hash, "%s\n", p.tags)
	}
	if p.embedded() {
		roots := []string{"go.mod", "go.sum", filepath.ToSlash(filepath.Clean(p.source))}
		if p.sums != "" {
			roots = append(roots, p.sums)
		}
		for _, root := range roots {
			err := fs.WalkDir(module, root, func(path string, entry fs.DirEntry, err error) error {
				if err != nil || entry.IsDir() {
					return err
				}
				content, err := module.ReadFile(path)
				fmt.Fprintf(hash, "%s %d\n%s", path, len(content), content)
				return err
			})
			if err != nil {
				return "", err
			}
		}
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// unpackModule writes the embedded module to a folder, with go.sum as a program
// needs it.
func unpackModule(folder string, p program) error {
	err := fs.WalkDir(module, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(folder, filepath.FromSlash(path))
		if entry.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		content, err := module.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o600)
	})
	if err != nil || p.sums == "" {
		return err
	}
	var sums []byte
	for _, name := range []string{"go.sum", p.sums} {
		content, err := module.ReadFile(name)
		if err != nil {
			return err
		}
		sums = append(sums, content...)
	}
	return os.WriteFile(filepath.Join(folder, "go.sum"), sums, 0o600)
}
