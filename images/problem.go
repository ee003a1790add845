package images

import (
	"errors"
	"fmt"
)

// ErrInput is wrapped by errors about an input of a build that does not exist,
// is not in the lock, or is not what the lock says. No retry mends it; somebody
// must change a recipe or make a new lock.
var ErrInput = errors.New("no such input")

// Problem is a mistake in a recipe.
type Problem struct {
	Component string
	// Field is the path of the field in component.yaml, such as
	// layers[0].go.module.
	Field   string
	Message string
}

func (p Problem) Error() string {
	return fmt.Sprintf("component %q: %s: %s", p.Component, p.Field, p.Message)
}

// InputError says that an input is not the locked one.
type InputError struct {
	Input  string // what it is: go module k8s.io/kubernetes@v1.36.3
	Locked string // what the lock says; empty when it says nothing
	Found  string // what stands there now; empty when nothing does
}

func (e *InputError) Error() string {
	switch {
	case e.Locked == "":
		return fmt.Sprintf("%s is not in the lock (found %s); make a new lock", e.Input, e.Found)
	case e.Found == "":
		return fmt.Sprintf("%s is locked as %s and is no longer there; make a new lock", e.Input, e.Locked)
	}
	return fmt.Sprintf("%s is locked as %s but is %s now; put it back or make a new lock", e.Input, e.Locked, e.Found)
}

func (e *InputError) Unwrap() error { return ErrInput }

// CompileError is a program that the compiler refused.
type CompileError struct {
	Component string
	Program   string // import path of the main package, or the C program's path in the image
	Output    string // what the compiler said
}

func (e *CompileError) Error() string {
	return fmt.Sprintf("compiling %s for component %q:\n%s", e.Program, e.Component, e.Output)
}
