package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
)

const usage = `A real Kubernetes control plane for tests, demos and people.

  cluster build [--helm] [--helm3] [--node]
      Builds what is missing in the cache and prints where it is, as one line
      of JSON.
  cluster start [--helm] [--helm3] [--dir DIR] [--audit-log FILE]
                [--no-controller-manager] [--until-signal]
                [--node [--image FILE]…]
      Starts a control plane, prints its kubeconfig and more as one line of
      JSON, and stops it at the end of standard input or at SIGINT, SIGTERM or
      SIGHUP.
  cluster sandbox COMMAND [ARGUMENT]…
      Runs a command in namespaces and a cgroup of its own, as --node needs, and
      leaves nothing of them. Its exit status is that of the command.
  cluster check-node
      Finds out whether this machine can run a node: exit status 3 if not, and
      what is missing.

  cluster prometheus
      Builds Prometheus and promtool, if they are missing in the cache, and
      prints where they are, as one line of JSON.

  --helm                   also builds helm
  --helm3                  also builds helm of the major version before
  --node                   with a node that runs Pods, and a scheduler; root's only,
                           within a sandbox
  --image FILE             an image for the node to have, as a tar file; one has to
                           be localhost/pause:e2e
  --dir DIR                keeps the cluster's files in DIR, and leaves the logs
                           there; it must be empty, missing or from an earlier
                           cluster
  --audit-log FILE         logs every request to FILE, at level Metadata
  --no-controller-manager  no garbage collection, no default ServiceAccounts
  --until-signal           doesn't read standard input

Lines on standard input, each answered by {"ok":true} or {"ok":false,"error":…}:
  start|stop|kill|pause|resume  etcd|kube-apiserver|kube-controller-manager

KUBEBUILDER_ASSETS=FOLDER    takes the programs from there, builds none of them
USE_EXISTING_CLUSTER=true    starts nothing, describes the current kubeconfig
`

// errUsage: the command line can't be understood; the usage is the answer.
var errUsage = errors.New("see `cluster --help`")

type buildArgs struct{ helm, helm3, node bool }

type checkNodeArgs struct{}

type sandboxArgs struct {
	command []string
	// within: we are the first process of the sandbox.
	within bool
}

type startArgs struct {
	helm, helm3       bool
	dir               string
	auditLog          string
	controllerManager bool
	untilSignal       bool
	node              bool
	images            []string
}

type prometheusArgs struct{}

// parse returns one of the types above, or nil if help was asked for.
func parse(args []string) (any, error) {
	if len(args) == 0 {
		return nil, fmt.Errorf("no command: %w", errUsage)
	}
	command, rest := args[0], args[1:]
	if command == "sandbox" || command == "init-sandbox" {
		if len(rest) > 0 && rest[0] == "--" {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			return nil, fmt.Errorf("%s: no command to run: %w", command, errUsage)
		}
		return sandboxArgs{command: rest, within: command == "init-sandbox"}, nil
	}
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var helm, helm3, node bool
	if command == "build" || command == "start" {
		flags.BoolVar(&helm, "helm", false, "")
		flags.BoolVar(&helm3, "helm3", false, "")
		flags.BoolVar(&node, "node", false, "")
	}
	var parsed func() any
	switch command {
	case "build":
		parsed = func() any { return buildArgs{helm, helm3, node} }
	case "check-node":
		parsed = func() any { return checkNodeArgs{} }
	case "start":
		dir := flags.String("dir", "", "")
		auditLog := flags.String("audit-log", "", "")
		without := flags.Bool("no-controller-manager", false, "")
		untilSignal := flags.Bool("until-signal", false, "")
		var images []string
		flags.Func("image", "", func(file string) error {
			images = append(images, file)
			return nil
		})
		parsed = func() any {
			return startArgs{helm, helm3, *dir, *auditLog, !*without, *untilSignal, node, images}
		}
	case "prometheus":
		parsed = func() any { return prometheusArgs{} }
	case "help", "-h", "-help", "--help":
		return nil, nil
	default:
		return nil, fmt.Errorf("unknown command %q: %w", command, errUsage)
	}
	switch err := flags.Parse(rest); {
	case errors.Is(err, flag.ErrHelp):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("%w: %w", err, errUsage)
	case flags.NArg() > 0:
		return nil, fmt.Errorf("unexpected %q: %w", flags.Arg(0), errUsage)
	}
	return parsed(), nil
}
