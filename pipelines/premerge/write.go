package premerge

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"

	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/pipelines/report"
	"github.com/slipway-release/slipway/release/lint"
	"github.com/slipway-release/slipway/upgradetest"
)

// SummaryFile is the Markdown for a pull request, in the run's folder.
const SummaryFile = "summary.md"

// write leaves in the run's folder what was found out: the report, JUnit, the summary
// and, of the upgrade that tells most, the time line.
func (c *check) write() error {
	if err := c.draw(); err != nil {
		return err
	}
	if err := c.report.Write(c.dir); err != nil {
		return err
	}
	suite, err := staticSuite(c.report)
	if err != nil {
		return fmt.Errorf("writing the result of the static check: %w", err)
	}
	var summary bytes.Buffer
	Markdown(&summary, c.report)
	for name, content := range map[string][]byte{"junit_static.xml": suite, SummaryFile: summary.Bytes()} {
		if err := state.WriteFile(c.path(name), content, 0o644); err != nil {
			return fmt.Errorf("writing what was found out: %w", err)
		}
	}
	return nil
}

// draw puts the upgrade that tells most into the report: the first that was rejected,
// else the first.
func (c *check) draw() error {
	if len(c.measured) == 0 {
		return nil
	}
	telling := c.measured[0]
	for i, w := range c.found.Ways {
		if w.Status != "Passed" {
			telling = c.measured[i]
			break
		}
	}
	c.report.Upgrade = &telling.result
	samples := filepath.Join(c.path(telling.way), "samples")
	if _, err := os.Stat(samples); err != nil {
		return nil
	}
	var err error
	if c.report.Timeline, err = upgradetest.TimelineFragment(samples, telling.result); err != nil {
		return err
	}
	page, err := upgradetest.Timeline(samples, telling.result)
	if err != nil {
		return err
	}
	return state.WriteFile(c.path("timeline.html"), page, 0o644)
}

type testSuite struct {
	XMLName  xml.Name   `xml:"testsuite"`
	Name     string     `xml:"name,attr"`
	Tests    int        `xml:"tests,attr"`
	Failures int        `xml:"failures,attr"`
	Time     float64    `xml:"time,attr"`
	Cases    []testCase `xml:"testcase"`
}

type testCase struct {
	Name    string   `xml:"name,attr"`
	Class   string   `xml:"classname,attr"`
	File    string   `xml:"file,attr,omitempty"`
	Line    int      `xml:"line,attr,omitempty"`
	Failure *message `xml:"failure,omitempty"`
	Out     string   `xml:"system-out,omitempty"`
}

type message struct {
	Message string `xml:"message,attr"`
}

// staticSuite is a case for everything that is new, failed for errors, and one that
// passed when there is nothing.
func staticSuite(r *report.Report) ([]byte, error) {
	s := testSuite{Name: "slipway " + Pipeline + " static", Time: r.Check.Static.Seconds}
	for _, f := range r.Check.Static.Findings {
		tc := testCase{Name: f.Rule + ": " + f.Object, Class: "static", File: f.File, Line: f.Line}
		if f.Level == lint.Error {
			tc.Failure = &message{sentence(f)}
			s.Failures++
		} else {
			tc.Out = sentence(f)
		}
		s.Cases = append(s.Cases, tc)
	}
	if len(s.Cases) == 0 {
		s.Cases = append(s.Cases, testCase{Name: "nothing that the base does not have as well", Class: "static"})
	}
	s.Tests = len(s.Cases)
	body, err := xml.MarshalIndent(s, "", "  ")
	return append([]byte(xml.Header), append(body, '\n')...), err
}

func sentence(f report.Finding) string {
	return fmt.Sprintf("%s: %s. %s", position(f.File, f.Line, f.Field), said(f), f.Fix)
}
