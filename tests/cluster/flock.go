package main

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// A fileLock is an exclusive flock: the kernel drops it when its process ends,
// however it ends.
type fileLock struct{ file *os.File }

// tryLock takes the lock, or returns nil without an error if somebody has it.
func tryLock(path string) (*fileLock, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err == nil {
		return &fileLock{file}, nil
	}
	file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, &os.PathError{Op: "flock", Path: path, Err: err}
}

// lock waits for the lock; waiting is called once if somebody else has it. A
// flock that blocks can't be cancelled, so it asks again and again.
func lock(ctx context.Context, path string, waiting func()) (*fileLock, error) {
	for first := true; ; first = false {
		held, err := tryLock(path)
		if held != nil || err != nil {
			return held, err
		}
		if first {
			waiting()
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (l *fileLock) unlock() { l.file.Close() }
