package upgradetest

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"time"

	"github.com/slipway-release/slipway/internal/proportion"
)

// Defaults of Options.
const (
	DefaultHertz   = 20.0
	DefaultTimeout = 3 * time.Second
	DefaultSlow    = time.Second
)

// Options says what to watch and how.
type Options struct {
	Backends []Backend
	// SamplesDir receives the samples; it is created where it is missing. A
	// former recording in it is kept under another name.
	SamplesDir string
	// Hertz is the number of starts per second and backend that names none of
	// its own; default 20.
	Hertz float64
	// Timeout is when a sample has failed, counted from its intended start;
	// default 3 s. Slow is when an answered one was slow; default 1 s.
	Timeout, Slow time.Duration
	// MaxInFlight bounds the open requests of one backend. A start beyond it is
	// recorded as not sent. Default: what the timeout and the rate can open, and
	// one second's worth more.
	MaxInFlight int
	// Baseline is how long Start probes the idle cluster before it returns: the
	// A/A window, reported apart.
	Baseline time.Duration
	// Begun, when set, is called when probing has begun, before the baseline is over: to
	// start what tells the monitor of events. Its error ends the monitor.
	Begun func(*Monitor) error
	// KeepPriority leaves the priority of this process alone. Otherwise its threads,
	// but not the programs it starts, run at nice -15 until Stop, where the host
	// allows that: an upgrade loads the machine the monitor shares with it.
	KeepPriority bool
	// Limits say when the tester is ill.
	Limits Limits
}

// Limits of a healthy tester. A zero field takes its default.
type Limits struct {
	// Lateness99 bounds the 99th percentile of actual against intended starts;
	// default 50 ms, an interval at 20 Hz.
	Lateness99 time.Duration
	// Missed bounds the share of starts that the tester was too late for, or had
	// too many requests open for; default 0.001.
	Missed float64
	// Steal bounds the share of CPU time that the host took away; default 0.1.
	Steal float64
}

var nameFormat = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// complete returns o with its defaults filled in, or every problem of it.
func (o Options) complete() (Options, error) {
	setDefault(&o.Hertz, DefaultHertz)
	setDefault(&o.Timeout, DefaultTimeout)
	setDefault(&o.Slow, DefaultSlow)
	setDefault(&o.Limits.Lateness99, 50*time.Millisecond)
	setDefault(&o.Limits.Missed, 1-proportion.Coverage)
	setDefault(&o.Limits.Steal, 0.1)
	var problems []error
	if o.SamplesDir == "" {
		problems = append(problems, errors.New("a folder for the samples is needed"))
	}
	if o.Slow > o.Timeout {
		problems = append(problems, fmt.Errorf("slow %v is above the timeout %v", o.Slow, o.Timeout))
	}
	if len(o.Backends) == 0 {
		problems = append(problems, errors.New("there is no backend to watch"))
	}
	backends := make([]Backend, len(o.Backends))
	seen := map[string]bool{}
	for i, b := range o.Backends {
		setDefault(&b.Hertz, o.Hertz)
		backends[i] = b
		problems = append(problems, b.check())
		if seen[b.key()] {
			problems = append(problems, fmt.Errorf("backend %q appears twice", b.key()))
		}
		seen[b.key()] = true
	}
	o.Backends = backends
	return o, errors.Join(problems...)
}

func (o Options) maxInFlight(hertz float64) int {
	if o.MaxInFlight > 0 {
		return o.MaxInFlight
	}
	return int(math.Ceil((o.Timeout.Seconds() + 1) * hertz))
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
