package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// inSandbox is the supervisor of a sandbox with a shell that runs a script.
func inSandbox(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	if missing := missingForSandbox(); len(missing) > 0 {
		t.Skip(errMissing(missing))
	}
	command := exec.Command(os.Args[0], "sandbox", "sh", "-c", script)
	command.Env = append(os.Environ(), becomeCluster+"=1")
	command.Stderr = os.Stderr
	return command
}

func exitOf(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("expected an exit status, got %v", err)
	}
	return exit.ExitCode()
}

// cgroupsOf lists the groups of the sandbox of a supervisor.
func cgroupsOf(t *testing.T, supervisor int) []string {
	t.Helper()
	hierarchies, _, err := cgroupHierarchies()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, hierarchy := range hierarchies {
		folder := filepath.Join(hierarchy, cgroupPrefix+strconv.Itoa(supervisor))
		if _, err := os.Stat(folder); err == nil {
			found = append(found, folder)
		}
	}
	return found
}

func TestNothingLeavesASandbox(t *testing.T) {
	const parameter = "/proc/sys/kernel/panic"
	before, err := os.ReadFile(parameter)
	if err != nil {
		t.Fatal(err)
	}
	written := []string{"/var/lib/of-a-sandbox", "/var/log/of-a-sandbox", "/run/of-a-sandbox"}
	command := inSandbox(t, "touch "+strings.Join(written, " ")+"; echo 77 > "+parameter+
		"; hostname; ip -o link | cut -d: -f2; for g in /sys/fs/cgroup/*/$"+sandboxVariable+
		"; do mkdir -p $g/a/b; done; exit 7")
	output, err := command.Output()
	if got := exitOf(t, err); got != 7 {
		t.Fatalf("the status is %d, not the command's: %s", got, output)
	}
	if got := strings.Join(strings.Fields(string(output)), " "); got != "node lo node0" {
		t.Errorf("within it is %q", got)
	}
	for _, path := range written {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is there", path)
		}
	}
	if after, _ := os.ReadFile(parameter); string(after) != string(before) {
		t.Errorf("%s is %q", parameter, after)
	}
	if left := cgroupsOf(t, command.Process.Pid); len(left) > 0 {
		t.Errorf("these are left: %s", left)
	}
}

// startedInSandbox runs a script, and returns once that has said something.
func startedInSandbox(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	command := inSandbox(t, script)
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(output).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return command
}

func TestASignalEndsTheCommandOfASandbox(t *testing.T) {
	command := startedInSandbox(t, "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done")
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := exitOf(t, command.Wait()); got != 5 {
		t.Errorf("the status is %d, not the command's", got)
	}
}

func TestASandboxDiesWithItsSupervisor(t *testing.T) {
	command := startedInSandbox(t, "echo ready; sleep 1000 & sleep 1000")
	within := children(t, command.Process.Pid)
	if len(within) != 1 {
		t.Fatalf("expected one first process, got %v", within)
	}
	if len(cgroupsOf(t, command.Process.Pid)) == 0 {
		t.Error("it has no cgroup")
	}
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait()
	eventually(t, "the end of the first process", func() bool { return !alive(within[0]) })
	if err := inSandbox(t, "true").Run(); err != nil {
		t.Fatal(err)
	}
	if left := cgroupsOf(t, command.Process.Pid); len(left) > 0 {
		t.Errorf("the next one left %s", left)
	}
}

// These make folders of the machine's where they are not told of others.
func TestANodeKeepsToTheFoldersOfItsSandbox(t *testing.T) {
	kubelet := kubeletConfig("cgroup", "resolv.conf")
	if folder, _ := kubelet["volumePluginDir"].(string); !strings.HasPrefix(folder, volatile) {
		t.Errorf("the kubelet's volume plugins are in %q", folder)
	}
	containerd := (&nodeAssets{}).containerdConfig("cni")
	if _, opt, _ := strings.Cut(containerd, `internal.v1.opt"]`); !strings.HasPrefix(opt, "\npath = \""+volatile) {
		t.Errorf("containerd's folder of optional programs is its own: %s", containerd)
	}
}
