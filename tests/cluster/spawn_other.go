//go:build !linux

package main

import "syscall"

// childAttributes: a process group of its own, so that a terminal's Ctrl-C
// reaches only the supervisor. Nothing here ties a child's life to ours: a
// supervisor that is killed with SIGKILL leaves its children.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
