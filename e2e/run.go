package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/onsi/ginkgo/v2/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Profiles of clusters that suites know.
const (
	Single = "single" // one node
	HA     = "ha"     // three control planes, two workers
)

// Smoke names the suite of basics.
const Smoke = "smoke"

// Options say what to test, and with what.
type Options struct {
	Kubeconfig string // path; or
	RestConfig *rest.Config
	Suite      string // Smoke, the default
	Profile    string // Single, the default, or HA
	// Image returns the reference, by digest, of a component's image, or "". The
	// smoke suite asks for agnhost.
	Image func(component string) string
	// Digests are those of all images that may run in the cluster, as sha256:….
	Digests []string
	// KubernetesVersion is what API server and kubelets must report, e.g. v1.36.3.
	KubernetesVersion string
	// JUnit is the file to write, if any. Artifacts is a folder for what explains a
	// failure (objects, events, logs of the namespace), if any.
	JUnit     string
	Artifacts string
	// FlakeAttempts is how often a failing spec is tried; default 1. One that then
	// passes is counted as passed and as flaked.
	FlakeAttempts int
	// SpecTimeout bounds one spec; default 2 minutes.
	SpecTimeout time.Duration
	// Progress receives one line per spec, if not nil.
	Progress io.Writer
}

// Result is the "conformance" object of the run report.
type Result struct {
	Suite    string    `json:"suite"`
	Expected int       `json:"expected"` // specs that are meant for this profile
	Ran      int       `json:"ran"`      // of those
	Passed   int       `json:"passed"`
	Failed   int       `json:"failed"`
	Flaked   int       `json:"flaked"` // passed, but not at once
	Skipped  int       `json:"skipped"`
	Failures []Failure `json:"failures"`

	Profile string  `json:"profile"`
	Seed    int64   `json:"seed"`
	Seconds float64 `json:"seconds"`
}

// Failure is a spec that failed, or that should have run and did not.
type Failure struct {
	Name    string `json:"name"`
	Message string `json:"message"`
}

// OK reports whether every expected spec ran and passed.
func (r Result) OK() bool { return r.Failed == 0 && r.Ran == r.Expected && r.Passed == r.Expected }

// ErrAlreadyRun says that this process has run a suite: Ginkgo can run one.
var ErrAlreadyRun = errors.New("a suite has already been run in this process")

// Run runs a suite. Failed specs are in the result; the error says that the suite
// could not be run, or not to its end. Run works once in a process (ErrAlreadyRun).
func Run(ctx context.Context, options Options) (Result, error) {
	options, err := options.complete()
	if err != nil {
		return Result{}, fmt.Errorf("testing the cluster: %w", err)
	}
	cluster, err := connect(ctx, options)
	if err != nil {
		return Result{}, fmt.Errorf("testing the cluster at %q: %w", options.RestConfig.Host, err)
	}
	cluster.deleteLeftovers(ctx)
	return runSpecs(ctx, options, cluster, smoke())
}

// NotRun is the result for a cluster that never came so far that its specs could
// run: none of those expected did, for the one reason given. step is what failed,
// "rollout"; the JUnit file is written with it as the one failed case.
func NotRun(options Options, step, reason string) (Result, error) {
	r := Result{Suite: options.Suite, Profile: options.Profile, Failures: []Failure{{Name: step, Message: reason}}}
	if r.Suite == "" {
		r.Suite = Smoke
	}
	for _, s := range smoke() {
		if s.expectedOn(options.Profile) {
			r.Expected++
		} else {
			r.Skipped++
		}
	}
	if err := writeJUnit(options.JUnit, types.Report{
		SuiteDescription: r.Suite,
		SpecReports: types.SpecReports{{
			LeafNodeType: types.NodeTypeIt, LeafNodeText: step, State: types.SpecStateFailed, Failure: types.Failure{Message: reason},
		}},
	}); err != nil {
		return r, fmt.Errorf("writing the JUnit file %q: %w", options.JUnit, err)
	}
	return r, nil
}

// complete fills in defaults, or returns every problem of o.
func (o Options) complete() (Options, error) {
	var problems []error
	if o.Suite == "" {
		o.Suite = Smoke
	}
	if o.Suite != Smoke {
		problems = append(problems, fmt.Errorf("suite %q is not known; there is %q", o.Suite, Smoke))
	}
	if o.Profile == "" {
		o.Profile = Single
	}
	if o.Profile != Single && o.Profile != HA {
		problems = append(problems, fmt.Errorf("profile %q is not known; there are %q and %q", o.Profile, Single, HA))
	}
	if o.Image == nil || o.Image("agnhost") == "" {
		problems = append(problems, errors.New("the release has no component \"agnhost\", which the pods of the specs run"))
	}
	if len(o.Digests) == 0 {
		problems = append(problems, errors.New("the digests that may run in the cluster are needed"))
	}
	o.FlakeAttempts = max(o.FlakeAttempts, 1)
	if o.SpecTimeout == 0 {
		o.SpecTimeout = 2 * time.Minute
	}
	if o.RestConfig == nil {
		config, err := clientcmd.BuildConfigFromFlags("", o.Kubeconfig)
		if o.Kubeconfig == "" {
			err = errors.New("none was named")
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("kubeconfig %q: %w", o.Kubeconfig, err))
		}
		o.RestConfig = config
	}
	return o, errors.Join(problems...)
}
