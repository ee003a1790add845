package e2e

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/formatter"
	"github.com/onsi/ginkgo/v2/reporters"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
)

// spec is one thing that a cluster must do.
type spec struct {
	group, name string
	// profiles are those it is meant for; none means all. Elsewhere it is skipped
	// with the reason.
	profiles []string
	reason   string
	// objects are made in the spec's namespace before run, ahead of time.
	objects func(*env) []runtime.Object
	run     func(context.Context, *env)
}

func (s spec) expectedOn(profile string) bool {
	return len(s.profiles) == 0 || slices.Contains(s.profiles, profile)
}

// reportTo is the *testing.T of a run outside of `go test`. Ginkgo only tells it
// that the suite failed, which the report says better.
type reportTo struct{}

// Fail implements ginkgo.GinkgoTestingT.
func (reportTo) Fail() {}

// gracePeriod is how long a spec may take to return after its timeout.
const gracePeriod = 5 * time.Second

var started atomic.Bool // see ErrAlreadyRun

// runSpecs hands specs to Ginkgo and makes a Result of its report.
func runSpecs(ctx context.Context, options Options, cluster *cluster, specs []spec) (Result, error) {
	if !started.CompareAndSwap(false, true) {
		return Result{}, ErrAlreadyRun
	}
	// Standard output is for results; Ginkgo would write its own report there.
	formatter.ColorableStdOut, formatter.ColorableStdErr = io.Discard, io.Discard
	gomega.RegisterFailHandler(ginkgo.Fail)
	// A wait ends before its spec, so that it can say what it waited for.
	gomega.EnforceDefaultTimeoutsWhenUsingContexts()
	gomega.SetDefaultEventuallyTimeout(options.SpecTimeout * 3 / 4)
	gomega.SetDefaultEventuallyPollingInterval(100 * time.Millisecond)

	var report types.Report
	declare(ctx, options, newStage(cluster, options, specs), &report)
	suite, reporter := ginkgo.GinkgoConfiguration()
	suite.RandomSeed = 1 // the order is fixed; a seed of the day would say otherwise
	suite.RandomizeAllSpecs, suite.FailFast, suite.DryRun = false, false, false
	suite.GracePeriod = gracePeriod
	suite.Timeout = time.Duration(len(specs)*options.FlakeAttempts+1) * (options.SpecTimeout + gracePeriod)
	reporter.Succinct, reporter.NoColor = true, true
	ginkgo.RunSpecs(reportTo{}, options.Suite, suite, reporter)

	result := summarize(options, specs, report)
	if err := writeJUnit(options.JUnit, report); err != nil {
		return result, fmt.Errorf("writing the JUnit file %q: %w", options.JUnit, err)
	}
	if ctx.Err() != nil {
		return result, fmt.Errorf("testing the cluster: %w", context.Cause(ctx))
	}
	return result, nil
}

// declare builds Ginkgo's tree: one container, whose order Ginkgo keeps.
func declare(ctx context.Context, options Options, stage *stage, report *types.Report) {
	done := 0
	ginkgo.Describe(options.Suite, func() {
		for i, s := range stage.specs {
			// Ginkgo sorts the specs of a container by where they stand in the source,
			// which is one line for all of these.
			place := types.CodeLocation{FileName: options.Suite, LineNumber: i + 1}
			ginkgo.It(s.group+": "+s.name, place, func(specCtx ginkgo.SpecContext) {
				if !s.expectedOn(options.Profile) {
					ginkgo.Skip(s.reason)
				}
				inner, stop := both(specCtx, ctx)
				defer stop()
				if ctx.Err() == nil {
					stage.perform(inner, ctx, i, ginkgo.CurrentSpecReport().NumAttempts)
				}
				if ctx.Err() != nil {
					ginkgo.AbortSuite("the run was ended from outside: " + context.Cause(ctx).Error())
				}
			}, ginkgo.FlakeAttempts(options.FlakeAttempts), ginkgo.NodeTimeout(options.SpecTimeout), ginkgo.GracePeriod(gracePeriod))
		}
	})
	ginkgo.ReportAfterEach(func(r ginkgo.SpecReport) {
		done++
		progress(options.Progress, r, done, len(stage.specs))
	})
	ginkgo.AfterSuite(func(specCtx ginkgo.SpecContext) { stage.clear(specCtx) }, ginkgo.NodeTimeout(time.Minute))
	ginkgo.ReportAfterSuite("report", func(r ginkgo.Report) { *report = r })
}

// both returns a context that ends with either.
func both(ctx, other context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(other, func() { cancel(context.Cause(other)) })
	return ctx, func() { stop(); cancel(nil) }
}

func progress(w io.Writer, r ginkgo.SpecReport, done, all int) {
	if w == nil {
		return
	}
	line := fmt.Sprintf("%2d/%d %-7s %s (%.1fs)", done, all, r.State, r.LeafNodeText, r.RunTime.Seconds())
	if r.State == types.SpecStateSkipped {
		line += ": " + r.Failure.Message
	}
	if r.State.Is(types.SpecStateFailureStates) {
		line += ": " + oneLine(r.Failure.Message)
	}
	fmt.Fprintln(w, line)
}

// summarize counts. What was expected and is not in the report as run is a failure.
func summarize(options Options, specs []spec, report types.Report) Result {
	r := Result{Suite: options.Suite, Profile: options.Profile, Failures: []Failure{}, Seed: report.SuiteConfig.RandomSeed, Seconds: float64(report.RunTime.Milliseconds()) / 1000}
	reports := map[string]types.SpecReport{}
	for _, s := range report.SpecReports {
		if s.LeafNodeType == types.NodeTypeIt {
			reports[s.LeafNodeText] = s
		} else if s.Failed() {
			r.Failed++
			r.Failures = append(r.Failures, Failure{Name: s.LeafNodeType.String(), Message: s.Failure.Message})
		}
	}
	for _, s := range specs {
		name := s.group + ": " + s.name
		got, found := reports[name]
		if !s.expectedOn(options.Profile) {
			r.Skipped++
			continue
		}
		r.Expected++
		switch {
		case found && got.State == types.SpecStatePassed:
			r.Ran++
			r.Passed++
			if got.NumAttempts > 1 {
				r.Flaked++
			}
		case found && got.State.Is(types.SpecStateFailureStates):
			r.Ran++
			r.Failed++
			r.Failures = append(r.Failures, Failure{Name: name, Message: got.Failure.Message})
		default:
			r.Failures = append(r.Failures, Failure{Name: name, Message: "it did not run: " + whyNot(got, report)})
		}
	}
	return r
}

func whyNot(got types.SpecReport, report types.Report) string {
	reasons := slices.DeleteFunc([]string{got.Failure.Message, strings.Join(report.SpecialSuiteFailureReasons, "; ")}, func(s string) bool { return s == "" })
	if len(reasons) == 0 {
		return "no reason was given"
	}
	return strings.Join(reasons, "; ")
}

// writeJUnit writes the file beside its place and moves it there.
func writeJUnit(path string, report types.Report) error {
	if path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	config := reporters.JunitReportConfig{OmitLeafNodeType: true, OmitSuiteSetupNodes: true, OmitTimelinesForSpecState: types.SpecStatePassed | types.SpecStateSkipped}
	if err := reporters.GenerateJUnitReportWithConfig(report, path+".partial", config); err != nil {
		return err
	}
	return os.Rename(path+".partial", path)
}

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 300 {
		s = s[:300] + "…"
	}
	return s
}
