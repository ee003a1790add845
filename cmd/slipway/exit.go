package main

import (
	"context"
	"errors"
	"strings"
)

// The exit codes of every command.
const (
	exitDone         = 0 // done, and accepted where something was judged
	exitRejected     = 1 // the release was tested and rejected
	exitUsage        = 2 // wrong usage or configuration
	exitHost         = 3 // the host or a service failed; nothing is said about the release
	exitInconclusive = 4 // tested, without a verdict
)

// exitError is an error that knows its exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usage marks an error as the caller's: a wrong flag or configuration.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{exitUsage, err}
}

// rejected marks an error as a verdict about the release.
func rejected(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{exitRejected, err}
}

// inconclusive marks an error as tested without a verdict.
func inconclusive(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{exitInconclusive, err}
}

// exitCode maps an error to the code. What nobody classified is a failure of
// the host or of a service, for that claims nothing about the release.
func exitCode(err error) int {
	if err == nil {
		return exitDone
	}
	var e *exitError
	if errors.As(err, &e) && !errors.Is(err, context.Canceled) {
		return e.code
	}
	// cobra has no type for these.
	for _, prefix := range []string{"unknown command", "unknown flag", "unknown shorthand flag", "required flag", "accepts ", "requires at least", "invalid argument", "flag needs an argument", "if any flags in the group", "at least one of the flags in the group"} {
		if strings.HasPrefix(err.Error(), prefix) {
			return exitUsage
		}
	}
	return exitHost
}
