package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const heartbeat = 15 * time.Second

// A builder fills one cache folder with programs. Several processes may do so
// at the same time: one builds, the others wait for it.
type builder struct {
	folder   string
	programs []program
	// compile builds one program to the path `out`; it may use the folder
	// `work`, which is removed afterwards.
	compile func(ctx context.Context, p program, work, out string) error
}

func (b builder) path(p program) string      { return filepath.Join(b.folder, p.name) }
func (b builder) stampPath(p program) string { return filepath.Join(b.folder, "."+p.name+".stamp") }

// missing lists the programs that are not there or are from another recipe.
func (b builder) missing() ([]program, error) {
	var missing []program
	for _, p := range b.programs {
		want, err := p.stamp()
		if err != nil {
			return nil, err
		}
		have, _ := os.ReadFile(b.stampPath(p))
		if _, err := os.Stat(b.path(p)); err != nil || string(have) != want {
			missing = append(missing, p)
		}
	}
	return missing, nil
}

// build makes sure that all programs are there. A program appears under its
// name only when it is whole, and counts only once its stamp is written.
func (b builder) build(ctx context.Context) error {
	if missing, err := b.missing(); err != nil || len(missing) == 0 {
		return err
	}
	if err := os.MkdirAll(b.folder, 0o755); err != nil {
		return err
	}
	held, err := lock(ctx, filepath.Join(b.folder, ".lock"), func() {
		progress("another process is building into %s: waiting for it", b.folder)
	})
	if err != nil {
		return err
	}
	defer held.unlock()

	missing, err := b.missing() // somebody else may have built them meanwhile
	if err != nil || len(missing) == 0 {
		return err
	}
	// Whatever a killed build left: nobody uses it, since we hold the lock.
	leftovers, err := filepath.Glob(filepath.Join(b.folder, ".build-*"))
	if err != nil {
		return err
	}
	for _, leftover := range leftovers {
		if err := os.RemoveAll(leftover); err != nil {
			return err
		}
	}
	began := time.Now()
	names := make([]string, len(missing))
	for i, p := range missing {
		names[i] = p.name
	}
	progress("building once into %s: %s", b.folder, strings.Join(names, ", "))
	for _, p := range missing {
		if err := b.buildOne(ctx, p); err != nil {
			return fmt.Errorf("building %s: %w", p.name, err)
		}
	}
	progress("all built in %s", round(time.Since(began)))
	return nil
}

func (b builder) buildOne(ctx context.Context, p program) error {
	stamp, err := p.stamp()
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(b.folder, ".build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)

	began := time.Now()
	progress("%s: building; usually %s on two cores when nothing is cached", p.name, p.usually)
	out := filepath.Join(work, p.name)
	if err := b.compile(ctx, p, work, out); err != nil {
		return err
	}
	if err := os.Rename(out, b.path(p)); err != nil {
		return err
	}
	stampFile := filepath.Join(work, "stamp")
	if err := os.WriteFile(stampFile, []byte(stamp), 0o644); err != nil {
		return err
	}
	if err := os.Rename(stampFile, b.stampPath(p)); err != nil {
		return err
	}
	progress("%s: built in %s", p.name, round(time.Since(began)))
	return nil
}

// compileWithGo runs the go command on PATH, with modules from wherever it
// usually gets them.
func compileWithGo(ctx context.Context, p program, work, out string) error {
	temp := filepath.Join(work, "tmp")
	source := filepath.Join(work, "module")
	for _, folder := range []string{temp, source} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			return err
		}
	}
	flags := []string{"-trimpath", "-buildvcs=false", "-ldflags", strings.Join(p.ldflags, " "), "-tags", p.tags}
	if p.sums != "" {
		// go.mod goes on, too: go knows how, and the sums say whether it is right.
		flags = append(flags, "-mod=mod")
	}
	var args []string
	if p.embedded() {
		if err := unpackModule(source, p); err != nil {
			return err
		}
		args = append([]string{"build"}, append(flags, "-o", out, p.source)...)
	} else {
		args = append([]string{"install"}, append(flags, p.source)...)
	}
	command := exec.Command("go", args...)
	command.Dir = source
	// GOTMPDIR: a killed go leaves its own temporary files to our clean-up.
	command.Env = append(os.Environ(),
		"CGO_ENABLED=0", "GOWORK=off", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH,
		"GOBIN="+filepath.Dir(out), "GOTMPDIR="+temp)
	output := &goOutput{}
	command.Stdout, command.Stderr = output, output
	command.SysProcAttr = childAttributes()
	if err := spawn(command); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	began, beat := time.Now(), time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				return fmt.Errorf("go %s: %w\n%s", args[0], err, output.tail())
			}
			return nil
		case <-beat.C:
			progress("%s: still building after %s%s", p.name, round(time.Since(began)), output.fetched())
		case <-ctx.Done():
			// The whole group: go's compilers too.
			err := syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
			<-ended
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// goOutput keeps what the go command says, for errors, and counts the modules
// it fetches.
type goOutput struct {
	mu        sync.Mutex
	rest      []byte
	lines     []string
	downloads int
}

func (o *goOutput) Write(data []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rest = append(o.rest, data...)
	for {
		line, rest, found := bytes.Cut(o.rest, []byte("\n"))
		if !found {
			return len(data), nil
		}
		o.rest = rest
		if bytes.HasPrefix(line, []byte("go: downloading ")) {
			o.downloads++
		} else if o.lines = append(o.lines, string(line)); len(o.lines) > 40 {
			o.lines = o.lines[1:]
		}
	}
}

func (o *goOutput) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(append(o.lines, string(o.rest)), "\n")
}

func (o *goOutput) fetched() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.downloads == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d modules fetched)", o.downloads)
}

// round leaves what people want to know of a duration.
func round(d time.Duration) time.Duration {
	if d > 10*time.Second {
		return d.Round(time.Second)
	}
	return d.Round(time.Second / 10)
}
