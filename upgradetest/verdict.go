package upgradetest

import (
	"context"
	"encoding/xml"
	"fmt"
)

// Coverage is what share of the intended starts of a backend must have been sent for
// its figures to prove anything.
const Coverage = 0.999

// Verdict is what a Result says when no gap is allowed.
type Verdict struct {
	// Conclusive is false when the tester was ill, or sent too few of its samples;
	// Doubts say why.
	Conclusive bool
	Doubts     []string
	// Gaps are the backends with failed samples, and what rules of severity error found.
	Gaps []string
}

// Judge allows no failed sample on any backend that is not informing, and no finding
// of severity error.
func (r Result) Judge() Verdict {
	v := Verdict{Doubts: r.TesterReasons}
	for _, b := range r.Backends {
		name := b.Label()
		if b.Coverage() < Coverage {
			v.Doubts = append(v.Doubts, fmt.Sprintf("%s: %d of %d samples were sent, under %.1f %%", name, b.Sent, b.Intended, 100*Coverage))
		}
		if b.Failed > 0 {
			v.Gaps = append(v.Gaps, fmt.Sprintf("%s: %d of %d samples failed in %d disruptions", name, b.Failed, b.Sent, len(b.Disruptions)))
		}
	}
	if len(r.Backends) == 0 {
		v.Doubts = append(v.Doubts, "nothing was probed")
	}
	for _, f := range r.Findings {
		if f.Severity == SeverityError {
			v.Gaps = append(v.Gaps, fmt.Sprintf("%s: %s: %s", f.Rule, f.Object, f.Message))
		}
	}
	v.Conclusive = len(v.Doubts) == 0
	return v
}

// Label names a backend's result among those of a Result.
func (b BackendResult) Label() string {
	if b.From != "" {
		return b.Name + "/" + b.Connection + " from " + b.From
	}
	return b.Name + "/" + b.Connection
}

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     float64     `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Failure *junitMessage `xml:"failure,omitempty"`
	Skipped *junitMessage `xml:"skipped,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
}

// JUnit is r as a suite: a case for the tester, for every backend, for every rule, and
// a skipped one for everything that could not be watched.
func (r Result) JUnit() ([]byte, error) {
	s := junitSuite{Name: "slipway upgrade-test", Time: r.Seconds}
	add := func(class, name, failure, skipped string) {
		c := junitCase{Name: name, Class: class}
		if failure != "" {
			c.Failure = &junitMessage{failure}
			s.Failures++
		}
		if skipped != "" {
			c.Skipped = &junitMessage{skipped}
			s.Skipped++
		}
		s.Cases = append(s.Cases, c)
		s.Tests++
	}
	ill := ""
	for _, reason := range r.TesterReasons {
		ill += reason + "; "
	}
	add("tester", "the tester is healthy", "", ill)
	for _, b := range r.Backends {
		failure := ""
		for _, d := range b.Disruptions {
			failure += fmt.Sprintf("%s: %.0f to %.0f ms, %s, %s; ", d.From.Format("15:04:05.000"), d.AtLeastMs, d.AtMostMs, d.Reason, d.During)
		}
		add("backend", b.Label(), failure, "")
	}
	for _, rule := range Rules() {
		failure := ""
		for _, f := range r.Findings {
			if f.Rule == rule.ID && f.Severity == SeverityError {
				failure += f.Object + ": " + f.Message + "; "
			}
		}
		add("rule", rule.ID+": "+rule.What, failure, "")
	}
	for _, why := range r.Skipped {
		add("backend", why, "", why)
	}
	body, err := xml.MarshalIndent(s, "", "  ")
	return append([]byte(xml.Header), append(body, '\n')...), err
}

// Skip records what cannot be watched, and why.
func (m *Monitor) Skip(what ...string) {
	for _, w := range what {
		m.skip(w)
	}
}

// Wait returns when ctx ends, or the monitor was stopped.
func (m *Monitor) Wait(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-m.stop:
	}
}
