package main

import "syscall"

// childAttributes: a process group of its own, so that a terminal's Ctrl-C
// reaches only the supervisor, and death when the supervisor dies.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
