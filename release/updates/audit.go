package updates

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Phase is how far an action got.
type Phase string

// The phases. An action that begun and has no other was cut off by a crash.
const (
	Begun  Phase = "begun"
	Done   Phase = "done"
	Failed Phase = "failed"
	Denied Phase = "denied"
)

// Entry is what is recorded of a call to the write API: one when it begins and one when
// it ends, with the same ID.
type Entry struct {
	ID    string    `json:"id"`
	Time  time.Time `json:"time"`
	Phase Phase     `json:"phase"`
	Action
	Remote  string   `json:"remote"`
	Outcome *Outcome `json:"outcome,omitempty"`
	Error   string   `json:"error,omitempty"`
}

// Audit records what was asked for. An action that cannot be recorded is not done.
type Audit interface {
	Record(ctx context.Context, e Entry) error
}

// Audits records in several places, all of which must take it.
type Audits []Audit

// Record implements Audit.
func (a Audits) Record(ctx context.Context, e Entry) error {
	var problems []error
	for _, each := range a {
		problems = append(problems, each.Record(ctx, e))
	}
	return errors.Join(problems...)
}

// AuditFile is a file to which entries are appended, a line of JSON each. An entry is on
// disk when Record returns.
type AuditFile struct {
	Path string

	mu sync.Mutex
}

// Record implements Audit.
func (a *AuditFile) Record(_ context.Context, e Entry) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.record(e); err != nil {
		return fmt.Errorf("recording %s by %q in %q: %w", e.Verb, e.Actor, a.Path, err)
	}
	return nil
}

func (a *AuditFile) record(e Entry) error {
	e.Time = e.Time.UTC()
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(a.Path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(a.Path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n')) // one write: lines of two processes do not mix
	return errors.Join(err, f.Sync(), f.Close())
}
