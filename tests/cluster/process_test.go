package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shell is a process that runs a shell script.
func shell(t *testing.T, script string) *process {
	folder := t.TempDir()
	return &process{
		name: "script", path: "/bin/sh", args: []string{"-c", script},
		folder: folder, logPath: filepath.Join(folder, "log"),
	}
}

func never(t *testing.T) *process {
	p := shell(t, "exec sleep 1000")
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.stop(0) })
	return p
}

func TestAProcessIsStopped(t *testing.T) {
	p := never(t)
	if err := p.start(); err == nil {
		t.Error("started twice")
	}
	if err := p.stop(10 * time.Second); err != nil {
		t.Error(err)
	}
	if err := p.stop(0); err == nil {
		t.Error("stopped twice")
	}
	if err := p.start(); err != nil { // and once more
		t.Error(err)
	}
}

func TestAProcessThatIgnoresSIGTERMIsKilled(t *testing.T) {
	p := shell(t, "trap '' TERM; echo deaf; while :; do sleep 0.01; done")
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the trap to be set", func() bool { return strings.Contains(p.logTail(), "deaf") })
	if err := p.stop(50 * time.Millisecond); err != nil {
		t.Error(err)
	}
	if !strings.Contains(p.obituary(), "killed") {
		t.Error(p.obituary())
	}
}

func TestOnlyAnUnaskedDeathIsReported(t *testing.T) {
	died := make(chan *process, 1)
	asked := never(t)
	asked.reportDeath(died)
	if err := asked.stop(0); err != nil {
		t.Fatal(err)
	}
	p := shell(t, "echo famous last words; exit 3")
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	p.reportDeath(died)
	if got := <-died; got != p {
		t.Error("another one died")
	}
	if got := p.obituary(); !strings.Contains(got, "exit status 3") || !strings.Contains(got, "famous last words") {
		t.Error(got)
	}
}

func TestAnOldLogIsNotHeldAgainstANewProcess(t *testing.T) {
	p := shell(t, "echo new")
	if err := os.WriteFile(p.logPath, []byte("bind: address already in use\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	<-p.over()
	if log := p.logTail(); saysPortTaken(log) || !strings.Contains(log, "new") {
		t.Error(log)
	}
}

func TestFreePorts(t *testing.T) {
	ports, err := freePorts(50)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range ports {
		if seen[port] || port < lowestPort || port >= firstClientPort() {
			t.Errorf("port %d", port)
		}
		seen[port] = true
	}
}

func TestATakenPortIsToldFromOtherFailures(t *testing.T) {
	for script, taken := range map[string]bool{
		"echo 'listen tcp 127.0.0.1:1: bind: address already in use'; exit 1": true,
		"echo 'no such file'; exit 1":                                         false,
	} {
		p := shell(t, script)
		if err := p.start(); err != nil {
			t.Fatal(err)
		}
		err := waitFor(t.Context(), p, neverReady)
		if err == nil || errors.Is(err, errPortTaken) != taken {
			t.Errorf("%s: %v", script, err)
		}
	}
}
