package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// A workdir is the folder of one running cluster. It is locked for as long as
// the supervisor lives, which tells folders in use from what a killed one left.
type workdir struct {
	path  string
	held  *fileLock
	named bool // by the user, who may want to read the logs afterwards
}

const (
	lockName = ".lock"
	logsName = "logs"
)

func (w *workdir) logs() string { return filepath.Join(w.path, logsName) }

// openWorkdir prepares the folder that the user named, or a temporary one.
func openWorkdir(ctx context.Context, named string) (*workdir, error) {
	var w *workdir
	var err error
	if named != "" {
		w, err = openNamed(named)
	} else {
		w, err = openTemporary(ctx)
	}
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(w.logs(), 0o700); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func openNamed(path string) (*workdir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if _, err := os.Lstat(filepath.Join(path, lockName)); len(entries) > 0 && err != nil {
		return nil, fmt.Errorf("%s is neither empty nor the folder of an earlier cluster", path)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	held, err := tryLock(filepath.Join(path, lockName))
	if err != nil {
		return nil, err
	}
	if held == nil {
		return nil, fmt.Errorf("%s belongs to another cluster that runs now", path)
	}
	w := &workdir{path: path, held: held, named: true}
	if err := w.empty(lockName); err != nil {
		held.unlock()
		return nil, err
	}
	return w, nil
}

func openTemporary(ctx context.Context) (*workdir, error) {
	base := filepath.Join(os.TempDir(), fmt.Sprintf("vaultsecret-cluster-%d", os.Getuid()))
	if err := makePrivate(base); err != nil {
		return nil, err
	}
	// One at a time, so that nobody sweeps a folder that isn't locked yet.
	all, err := lock(ctx, filepath.Join(base, lockName), func() {})
	if err != nil {
		return nil, err
	}
	defer all.unlock()
	if err := sweep(base); err != nil {
		return nil, err
	}
	path, err := os.MkdirTemp(base, "")
	if err != nil {
		return nil, err
	}
	held, err := tryLock(filepath.Join(path, lockName))
	if err != nil {
		return nil, err
	}
	return &workdir{path: path, held: held}, nil
}

// makePrivate makes a folder of ours alone in one where anybody can write.
func makePrivate(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || info.Mode().Perm() != 0o700 || !ok || int(owner.Uid) != os.Getuid() {
		return fmt.Errorf("%s is not a folder of this user's alone", path)
	}
	return nil
}

// sweep removes the folders of supervisors that were killed.
func sweep(base string) error {
	entries, err := os.ReadDir(base)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		path := filepath.Join(base, entry.Name())
		held, err := tryLock(filepath.Join(path, lockName))
		if errors.Is(err, os.ErrNotExist) {
			continue // its supervisor removed it just now
		}
		if err != nil {
			return err
		}
		if held == nil {
			continue
		}
		err = os.RemoveAll(path)
		held.unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// empty removes all in the folder but one name.
func (w *workdir) empty(but ...string) error {
	entries, err := os.ReadDir(w.path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		keep := false
		for _, name := range but {
			keep = keep || entry.Name() == name
		}
		if !keep {
			err = errors.Join(err, os.RemoveAll(filepath.Join(w.path, entry.Name())))
		}
	}
	return err
}

// close removes the folder; of one that the user named, all but the logs.
func (w *workdir) close() error {
	defer w.held.unlock()
	if w.named {
		return w.empty(lockName, logsName)
	}
	// A sweep that comes across the folder now would be in the way.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	all, err := lock(ctx, filepath.Join(filepath.Dir(w.path), lockName), func() {})
	if err != nil {
		return err
	}
	defer all.unlock()
	return os.RemoveAll(w.path)
}
