package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/slipway-release/slipway/internal/command"
)

// Exec upgrades a cluster by a program of the user's. The program finds the
// kubeconfig's path in KUBECONFIG and what to upgrade to in SLIPWAY_UPGRADE_TO
// (a version) and SLIPWAY_UPGRADE_TO_IMAGE (a pull spec), either of which may be
// empty. Every line it prints on standard output is a step that begins. It exits
// with 0 when the cluster has arrived, with 1 when the release did not come up, and
// with anything else when it could not do its work.
type Exec struct {
	// Program is a path or a name in PATH, with its arguments.
	Program    []string
	Kubeconfig string
	From, To   Release
	// Log receives what the program writes to standard error.
	Log io.Writer
}

var _ Driver = (*Exec)(nil)

// releaseFailed is the exit code that speaks about the release.
const releaseFailed = 1

// Upgrade implements Driver.
func (d *Exec) Upgrade(ctx context.Context, say func(Event)) (Report, error) {
	report := Report{From: d.From, To: d.To}
	if len(d.Program) == 0 {
		return report, errors.New("upgrading by a program: none was named")
	}
	// What it wrote to standard error last explains best why it failed.
	var complaint string
	lines, errs := &lineWriter{say: say}, &lineWriter{say: func(e Event) { complaint = e.Step }}
	stderr := io.Writer(errs)
	if d.Log != nil {
		stderr = io.MultiWriter(errs, d.Log)
	}
	err := command.Run(ctx, command.Cmd{
		Path: d.Program[0], Args: d.Program[1:], Stdout: lines, Stderr: stderr,
		Env: []string{"KUBECONFIG=" + d.Kubeconfig, "SLIPWAY_UPGRADE_TO=" + d.To.Version, "SLIPWAY_UPGRADE_TO_IMAGE=" + d.To.Image},
	})
	lines.flush()
	errs.flush()
	var failed *command.Error
	if errors.As(err, &failed) && failed.ExitCode == releaseFailed && ctx.Err() == nil {
		if complaint == "" {
			complaint = "it does not say why"
		}
		return report, &StallError{Release: d.To, Message: fmt.Sprintf("%s gave up: %s", d.Program[0], complaint)}
	}
	if err != nil {
		return report, fmt.Errorf("upgrading by a program: %w", err)
	}
	return report, nil
}

// lineWriter makes an event of every line. A line of more than maxLine bytes is
// told in parts.
type lineWriter struct {
	say  func(Event)
	rest string
}

const maxLine = 4096

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest += string(p)
	for {
		line, rest, ended := strings.Cut(w.rest, "\n")
		if !ended && len(line) < maxLine {
			return len(p), nil
		}
		if len(line) > maxLine {
			line, rest = line[:maxLine], w.rest[maxLine:]
		}
		w.tell(line)
		w.rest = rest
	}
}

func (w *lineWriter) flush() {
	w.tell(w.rest)
	w.rest = ""
}

func (w *lineWriter) tell(line string) {
	if line = strings.TrimSpace(line); line != "" {
		w.say(Event{Step: line})
	}
}
