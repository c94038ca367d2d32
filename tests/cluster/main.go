// Program cluster runs a real Kubernetes control plane for tests, demos and
// people, built from its own Go modules. See README.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// run returns the exit status: 0, 1 if it failed, 2 if it wasn't understood, 3
// if this machine can't; a sandbox has that of its command.
func run(args []string) int {
	parsed, err := parse(args)
	if err != nil {
		progress("%s", err)
		return 2
	}
	ctx, stop := untilSignal()
	defer stop()
	switch args := parsed.(type) {
	case buildArgs:
		err = build(ctx, args)
	case startArgs:
		err = start(ctx, args)
	case prometheusArgs:
		err = buildPrometheus(ctx)
	case checkNodeArgs:
		err = checkNode(ctx)
	case sandboxArgs:
		if args.within {
			err = initSandbox(args.command)
		} else {
			err = sandbox(ctx, args)
		}
	default:
		_, err = io.WriteString(os.Stdout, usage)
	}
	return statusOf(err)
}

// errSignal and errEndOfInput are the ways of asking us to stop.
var (
	errSignal     = errors.New("stopped by a signal")
	errEndOfInput = errors.New("standard input ended (--until-signal doesn't read it)")
)

// untilSignal returns a context that ends when a signal asks us to stop.
func untilSignal() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-signals
		cancel(errSignal)
	}()
	// Who read our output may be gone; that must not kill us before we have
	// cleaned up. (Ignoring the signal would be inherited by our children.)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return ctx, func() { cancel(nil) }
}

func build(ctx context.Context, args buildArgs) error {
	programs, err := findAssets(ctx, want{servers: true, controllerManager: true, helm: args.helm, helm3: args.helm3, node: args.node})
	if err != nil {
		return err
	}
	return printLine(struct {
		Assets  string  `json:"assets"`
		Kubectl string  `json:"kubectl"`
		Helm    *string `json:"helm"`
		Helm3   *string `json:"helm3"`
		Pause   *string `json:"pause"`
	}{programs.folder, programs.kubectl, programs.helm, programs.helm3, programs.pause()})
}

func printLine(value any) error {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// progress tells people what is going on; programs read standard output.
func progress(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "cluster: "+format+"\n", values...)
}
