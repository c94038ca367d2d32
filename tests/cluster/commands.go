package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"
)

const (
	// politeStop is how long `stop` gives a program to end in good order. etcd
	// would wait for the API server's watches to end.
	politeStop = 2 * time.Second
	// restartDeadline bounds `start`.
	restartDeadline = time.Minute
)

// A reply answers one line of standard input.
type reply struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

// obey carries out a line such as "stop kube-apiserver".
func (cp *controlPlane) obey(ctx context.Context, line string) error {
	words := strings.Fields(line)
	if len(words) != 2 {
		return fmt.Errorf("expected a verb and a program, got %q", line)
	}
	p, err := cp.process(words[1])
	if err != nil {
		return err
	}
	switch words[0] {
	case "start":
		return cp.restart(ctx, p)
	case "stop":
		return p.stop(politeStop)
	case "kill":
		return p.stop(0)
	case "pause":
		return p.signal(syscall.SIGSTOP)
	case "resume":
		return p.signal(syscall.SIGCONT)
	default:
		return fmt.Errorf("unknown verb %q: start, stop, kill, pause or resume", words[0])
	}
}

func (cp *controlPlane) process(name string) (*process, error) {
	for _, p := range cp.processes() {
		if p.name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("there is no %q in this cluster", name)
}

// restart starts a stopped program on its old port, which a passing client may
// hold for a moment.
func (cp *controlPlane) restart(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeoutCause(ctx, restartDeadline, fmt.Errorf("not ready within %s", restartDeadline))
	defer cancel()
	for {
		err := cp.bringUp(ctx, p)
		if err == nil {
			return nil
		}
		if !errors.Is(err, errPortTaken) || ctx.Err() != nil {
			return err
		}
	}
}
