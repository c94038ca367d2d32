package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tests run the supervisor as the process that it is: this test program
// turns into it when the variable says so.
const becomeCluster = "CLUSTER_TEST_BECOME_CLUSTER"

func TestMain(m *testing.M) {
	if os.Getenv(becomeCluster) != "" {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// deadline bounds each wait of a test.
const deadline = time.Minute

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %s for %s", deadline, what)
		}
	}
}

func neverReady(context.Context) error { return errors.New("not ready") }

// A supervisor is a running `cluster`.
type supervisor struct {
	description
	t       *testing.T
	command *exec.Cmd
	stdin   io.WriteCloser
	stdout  *bufio.Reader
	stderr  *bytes.Buffer
	child   []int // process ids
}

// launch runs `cluster` without waiting for it.
func launch(t *testing.T, environment []string, args ...string) *supervisor {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a real control plane")
	}
	if runtime.GOOS != "linux" {
		t.Skip("looks for processes in /proc")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &supervisor{t: t, command: exec.Command(self, args...), stderr: &bytes.Buffer{}}
	s.command.Env = append(append(os.Environ(), becomeCluster+"=1"), environment...)
	s.command.Stderr = s.stderr
	stdin, err := s.command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := s.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	s.stdin, s.stdout = stdin, bufio.NewReader(stdout)
	t.Cleanup(func() {
		if s.command.ProcessState != nil {
			return // a test has seen its end
		}
		_ = s.command.Process.Signal(syscall.SIGTERM)
		_ = s.command.Wait()
	})
	return s
}

func (s *supervisor) readLine(into any) {
	s.t.Helper()
	line, err := s.stdout.ReadBytes('\n')
	if err != nil {
		s.t.Fatalf("%v: %s", err, s.exit())
	}
	if err := json.Unmarshal(line, into); err != nil {
		s.t.Fatalf("%s: %v", line, err)
	}
}

// exit waits for the end and tells what it was.
func (s *supervisor) exit() string {
	err := s.command.Wait() // after all of standard output was read
	if err == nil {
		return "exit status 0\n" + s.stderr.String()
	}
	return err.Error() + "\n" + s.stderr.String()
}

// startCluster runs `cluster start` until the cluster serves.
func startCluster(t *testing.T, environment []string, args ...string) *supervisor {
	t.Helper()
	s := launch(t, environment, append([]string{"start"}, args...)...)
	s.readLine(&s.description)
	s.child = children(t, s.command.Process.Pid)
	return s
}

func (s *supervisor) say(line string) reply {
	s.t.Helper()
	if _, err := fmt.Fprintln(s.stdin, line); err != nil {
		s.t.Fatal(err)
	}
	var answer reply
	s.readLine(&answer)
	return answer
}

func (s *supervisor) mustSay(line string) {
	s.t.Helper()
	if answer := s.say(line); !answer.OK {
		s.t.Fatalf("%s: %s", line, answer.Error)
	}
}

func (s *supervisor) kubectl(args ...string) (string, error) {
	command := exec.Command(s.Kubectl, append([]string{"--kubeconfig=" + s.Kubeconfig}, args...)...)
	output, err := command.CombinedOutput()
	return strings.TrimSpace(string(output)), err
}

func (s *supervisor) mustKubectl(args ...string) string {
	s.t.Helper()
	output, err := s.kubectl(args...)
	if err != nil {
		s.t.Fatalf("kubectl %q: %v: %s", args, err, output)
	}
	return output
}

// get asks the API server as somebody, or as nobody, and returns the status.
func (s *supervisor) get(path, token string) (int, error) {
	ca, err := os.ReadFile(*s.CAFile)
	if err != nil {
		return 0, err
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(ca)
	client := http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: trusted}},
	}
	request, err := http.NewRequest(http.MethodGet, *s.Server+path, nil)
	if err != nil {
		return 0, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// expectGone waits until no child lives.
func (s *supervisor) expectGone() {
	s.t.Helper()
	if len(s.child) == 0 {
		s.t.Fatal("there never was a child")
	}
	for _, pid := range s.child {
		eventually(s.t, fmt.Sprintf("the end of process %d", pid), func() bool { return !alive(pid) })
	}
}

// status reads /proc/PID/stat: the state, the parent and the process group.
func status(pid int) (state string, parent, group int, ok bool) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0, 0, false
	}
	_, rest, _ := strings.Cut(string(content), ") ") // the name may hold anything
	if _, err := fmt.Sscan(rest, &state, &parent, &group); err != nil {
		return "", 0, 0, false
	}
	return state, parent, group, true
}

func alive(pid int) bool {
	state, _, _, ok := status(pid)
	return ok && state != "Z"
}

func children(t *testing.T, parent int) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var found []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if _, its, _, ok := status(pid); ok && its == parent {
			found = append(found, pid)
		}
	}
	return found
}

