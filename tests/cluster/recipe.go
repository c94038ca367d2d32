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
//go:embed go.mod go.sum cmd
var module embed.FS

// A program is something `build` makes: all a build depends on is in here.
type program struct {
	name    string
	ldflags []string
	// source is the package to build: a folder of the embedded module, or a
	// package of another module with its version.
	source string
	// usually is how long a build takes on two cores when nothing is cached.
	usually string
}

func (p program) embedded() bool { return strings.HasPrefix(p.source, "./") }

// controlPlanePrograms come in the order in which they are built: what is
// compiled for one is there for the next.
func controlPlanePrograms() []program {
	gitVersion := "-X k8s.io/component-base/version."
	major, minor, _ := strings.Cut(strings.TrimPrefix(kubernetesVersion, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	ldflags := []string{
		"-s", "-w",
		gitVersion + "gitVersion=" + kubernetesVersion,
		gitVersion + "gitMajor=" + major,
		gitVersion + "gitMinor=" + minor,
	}
	return []program{
		{"etcd", ldflags, "./cmd/etcd", "half a minute"},
		{"kube-apiserver", ldflags, "./cmd/kube-apiserver", "5 to 7 minutes"},
		{"kube-controller-manager", ldflags, "./cmd/kube-controller-manager", "2 to 3 minutes"},
		{"kubectl", ldflags, "./cmd/kubectl", "1 minute"},
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
	if p.embedded() {
		for _, root := range []string{"go.mod", "go.sum", filepath.ToSlash(filepath.Clean(p.source))} {
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

// unpackModule writes the embedded module to a folder.
func unpackModule(folder string) error {
	return fs.WalkDir(module, ".", func(path string, entry fs.DirEntry, err error) error {
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
}
