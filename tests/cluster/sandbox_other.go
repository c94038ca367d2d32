//go:build !linux

package main

import (
	"context"
	"errors"
)

func missingForSandbox() []string { return []string{"it is not Linux"} }

func runSandbox(context.Context, []string) (int, error) { return 0, errors.ErrUnsupported }

func initSandbox([]string) error { return errors.ErrUnsupported }
