package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// A sandbox is what a node needs of a machine, made so that nothing of it is
// left: namespaces of its own, in which everything dies with the first process,
// and a cgroup, which is removed after that.
const (
	// sandboxVariable names the sandbox's cgroup to what runs in it.
	sandboxVariable = "VAULTSECRET_SANDBOX"
	// bridgeAddress is the node in the network of its Pods.
	bridgeName    = "node0"
	bridgeMAC     = "0a:58:0a:63:00:01"
	bridgeAddress = "10.99.0.1"
	podNetwork    = "10.99.0.0/24"
	// serviceAddress is that of the Service `kubernetes`, the first of the range. It
	// is the node's own: no Service needs kube-proxy then, and no rule iptables.
	serviceAddress = "10.0.0.1"
	// volatile is memory that is gone with the sandbox, and so is what is written
	// to the folders that programs can't be told to leave alone.
	volatile = "/run"
	nodeName = "node"
)

// exitMissing: this machine can't run a node.
const exitMissing = 3

// errMissing says what this machine lacks.
type errMissing []string

func (e errMissing) Error() string {
	return "no node can run on this machine: " + strings.Join(e, "; ")
}

// checkNode finds out whether a node can run here: it makes a sandbox, and gets
// the container runtime.
func checkNode(ctx context.Context) error {
	missing := missingForSandbox()
	if len(missing) == 0 {
		if _, err := runSandbox(ctx, []string{"true"}); err != nil {
			missing = append(missing, err.Error())
		}
	}
	if len(missing) == 0 {
		if _, err := findRuntime(ctx); err != nil {
			missing = append(missing, err.Error())
		}
	}
	if len(missing) > 0 {
		return errMissing(missing)
	}
	return nil
}

// An exitStatus is that of a program which ran in a sandbox.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("it ended with status %d", int(e)) }

// sandbox runs a command in a sandbox.
func sandbox(ctx context.Context, args sandboxArgs) error {
	if missing := missingForSandbox(); len(missing) > 0 {
		return errMissing(missing)
	}
	status, err := runSandbox(ctx, args.command)
	if err == nil && status != 0 {
		return exitStatus(status)
	}
	return err
}

// statusOf is our exit status after an error.
func statusOf(err error) int {
	var status exitStatus
	var missing errMissing
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &missing):
		progress("%s", err)
		return exitMissing
	default:
		progress("%s", err)
		return 1
	}
}

// insideSandbox returns the cgroup of the sandbox that we run in.
func insideSandbox() (string, error) {
	if cgroup := os.Getenv(sandboxVariable); cgroup != "" {
		return cgroup, nil
	}
	return "", errors.New("a node runs only within `cluster sandbox`")
}
