package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// sandboxGrace is how long the command has to end after a signal.
const sandboxGrace = 20 * time.Second

func missingForSandbox() []string {
	var missing []string
	if os.Geteuid() != 0 {
		missing = append(missing, "it takes root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		missing = append(missing, "the program ip (Debian's package iproute2)")
	}
	return missing
}

// runSandbox makes a sandbox, runs a command in it, and removes all that is left
// of it. It returns the command's exit status.
func runSandbox(ctx context.Context, command []string) (status int, err error) {
	cgroup, err := newCgroup()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, cgroup.remove()) }()
	// What goes wrong before the command runs is told by this.
	report, reporter, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer report.Close()
	child := exec.Command("/proc/self/exe", append([]string{"init-sandbox", "--"}, command...)...)
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.ExtraFiles = []*os.File{reporter}
	child.Env = append(os.Environ(), sandboxVariable+"="+cgroup.name)
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
	}
	err = spawn(child)
	reporter.Close()
	if err != nil {
		return 0, fmt.Errorf("new namespaces: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		_ = child.Process.Signal(syscall.SIGTERM) // fails only if it just ended
		select {
		case err = <-ended:
		case <-time.After(sandboxGrace):
			_ = child.Process.Kill()
			err = <-ended
		}
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	trouble := make([]byte, 4096)
	if n, _ := report.Read(trouble); n > 0 {
		return 0, errors.New(string(trouble[:n]))
	}
	if code := child.ProcessState.ExitCode(); code >= 0 {
		return code, nil
	}
	return 128 + int(syscall.SIGKILL), nil
}

// initSandbox is the first process within: it prepares everything, starts the
// command, and ends with it. Everything else ends with this process.
func initSandbox(command []string) error {
	report := os.NewFile(3, "report")
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	syscall.CloseOnExec(3)
	child, err := prepareAndStart(command)
	if err != nil {
		fmt.Fprint(report, err)
		return exitStatus(1)
	}
	report.Close()
	go func() {
		for range signals {
			_ = child.Signal(syscall.SIGTERM) // fails only if it just ended
		}
	}()
	// Containers' processes become our children when their parents end.
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return err
		case pid == child.Pid && status.Signaled():
			return exitStatus(128 + int(status.Signal()))
		case pid == child.Pid:
			if status.ExitStatus() == 0 {
				return nil
			}
			return exitStatus(status.ExitStatus())
		}
	}
}

func prepareAndStart(command []string) (*os.Process, error) {
	for _, prepare := range []func() error{prepareMounts, keepKernelParameters, prepareNetwork} {
		if err := prepare(); err != nil {
			return nil, err
		}
	}
	if err := syscall.Sethostname([]byte(nodeName)); err != nil {
		return nil, fmt.Errorf("naming the node: %w", err)
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return nil, err
	}
	return os.StartProcess(path, command, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
}

// prepareMounts: what is mounted or written to the system's folders from here on
// is seen in the sandbox only.
func prepareMounts() error {
	if err := mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := mount("proc", "/proc", "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
		return err
	}
	if err := mount("tmpfs", volatile, "tmpfs", syscall.MS_NODEV, "mode=755"); err != nil {
		return err
	}
	for _, folder := range []string{"/var/lib", "/var/log"} {
		layers := filepath.Join(volatile, "sandbox", filepath.Base(folder))
		upper, work := filepath.Join(layers, "upper"), filepath.Join(layers, "work")
		for _, layer := range []string{upper, work} {
			if err := os.MkdirAll(layer, 0o755); err != nil {
				return err
			}
		}
		options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", folder, upper, work)
		if err := mount("overlay", folder, "overlay", 0, options); err != nil {
			return err
		}
	}
	return nil
}

// keepKernelParameters puts copies before the kernel's parameters that a kubelet
// sets for the whole machine.
func keepKernelParameters() error {
	for _, name := range []string{
		"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
		"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
	} {
		path := filepath.Join("/proc/sys", name)
		content, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		stand := filepath.Join(volatile, "sandbox", strings.ReplaceAll(name, "/", "."))
		if err := os.WriteFile(stand, content, 0o644); err != nil {
			return err
		}
		if err := mount(stand, path, "", syscall.MS_BIND, ""); err != nil {
			return err
		}
	}
	return nil
}

// prepareNetwork makes the node's side of the Pods' network. The veth pair only
// shows that there can be one.
func prepareNetwork() error {
	for _, line := range []string{
		"link set lo up",
		"address add " + serviceAddress + "/32 dev lo",
		// With an address of its own: else it takes the lowest of its ports', which come and go with Pods, and the
		// others go on sending to the old one until their neighbour entries lapse, half a minute later.
		"link add " + bridgeName + " address " + bridgeMAC + " type bridge",
		"address add " + bridgeAddress + "/24 dev " + bridgeName,
		"link set " + bridgeName + " up",
		"link add probe0 type veth peer name probe1",
		"link delete probe0",
	} {
		output, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, strings.TrimSpace(string(output)))
		}
	}
	return nil
}

func mount(source, target, kind string, flags uintptr, options string) error {
	if err := syscall.Mount(source, target, kind, flags, options); err != nil {
		return fmt.Errorf("mounting %s at %s: %w", source, target, err)
	}
	return nil
}