func TestAClusterServesAndLeavesNothing(t *testing.T) {
	audit := filepath.Join(t.TempDir(), "audit.log")
	s := startCluster(t, nil, "--audit-log", audit)

	for _, namespace := range []string{"default", "kube-system"} {
		if got := s.mustKubectl("get", "namespaces", "--output=name"); !strings.Contains(got, "namespace/"+namespace) {
			t.Errorf("no namespace %s in %q", namespace, got)
		}
	}
	if info, err := os.Stat(s.Kubeconfig); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("kubeconfig: %v, %v", info.Mode(), err)
	}
	for _, pid := range s.child {
		if _, _, group, _ := status(pid); group != pid {
			t.Errorf("process %d is in the group %d, where a Ctrl-C might reach it", pid, group)
		}
	}

	// Nobody may read Secrets unless RBAC says so.
	token := s.mustKubectl("create", "token", "default")
	const secrets = "/api/v1/namespaces/default/secrets"
	for who, credential := range map[string]string{"anonymous": "", "an unprivileged account": token} {
		if got, err := s.get(secrets, credential); err != nil || got != http.StatusForbidden {
			t.Errorf("%s: %d, %v", who, got, err)
		}
	}
	if got, err := s.get(secrets, "made-up"); err != nil || got != http.StatusUnauthorized {
		t.Errorf("a made-up token: %d, %v", got, err)
	}
	s.mustKubectl("create", "rolebinding", "edit", "--clusterrole=edit", "--serviceaccount=default:default")
	eventually(t, "the role binding to work", func() bool {
		got, err := s.get(secrets, token)
		return err == nil && got == http.StatusOK
	})

	// The audit log has a user's writes as soon as they are answered.
	for i := range 3 {
		s.mustKubectl("--kubeconfig=/dev/null", "--server="+*s.Server, "--certificate-authority="+*s.CAFile,
			"--token="+token, "create", "configmap", fmt.Sprintf("c%d", i))
		if got := auditedWrites(t, audit, "system:serviceaccount:default:default"); got != i+1 {
			t.Errorf("%d writes in the audit log, want %d", got, i+1)
		}
	}

	// The controllers work: a namespace goes away.
	s.mustKubectl("create", "namespace", "passing")
	s.mustKubectl("delete", "namespace", "passing", "--timeout=1m")

	began := time.Now()
	s.stdin.Close()
	if got := s.exit(); !strings.HasPrefix(got, "exit status 0") {
		t.Error(got)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("stopping took %s", took)
	}
	s.expectGone()
	if exists(*s.Dir) {
		t.Errorf("%s is still there", *s.Dir)
	}
}

// auditedWrites counts the writes that a user asked for.
func auditedWrites(t *testing.T, path, user string) int {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	writes := 0
	for line := range bytes.Lines(content) {
		var event struct {
			Stage, Verb string
			User        struct{ Username string }
		}
		if err := json.Unmarshal(line, &event); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if event.Stage == "RequestReceived" && event.User.Username == user {
			writes++
		}
	}
	return writes
}

func TestTwoClustersAndAKilledSupervisor(t *testing.T) {
	folder := []string{"TMPDIR=" + t.TempDir()}
	killed, other := startCluster(t, folder), startCluster(t, folder)
	if err := killed.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed.expectGone()
	if got := other.mustKubectl("get", "namespace", "default", "--output=name"); got != "namespace/default" {
		t.Errorf("the other cluster: %q", got)
	}
	if !exists(*killed.Dir) {
		t.Fatalf("%s is gone: the sweep has nothing to do", *killed.Dir)
	}
	startCluster(t, folder, "--no-controller-manager")
	if exists(*killed.Dir) || !exists(*other.Dir) {
		t.Error("the sweep removed too little or too much")
	}
}

func TestAnOutage(t *testing.T) {
	s := startCluster(t, nil)
	token := s.mustKubectl("create", "token", "default")
	serves := func() bool {
		got, err := s.get("/version", token)
		return err == nil && got == http.StatusOK
	}
	for _, program := range []string{"kube-apiserver", "etcd"} {
		for _, verb := range []string{"stop", "kill"} {
			s.mustSay(verb + " " + program)
			if program == "kube-apiserver" && serves() {
				t.Errorf("served after %s %s", verb, program)
			}
			if answer := s.say(verb + " " + program); answer.OK {
				t.Errorf("%s %s worked twice", verb, program)
			}
			s.mustSay("start " + program)
		}
		s.mustSay("pause " + program)
		s.mustSay("resume " + program)
	}
	eventually(t, "the API server to serve the old token", serves)
	for _, line := range []string{"", "stop", "stop everything", "start etcd", "praise etcd"} {
		if answer := s.say(line); answer.OK || answer.Error == "" {
			t.Errorf("%q: %+v", line, answer)
		}
	}

	// The old port is waited for.
	s.mustSay("stop kube-apiserver")
	server, err := url.Parse(*s.Server)
	if err != nil {
		t.Fatal(err)
	}
	squatter, err := net.Listen("tcp", server.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer squatter.Close()
	if _, err := fmt.Fprintln(s.stdin, "start kube-apiserver"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the API server to find its port taken", func() bool {
		log, err := os.ReadFile(filepath.Join(*s.LogDir, "kube-apiserver.log"))
		return err == nil && saysPortTaken(string(log))
	})
	squatter.Close()
	var answer reply
	if s.readLine(&answer); !answer.OK {
		t.Error(answer.Error)
	}

	// With a program paused it still stops in time.
	s.mustSay("pause etcd")
	s.mustSay("pause kube-apiserver")
	began := time.Now()
	s.stdin.Close()
	if got := s.exit(); !strings.HasPrefix(got, "exit status 0") {
		t.Error(got)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("stopping took %s", took)
	}
}

