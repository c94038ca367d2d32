package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"
)

// A description is what a caller needs to use the cluster. What an existing
// cluster doesn't tell is null.
type description struct {
	Kubeconfig string  `json:"kubeconfig"`
	Server     *string `json:"server"`
	Dir        *string `json:"dir"`
	Kubectl    string  `json:"kubectl"`
	Helm       *string `json:"helm"`
	Helm3      *string `json:"helm3"`
	LogDir     *string `json:"log_dir"`
	CAFile     *string `json:"ca_file"`
	AuditLog   *string `json:"audit_log"`
}

func optional(value string) *string {
	if value == "" {
		return nil
	}
	return &value
}

// start runs a cluster until it is asked to stop.
func start(ctx context.Context, args startArgs) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// With room, so that a line that waits doesn't hide the end of the input.
	lines := make(chan string, 64)
	if !args.untilSignal {
		go readLines(ctx, os.Stdin, lines, func() { cancel(errEndOfInput) })
	}
	if os.Getenv("USE_EXISTING_CLUSTER") == "true" {
		return useExisting(ctx, args, lines)
	}
	programs, err := findAssets(ctx, want{servers: true, controllerManager: args.controllerManager, helm: args.helm, helm3: args.helm3, node: args.node})
	if err != nil {
		return err
	}
	if programs.node != nil {
		if err := programs.node.prepare(args.images); err != nil {
			return err
		}
	}
	if !args.controllerManager {
		programs.controllerManager = ""
	}
	if args.auditLog != "" {
		if args.auditLog, err = filepath.Abs(args.auditLog); err != nil {
			return err
		}
	}
	folder, err := openWorkdir(ctx, args.dir)
	if err != nil {
		return err
	}
	return errors.Join(supervise(ctx, programs, folder, args.auditLog, lines), folder.close())
}

// supervise starts a cluster, announces it and stays with it.
func supervise(ctx context.Context, programs assets, folder *workdir, auditLog string, lines <-chan string) error {
	began := time.Now()
	cp, err := startControlPlane(ctx, programs, folder, auditLog)
	if err != nil {
		return err
	}
	defer cp.stop()
	logs := folder.logs()
	err = printLine(description{
		Kubeconfig: cp.kubeconfig,
		Server:     &cp.server,
		Dir:        &folder.path,
		Kubectl:    programs.kubectl,
		Helm:       programs.helm,
		Helm3:      programs.helm3,
		LogDir:     &logs,
		CAFile:     &cp.id.caFile,
		AuditLog:   optional(auditLog),
	})
	if err != nil {
		return err
	}
	progress("serving at %s after %s", cp.server, round(time.Since(began)))
	for {
		select {
		case <-ctx.Done():
			progress("%s: stopping", context.Cause(ctx))
			return nil
		case p := <-cp.died:
			return errors.New(p.obituary())
		case line := <-lines:
			if err := answer(cp.obey(ctx, line)); err != nil {
				return err
			}
		}
	}
}

// useExisting describes the current cluster and then only waits.
func useExisting(ctx context.Context, args startArgs, lines <-chan string) error {
	programs, err := findAssets(ctx, want{helm: args.helm, helm3: args.helm3})
	if err != nil {
		return err
	}
	existing, err := describeExisting(ctx, programs)
	if err != nil {
		return err
	}
	if err := printLine(existing); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-lines:
			if err := answer(errors.New("an existing cluster is not ours to start or stop")); err != nil {
				return err
			}
		}
	}
}

func answer(err error) error {
	if err != nil {
		return printLine(reply{Error: err.Error()})
	}
	return printLine(reply{OK: true})
}

// readLines passes lines on until the input or the context ends.
func readLines(ctx context.Context, input io.Reader, lines chan<- string, ended func()) {
	defer ended()
	for scanner := bufio.NewScanner(input); scanner.Scan(); {
		select {
		case lines <- scanner.Text():
		case <-ctx.Done():
			return
		}
	}
}
