package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
)

// errPortTaken: somebody took a port between our choice and the program's bind.
var errPortTaken = errors.New("a chosen port was taken by another program")

// Ports for servers come from below the range that the kernel takes client
// ports from. Inside it, a client that keeps trying a stopped server's port can
// end up connected to itself, and then the server can't have its port back.
const lowestPort = 15000

// freePorts returns different loopback ports that nobody listens on right now.
func freePorts(count int) ([]int, error) {
	limit := firstClientPort()
	var ports []int
	var listeners []net.Listener // keep the ports apart
	defer func() {
		for _, listener := range listeners {
			listener.Close()
		}
	}()
	for tries := 0; len(ports) < count; tries++ {
		port := lowestPort + rand.IntN(limit-lowestPort)
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			if tries > 1000 {
				return nil, fmt.Errorf("finding free ports: %w", err)
			}
			continue
		}
		ports, listeners = append(ports, port), append(listeners, listener)
	}
	return ports, nil
}

func firstClientPort() int {
	const usual = 32768
	content, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return usual
	}
	var first, last int
	if _, err := fmt.Sscan(string(content), &first, &last); err != nil || first < lowestPort+1000 {
		return usual
	}
	return first
}

// saysPortTaken recognises the log of a program that could not bind.
func saysPortTaken(log string) bool {
	return strings.Contains(log, "address already in use")
}
