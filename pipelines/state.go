package pipelines

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"

	"github.com/slipway-release/slipway/internal/state"
)

// ErrOtherRun says that a run's folder holds a run of something else: another
// pipeline, other params, or a definition that has changed meanwhile.
var ErrOtherRun = errors.New("a run cannot go on as another one")

// runState is the content of state.json.
type runState struct {
	APIVersion string                   `json:"apiVersion"`
	Kind       string                   `json:"kind"`
	Run        string                   `json:"run"`
	Pipeline   string                   `json:"pipeline"`
	Definition string                   `json:"definition"` // hex SHA-256 over the pipeline and its tasks
	Params     map[string]v1.ParamValue `json:"params"`
	// Session is the id of the session (setsid) of the process that ran last:
	// what it left behind is looked for there.
	Session  int                      `json:"session"`
	Status   Status                   `json:"status"`
	Reason   string                   `json:"reason,omitempty"`
	Started  time.Time                `json:"started"`
	Finished time.Time                `json:"finished,omitzero"`
	Results  map[string]v1.ParamValue `json:"results,omitempty"`
	Tasks    []*TaskResult            `json:"tasks"`
}

const stateVersion = "slipway.dev/v1alpha1"

func statePath(dir string) string { return filepath.Join(dir, "state.json") }

// readState returns nil when there is no run in dir.
func readState(dir string) (*runState, error) {
	data, err := os.ReadFile(statePath(dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the state of run %q: %w", dir, err)
	}
	s := &runState{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("reading the state of run %q: %w; delete the folder to start afresh", dir, err)
	}
	if s.APIVersion != stateVersion || s.Kind != "PipelineRunState" {
		return nil, fmt.Errorf("reading the state of run %q: it is of version %q, not %q; delete the folder to start afresh", dir, s.APIVersion, stateVersion)
	}
	return s, nil
}

func (s *runState) write(dir string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return state.WriteFile(statePath(dir), append(data, '\n'), 0o644)
}

// ReadResult returns what is known of the run in a folder, running or not. The
// error wraps os.ErrNotExist when there is none.
func ReadResult(dir string) (*Result, error) {
	s, err := readState(dir)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, fmt.Errorf("reading the state of run %q: %w", dir, os.ErrNotExist)
	}
	return s.result(), nil
}

func (s *runState) result() *Result {
	r := &Result{Run: s.Run, Pipeline: s.Pipeline, Status: s.Status, Reason: s.Reason, Started: s.Started, Finished: s.Finished, Results: s.Results}
	for _, t := range s.Tasks {
		r.Tasks = append(r.Tasks, *t)
	}
	return r
}

// sameRun says why a run cannot go on with what is given now.
func (s *runState) sameRun(now *runState) error {
	if s.Pipeline != now.Pipeline {
		return fmt.Errorf("going on with run %q: %w: it ran pipeline %q, not %q", s.Run, ErrOtherRun, s.Pipeline, now.Pipeline)
	}
	names := map[string]bool{}
	for name := range s.Params {
		names[name] = true
	}
	for name := range now.Params {
		names[name] = true
	}
	var errs []error
	for _, name := range sortedKeys(names) {
		if was, is := s.Params[name], now.Params[name]; !reflect.DeepEqual(was, is) {
			errs = append(errs, fmt.Errorf("going on with run %q: %w: param %q was %s and is now %s", s.Run, ErrOtherRun, name, show(was), show(is)))
		}
	}
	if len(errs) == 0 && s.Definition != now.Definition {
		errs = append(errs, fmt.Errorf("going on with run %q: %w: pipeline %q or one of its tasks has changed since; start a new run", s.Run, ErrOtherRun, s.Pipeline))
	}
	return errors.Join(errs...)
}

func show(v v1.ParamValue) string {
	if v.Type == "" {
		return "not given"
	}
	data, err := json.Marshal(v)
	if err != nil {
		return v.StringVal
	}
	return string(data)
}

// definitionOf identifies what a pipeline and its tasks say.
func definitionOf(p *v1.Pipeline, tasks []*task) (string, error) {
	h := sha256.New()
	enc := json.NewEncoder(h)
	if err := enc.Encode(p.Spec); err != nil {
		return "", err
	}
	for _, t := range tasks {
		if err := enc.Encode(t.spec); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// reopen makes the state of a run ready to go on. What has ended well is kept.
// What was interrupted starts again, and so does all that depends on it; finally
// runs again as a whole. after lists the tasks that depend on one.
func (s *runState) reopen(retryFailed bool, after map[string][]string) {
	again := map[string]bool{}
	var mark func(name string)
	mark = func(name string) {
		if again[name] {
			return
		}
		again[name] = true
		for _, next := range after[name] {
			mark(next)
		}
	}
	for _, t := range s.Tasks {
		switch {
		case t.Finally, t.Status == Running, t.Status == Cancelled:
			mark(t.Name)
		case t.Status == Skipped && t.Reason == string(v1.GracefullyCancelledSkip):
			mark(t.Name)
		case retryFailed && (t.Status == Failed || t.Status == Skipped):
			mark(t.Name)
		}
	}
	for _, t := range s.Tasks {
		if again[t.Name] {
			*t = TaskResult{Name: t.Name, DisplayName: t.DisplayName, Finally: t.Finally, Status: Pending}
		}
	}
	s.Status, s.Reason, s.Finished, s.Results = Running, "", time.Time{}, nil
}
