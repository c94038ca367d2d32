package main

import (
	"os"
	"path/filepath"
	"testing"
)

func mustOpen(t *testing.T, named string) *workdir {
	t.Helper()
	w, err := openWorkdir(t.Context(), named)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestATemporaryFolderIsRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	w := mustOpen(t, "")
	if err := w.close(); err != nil || exists(w.path) {
		t.Errorf("%s is still there, %v", w.path, err)
	}
}

func TestAKilledSupervisorsFolderIsSwept(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	killed, alive := mustOpen(t, ""), mustOpen(t, "")
	killed.held.unlock() // as the kernel does
	next := mustOpen(t, "")
	if exists(killed.path) {
		t.Error("the killed supervisor's folder is still there")
	}
	if !exists(alive.path) || !exists(next.path) {
		t.Error("a folder in use is gone")
	}
}

func TestATemporaryFolderOfSomebodyElseIsRefused(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	base := filepath.Dir(mustOpen(t, "").path)
	if err := os.Chmod(base, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := openWorkdir(t.Context(), ""); err == nil {
		t.Error("a folder that anybody can write to was used")
	}
}

func TestANamedFolderKeepsItsLogs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cluster")
	w := mustOpen(t, path)
	data, log := filepath.Join(path, "etcd"), filepath.Join(w.logs(), "etcd.log")
	for _, file := range []string{data, log} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := openWorkdir(t.Context(), path); err == nil {
		t.Error("a folder in use was used again")
	}
	if err := w.close(); err != nil || exists(data) || !exists(log) {
		t.Errorf("data %t, log %t, %v", exists(data), exists(log), err)
	}
	if w = mustOpen(t, path); exists(log) {
		t.Error("an earlier cluster's log is still there")
	}
	if err := w.close(); err != nil {
		t.Error(err)
	}
}

func TestAFolderWithOtherFilesIsRefused(t *testing.T) {
	path := t.TempDir()
	file := filepath.Join(path, "thesis")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openWorkdir(t.Context(), path); err == nil || !exists(file) {
		t.Errorf("used it: %v", err)
	}
}
