package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// A process is one program of the control plane, which may be stopped and
// started again with the same arguments.
type process struct {
	name    string
	path    string
	args    []string
	folder  string   // its working folder
	env     []string // besides childEnvironment
	logPath string

	mu      sync.Mutex
	command *exec.Cmd
	logFrom int64         // where its part of the log begins
	ended   chan struct{} // closed when the command has ended
	exit    error         // valid after that
	asked   bool          // to end
}

func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.runs() {
		return fmt.Errorf("%s is running", p.name)
	}
	log, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	if p.logFrom, err = log.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	command := exec.Command(p.path, p.args...)
	command.Dir = p.folder
	command.Env = append(childEnvironment(), p.env...)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = childAttributes()
	if err := spawn(command); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	ended := make(chan struct{})
	p.command, p.ended, p.exit, p.asked = command, ended, nil, false
	go func() {
		err := command.Wait()
		p.mu.Lock()
		p.exit = err
		close(ended)
		p.mu.Unlock()
	}()
	return nil
}

// runs tells whether the process lives; the caller holds the mutex.
func (p *process) runs() bool {
	if p.ended == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// reportDeath tells when the process that runs now ends unasked.
func (p *process) reportDeath(died chan<- *process) {
	ended := p.over()
	go func() {
		<-ended
		p.mu.Lock()
		asked := p.asked
		p.mu.Unlock()
		if !asked {
			died <- p
		}
	}()
}

// signal sends a signal to a process that runs.
func (p *process) signal(signal syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.signalLocked(signal)
}

func (p *process) signalLocked(signal syscall.Signal) error {
	if !p.runs() {
		return fmt.Errorf("%s is not running", p.name)
	}
	err := syscall.Kill(-p.command.Process.Pid, signal)
	if errors.Is(err, syscall.ESRCH) { // it ended this very moment
		return nil
	}
	return err
}

// stop ends the process: with SIGTERM first if it gets a grace, else with
// SIGKILL at once. It returns when the process is gone.
func (p *process) stop(grace time.Duration) error {
	p.mu.Lock()
	if !p.runs() {
		p.mu.Unlock()
		return fmt.Errorf("%s is not running", p.name)
	}
	p.asked = true
	ended := p.ended
	var err error
	if grace > 0 {
		// SIGCONT lets a paused process see the SIGTERM.
		err = errors.Join(p.signalLocked(syscall.SIGTERM), p.signalLocked(syscall.SIGCONT))
	}
	p.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case <-ended:
		return nil
	case <-time.After(grace):
	}
	_ = p.signal(syscall.SIGKILL) // fails only if it just ended
	<-ended
	return nil
}

// over is closed when the process that runs now ends.
func (p *process) over() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// obituary says how the process ended, with the end of its log.
func (p *process) obituary() string {
	p.mu.Lock()
	exit := "exit status 0"
	if p.exit != nil {
		exit = p.exit.Error()
	}
	p.mu.Unlock()
	return fmt.Sprintf("%s ended: %s\n%s", p.name, exit, p.logTail())
}

func (p *process) logTail() string {
	p.mu.Lock()
	from := p.logFrom
	p.mu.Unlock()
	tail, err := tail(p.logPath, from, 20)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("--- the end of %s\n%s\n---", filepath.Base(p.logPath), tail)
}

// tail returns a file's last lines that are after an offset.
func tail(path string, from int64, lines int) (string, error) {
	const most = 8 << 10
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return "", err
	}
	content, err := io.ReadAll(io.NewSectionReader(file, max(from, size-most), most))
	if err != nil {
		return "", err
	}
	split := bytes.Split(bytes.TrimRight(content, "\n"), []byte("\n"))
	return string(bytes.Join(split[max(0, len(split)-lines):], []byte("\n"))), nil
}

// childEnvironment keeps what programs need to run. Anything else, such as an
// ETCD_… or a proxy variable, would configure them behind our back.
func childEnvironment() []string {
	var environment []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			environment = append(environment, name+"="+value)
		}
	}
	return environment
}
