package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// static builds a program that needs no other file.
func static(t *testing.T) string {
	t.Helper()
	source := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(filepath.Dir(source), "nothing")
	build := exec.Command("go", "build", "-o", program, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s\n%s", err, output)
	}
	return program
}

func packed(t *testing.T, program string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "image.tar")
	err := run([]string{"--program", program, "--name", "localhost/nothing:1", "--out", out, "--cmd", "run", "--label", "b=2", "--label", "a=1"})
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

type entry struct {
	tar.Header
	content []byte
}

func entries(t *testing.T, archive []byte) map[string]entry {
	t.Helper()
	all := map[string]entry{}
	last := ""
	for reader := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := reader.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		if header.Name < last {
			t.Errorf("%s comes after %s", header.Name, last)
		}
		if header.Uid != 0 || header.Gid != 0 || header.ModTime.Unix() != 0 {
			t.Errorf("%s is not root's, or has a time", header.Name)
		}
		last = header.Name
		all[header.Name] = entry{*header, content}
	}
}

func decode(t *testing.T, content []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatal(err)
	}
}

func TestTheSameProgramGivesTheSameBytes(t *testing.T) {
	program := static(t)
	if !bytes.Equal(packed(t, program), packed(t, program)) {
		t.Fatal("two archives of one program differ")
	}
}

func TestBothWaysIntoTheArchiveLeadToOneImage(t *testing.T) {
	files := entries(t, packed(t, static(t)))
	var docker []struct {
		Config           string
		RepoTags, Layers []string
	}
	decode(t, files["manifest.json"].content, &docker)
	var index struct {
		Manifests []struct {
			Digest      string
			Annotations map[string]string
		}
	}
	decode(t, files["index.json"].content, &index)
	if docker[0].RepoTags[0] != "localhost/nothing:1" || index.Manifests[0].Annotations["io.containerd.image.name"] != "localhost/nothing:1" {
		t.Error("its name is lost")
	}
	at := func(digest string) string { return "blobs/sha256/" + strings.TrimPrefix(digest, "sha256:") }
	var manifest struct {
		Config struct{ Digest string }
		Layers []struct {
			Digest string
			Size   int
		}
	}
	decode(t, files[at(index.Manifests[0].Digest)].content, &manifest)
	if at(manifest.Config.Digest) != docker[0].Config || at(manifest.Layers[0].Digest) != docker[0].Layers[0] {
		t.Error("docker and OCI find different images")
	}
	layer := files[docker[0].Layers[0]].content
	if len(layer) != manifest.Layers[0].Size {
		t.Error("the layer's size is wrong")
	}

	var config struct {
		Architecture string
		Config       struct {
			User            string
			Entrypoint, Cmd []string
			Labels          map[string]string
		}
		Rootfs struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	decode(t, files[docker[0].Config].content, &config)
	if config.Architecture != runtime.GOARCH || config.Config.User != "65532:65532" || config.Config.Labels["a"] != "1" ||
		config.Config.Entrypoint[0] != "/usr/local/bin/nothing" || config.Config.Cmd[0] != "run" {
		t.Errorf("%+v", config)
	}
	reader, err := gzip.NewReader(bytes.NewReader(layer))
	if err != nil {
		t.Fatal(err)
	}
	root, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	if got := (blob{content: root}).digest(); got != config.Rootfs.DiffIDs[0] {
		t.Errorf("the layer is %s, not %s", got, config.Rootfs.DiffIDs[0])
	}
	inside := entries(t, root)
	if mode := inside["usr/local/bin/nothing"].Mode; mode != 0o555 {
		t.Errorf("the program's mode is %o", mode)
	}
	trusted := inside["etc/ssl/certs/ca-certificates.crt"].content
	count := 0
	for block, rest := pem.Decode(trusted); block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			t.Error(err)
		}
		count++
	}
	if count < 100 {
		t.Errorf("only %d authorities are trusted", count)
	}
}

func TestAProgramThatCouldNotStartIsRefused(t *testing.T) {
	shell, err := os.ReadFile("/bin/sh")
	if err != nil || !bytes.HasPrefix(shell, []byte("\x7fELF")) {
		t.Skip("no /bin/sh to try it with")
	}
	if _, err := architectureOf(shell); err == nil || !strings.Contains(err.Error(), "linked dynamically") {
		t.Errorf("got %v", err)
	}
	if _, err := architectureOf([]byte("#!/bin/sh\n")); err == nil {
		t.Error("a script has no architecture")
	}
}
