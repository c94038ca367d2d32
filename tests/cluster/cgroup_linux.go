package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const cgroupPrefix = "vaultsecret-e2e-"

// neededControllers are those that a kubelet does not start without.
var neededControllers = []string{"cpu", "cpuset", "memory", "pids"}

// A cgroup has one folder in each of the machine's hierarchies.
type cgroup struct {
	name        string
	hierarchies []string
}

// newCgroup makes a cgroup for a sandbox. What sandboxes left that were killed is
// removed first.
func newCgroup() (*cgroup, error) {
	hierarchies, controllers, err := cgroupHierarchies()
	if err != nil {
		return nil, err
	}
	sweepCgroups(hierarchies)
	c := &cgroup{name: cgroupPrefix + strconv.Itoa(os.Getpid()), hierarchies: hierarchies}
	for _, hierarchy := range hierarchies {
		enableControllers(hierarchy)
		folder := filepath.Join(hierarchy, c.name)
		if err := os.Mkdir(folder, 0o755); err != nil {
			return nil, errors.Join(fmt.Errorf("a cgroup: %w", err), c.remove())
		}
		unified, err := os.ReadFile(filepath.Join(folder, "cgroup.controllers"))
		if err == nil {
			controllers = append(controllers, strings.Fields(string(unified))...)
		}
	}
	have := map[string]bool{}
	for _, controller := range controllers {
		have[controller] = true
	}
	for _, controller := range neededControllers {
		if !have[controller] {
			return nil, errors.Join(fmt.Errorf("the cgroup controller %s can't be had", controller), c.remove())
		}
	}
	return c, nil
}

// cgroupHierarchies returns where hierarchies are mounted, and the controllers of
// those of version 1.
func cgroupHierarchies() (mounts, controllers []string, err error) {
	table, err := os.Open("/proc/self/mounts")
	if err != nil {
		return nil, nil, err
	}
	defer table.Close()
	for scanner := bufio.NewScanner(table); scanner.Scan(); {
		fields := strings.Fields(scanner.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[1], "/sys/fs/cgroup") {
			continue
		}
		switch fields[2] {
		case "cgroup":
			controllers = append(controllers, strings.Split(fields[3], ",")...)
			mounts = append(mounts, fields[1])
		case "cgroup2":
			mounts = append(mounts, fields[1])
		}
	}
	if len(mounts) == 0 {
		return nil, nil, errors.New("no cgroups are mounted at /sys/fs/cgroup")
	}
	return mounts, controllers, nil
}

// enableControllers lets the groups of a unified hierarchy have controllers. What
// the hierarchy lacks, or may not pass on, shows in the new group.
func enableControllers(hierarchy string) {
	for _, controller := range append([]string{"io", "hugetlb"}, neededControllers...) {
		_ = os.WriteFile(filepath.Join(hierarchy, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
	}
}

// sweepCgroups removes what is left of sandboxes whose supervisor is gone.
func sweepCgroups(hierarchies []string) {
	for _, hierarchy := range hierarchies {
		left, _ := filepath.Glob(filepath.Join(hierarchy, cgroupPrefix+"*"))
		for _, folder := range left {
			pid := strings.TrimPrefix(filepath.Base(folder), cgroupPrefix)
			if _, err := os.Stat("/proc/" + pid); errors.Is(err, fs.ErrNotExist) {
				_ = removeGroups(folder) // somebody else's sweep may be at it
			}
		}
	}
}

// remove removes the cgroup, whose processes are gone or about to be.
func (c *cgroup) remove() error {
	var failed error
	for _, hierarchy := range c.hierarchies {
		deadline := time.Now().Add(5 * time.Second)
		for {
			err := removeGroups(filepath.Join(hierarchy, c.name))
			if errors.Is(err, syscall.EBUSY) && time.Now().Before(deadline) {
				time.Sleep(pollInterval)
				continue
			}
			failed = errors.Join(failed, err)
			break
		}
	}
	return failed
}

// removeGroups removes a group after those in it. Its files go with it.
func removeGroups(folder string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeGroups(filepath.Join(folder, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := syscall.Rmdir(folder); err != nil && !errors.Is(err, syscall.ENOENT) {
		return &fs.PathError{Op: "rmdir", Path: folder, Err: err}
	}
	return nil
}
