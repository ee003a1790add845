package pipelines

import (
	"context"
	"errors"
	"io"

	"github.com/slipway-release/slipway/internal/command"
)

// Engine runs the steps whose image is not Slipway's own.
type Engine interface {
	// RunContainer pulls the image if need be, runs the container to its end
	// and removes it, also when ctx ends. An error that has a method
	// ExitCode() int, or is a *command.Error, tells how the program ended.
	RunContainer(ctx context.Context, c Container) error
}

// Container is a step to run in an image.
type Container struct {
	// Name is unique on this host among the containers that run at a time: a
	// valid container name of the run, the task and the step.
	Name  string
	Image string
	// Command replaces the image's entry point when it is not empty.
	Command    []string
	Args       []string
	Env        []string // NAME=VALUE
	WorkDir    string   // empty: the image's
	Mounts     []Mount
	Privileged bool
	// PullPolicy is Always, IfNotPresent, Never or empty.
	PullPolicy string
	Stdout     io.Writer
	Stderr     io.Writer
}

// Mount is a directory of the host that a container sees.
type Mount struct {
	Source, Target string
	ReadOnly       bool
}

// exitCode is how a program ended: 0 for nil, -1 when it did not start or a
// signal ended it.
func exitCode(err error) int {
	var failed *command.Error
	var coder interface{ ExitCode() int }
	switch {
	case err == nil:
		return 0
	case errors.As(err, &failed):
		return failed.ExitCode
	case errors.As(err, &coder):
		return coder.ExitCode()
	}
	return -1
}
