package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// describeExisting describes the cluster of the current kubeconfig.
func describeExisting(ctx context.Context, programs assets) (description, error) {
	kubeconfig := os.Getenv("KUBECONFIG")
	if kubeconfig == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return description{}, err
		}
		kubeconfig = filepath.Join(home, ".kube", "config")
	}
	for _, path := range filepath.SplitList(kubeconfig) {
		if _, err := os.Stat(path); err != nil {
			return description{}, fmt.Errorf("USE_EXISTING_CLUSTER: no kubeconfig: %w", err)
		}
	}
	existing := description{Kubeconfig: kubeconfig, Kubectl: programs.kubectl, Helm: programs.helm, Helm3: programs.helm3}
	// kubectl looks where we did.
	command := exec.CommandContext(ctx, programs.kubectl,
		"config", "view", "--minify", "--output=jsonpath={.clusters[0].cluster.server}")
	if server, err := command.Output(); err == nil {
		existing.Server = optional(strings.TrimSpace(string(server)))
	}
	return existing, nil
}
