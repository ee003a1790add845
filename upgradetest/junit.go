package upgradetest

import (
	"encoding/xml"
	"fmt"
	"strings"
)

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

// add adds a case; failure and skipped say why it is not a pass.
func (s *junitSuite) add(class, name, failure, skipped string) {
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

func (s *junitSuite) bytes() ([]byte, error) {
	body, err := xml.MarshalIndent(s, "", "  ")
	return append([]byte(xml.Header), append(body, '\n')...), err
}

// JUnit is r as a suite: a case for the tester, for every injection of its self-test,
// for every backend, for every rule, and a skipped one for everything that could not be
// watched.
func (r Result) JUnit() ([]byte, error) {
	s := &junitSuite{Name: "slipway upgrade-test", Time: r.Seconds}
	if r.Failure != "" {
		s.add("upgrade", "the upgrade comes to its end", r.Failure, "")
	}
	s.add("tester", "the tester is healthy", "", strings.Join(r.TesterReasons, "; "))
	if r.SelfTest != nil {
		for _, i := range r.SelfTest.Injections {
			s.add("selftest", i.What, i.Problem, i.Doubt)
		}
	}
	for _, b := range r.Backends {
		failure := ""
		for _, d := range b.Disruptions {
			failure += fmt.Sprintf("%s: %.0f to %.0f ms, %s, %s; ", d.From.Format("15:04:05.000"), d.AtLeastMs, d.AtMostMs, d.Reason, d.During)
		}
		s.add("backend", b.Label(), failure, "")
	}
	for _, rule := range Rules() {
		failure := ""
		for _, f := range r.Findings {
			if f.Rule == rule.ID && f.Severity == SeverityError {
				failure += f.Object + ": " + f.Message + "; "
			}
		}
		s.add("rule", rule.ID+": "+rule.What, failure, "")
	}
	for _, why := range r.Skipped {
		s.add("backend", why, "", why)
	}
	return s.bytes()
}
