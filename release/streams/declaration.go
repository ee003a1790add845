package streams

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// When says what makes a stream cut a payload.
type When string

const (
	WhenChanged  When = "changed"
	WhenSchedule When = "schedule"
	WhenAlways   When = "always"
	WhenManual   When = "manual"
)

// Declaration is what is declared about a stream, with every default filled in. A
// copy of it is kept with each cut, so that what is decided about a payload does not
// depend on what was declared later.
type Declaration struct {
	Name   string `json:"name"`
	Base   string `json:"base"`
	Policy Policy `json:"policy"`

	// Architectures are those of its payloads where they are not that of the distribution.
	Architectures []string `json:"architectures,omitempty"`

	When          When          `json:"when"`
	Schedule      string        `json:"schedule,omitempty"` // five fields of cron, UTC
	Cooldown      time.Duration `json:"cooldown,omitempty"`
	MaxUnfinished int           `json:"maxUnfinished"`
	Supersede     bool          `json:"supersede,omitempty"`

	Run    PipelineRun `json:"run"`
	Checks []Check     `json:"checks,omitempty"` // those with a pipeline of their own
	Retry  Retry       `json:"retry"`
	Retain Retention   `json:"retain"`
	Frozen string      `json:"frozen,omitempty"` // why; empty means that it is not
}

// PipelineRun is a pipeline and the params it is given.
type PipelineRun struct {
	Pipeline string            `json:"pipeline"`
	Params   map[string]string `json:"params,omitempty"`
}

// Check is a check that a pipeline of its own makes.
type Check struct {
	Name string `json:"name"`
	PipelineRun
	// From selects the payload to upgrade from; "" when the check needs none.
	From Selector `json:"from,omitempty"`
}

// Retry says how often a run is tried again that ended because the host or a service failed.
type Retry struct {
	Limit   int           `json:"limit"`
	Backoff time.Duration `json:"backoff"`
	Max     time.Duration `json:"max"`
}

// Wait is how long to wait before the attempt that follows the given number of failed ones.
func (r Retry) Wait(failed int) time.Duration {
	wait := r.Backoff
	for i := 1; i < failed && wait < r.Max; i++ {
		wait *= 2
	}
	return min(wait, r.Max)
}

// Retention says what is deleted; see Retain.
type Retention struct {
	Accepted int           `json:"accepted,omitempty"`
	Others   int           `json:"others,omitempty"`
	Age      time.Duration `json:"age,omitempty"`
}

// Digest names the declaration: sha256:<hex> of its JSON.
func (d Declaration) Digest() string {
	data, err := json.Marshal(d)
	if err != nil {
		panic(err) // strings, numbers and maps of strings
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(data))
}

// ParseDeclaration reads what json.Marshal makes of a declaration, strictly: a field that
// is not known might be a rule that would not be heeded.
func ParseDeclaration(data []byte) (Declaration, error) {
	var d Declaration
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return Declaration{}, fmt.Errorf("parsing the declaration of a stream: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Declaration{}, errors.New("parsing the declaration of a stream: something stands behind its end")
	}
	if d.Name == "" || d.Policy.Name != d.Name {
		return Declaration{}, fmt.Errorf("parsing the declaration of a stream: it is named %q and its policy %q, expected one name for both", d.Name, d.Policy.Name)
	}
	return d, nil
}

// Input is something a payload is made of.
type Input struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	// Images are the digests of what an image index has for each of the stream's
	// architectures. The index's own digest says which they are, so that they do not count.
	Images map[string]string `json:"images,omitempty"`
}

// HashInputs names a set of inputs: sha256:<hex> over names and digests, whatever their order.
func HashInputs(inputs []Input) string {
	sorted := slices.Clone(inputs)
	slices.SortFunc(sorted, func(a, b Input) int { return strings.Compare(a.Name, b.Name) })
	h := sha256.New()
	for _, in := range sorted {
		fmt.Fprintf(h, "%q %q\n", in.Name, in.Digest)
	}
	return fmt.Sprintf("sha256:%x", h.Sum(nil))
}
