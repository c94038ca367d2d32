package main

import (
	"os/exec"
	"runtime"
	"sync"
)

// spawner runs functions on one thread that lives as long as the process.
var spawner = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for job := range work {
			job()
		}
	}()
	return work
})

// spawn starts a child so that it can't outlive us. The kernel's "signal at the
// parent's death" goes by the thread that started the child, and Go ends
// threads at will: so all children are started on one that stays.
func spawn(command *exec.Cmd) error {
	started := make(chan error)
	spawner() <- func() { started <- command.Start() }
	return <-started
}