func TestASignalStopsACluster(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		folder := t.TempDir()
		s := startCluster(t, nil, "--until-signal", "--no-controller-manager", "--dir", folder)
		s.stdin.Close() // means nothing now
		s.mustKubectl("get", "namespaces")
		if err := s.command.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if got := s.exit(); !strings.HasPrefix(got, "exit status 0") {
			t.Errorf("%s: %s", signal, got)
		}
		s.expectGone()
		if exists(s.Kubeconfig) || !exists(filepath.Join(*s.LogDir, "kube-apiserver.log")) {
			t.Error("only the logs should be left")
		}
	}
}

func TestAnEndDuringTheStartLeavesNothing(t *testing.T) {
	temporary := t.TempDir()
	s := launch(t, []string{"TMPDIR=" + temporary}, "start")
	eventually(t, "the first child", func() bool {
		s.child = children(t, s.command.Process.Pid)
		return len(s.child) > 0
	})
	s.stdin.Close()
	if _, err := s.stdout.ReadByte(); err != io.EOF {
		t.Errorf("it described a cluster: %v", err)
	}
	if got := s.exit(); !strings.HasPrefix(got, "exit status 1") || !strings.Contains(got, errEndOfInput.Error()) {
		t.Error(got)
	}
	s.expectGone()
	left, err := filepath.Glob(filepath.Join(temporary, "*", "[^.]*")) // but the lock
	if err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
}

func TestAChildsDeathEndsTheCluster(t *testing.T) {
	s := startCluster(t, nil, "--no-controller-manager")
	for _, pid := range s.child {
		if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && strings.HasPrefix(string(name), "etcd") {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := s.stdout.ReadByte(); err != io.EOF {
		t.Errorf("it said more: %v", err)
	}
	if got := s.exit(); !strings.HasPrefix(got, "exit status 1") || !strings.Contains(got, "etcd ended: signal: killed") {
		t.Error(got)
	}
	s.expectGone()
	if exists(*s.Dir) {
		t.Errorf("%s is still there", *s.Dir)
	}
}

func TestATakenPortIsReplaced(t *testing.T) {
	// An etcd that finds its port taken once.
	real := startCluster(t, nil, "--no-controller-manager")
	programs := filepath.Dir(real.Kubectl)
	folder := t.TempDir()
	for _, name := range []string{"kube-apiserver", "kubectl"} {
		if err := os.Symlink(filepath.Join(programs, name), filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	script := fmt.Sprintf("#!/bin/sh\nif mkdir '%s/once' 2>/dev/null; then echo 'bind: address already in use'; exit 1; fi\nexec '%s/etcd' \"$@\"\n",
		folder, programs)
	if err := os.WriteFile(filepath.Join(folder, "etcd"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	s := startCluster(t, []string{"KUBEBUILDER_ASSETS=" + folder})
	if s.Kubectl != filepath.Join(folder, "kubectl") {
		t.Errorf("kubectl is %s", s.Kubectl)
	}
	s.mustKubectl("get", "namespaces")
	s.stdin.Close()
	if got := s.exit(); !strings.Contains(got, errPortTaken.Error()) {
		t.Error(got)
	}

	existing := startCluster(t, []string{"USE_EXISTING_CLUSTER=true", "KUBECONFIG=" + real.Kubeconfig})
	if existing.Kubeconfig != real.Kubeconfig || existing.Server == nil || *existing.Server != *real.Server || existing.Dir != nil {
		t.Errorf("got %+v", existing.description)
	}
	if len(existing.child) > 0 {
		t.Error("it started something")
	}
	if answer := existing.say("stop etcd"); answer.OK {
		t.Error("it stopped an existing cluster's etcd")
	}
	existing.stdin.Close()
	if got := existing.exit(); !strings.HasPrefix(got, "exit status 0") {
		t.Error(got)
	}
}
