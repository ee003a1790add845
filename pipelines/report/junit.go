package report

import "encoding/xml"

type testSuite struct {
	XMLName  xml.Name   `xml:"testsuite"`
	Name     string     `xml:"name,attr"`
	Tests    int        `xml:"tests,attr"`
	Failures int        `xml:"failures,attr"`
	Skipped  int        `xml:"skipped,attr"`
	Time     float64    `xml:"time,attr"`
	Cases    []testCase `xml:"testcase"`
}

type testCase struct {
	Name    string   `xml:"name,attr"`
	Class   string   `xml:"classname,attr"`
	Time    float64  `xml:"time,attr"`
	Failure *message `xml:"failure,omitempty"`
	Skipped *message `xml:"skipped,omitempty"`
}

type message struct {
	Message string `xml:"message,attr"`
}

// junit is the stages as a JUnit suite, one case each, skipped ones with their
// reason.
func (r *Report) junit() ([]byte, error) {
	suite := testSuite{Name: "slipway " + r.Run.Pipeline, Tests: len(r.Stages)}
	for _, s := range r.Stages {
		c := testCase{Name: s.Name, Class: r.Run.Pipeline, Time: s.Seconds}
		suite.Time += s.Seconds
		switch s.Status {
		case "Skipped":
			c.Skipped = &message{s.Reason}
			suite.Skipped++
		case "Succeeded":
		default:
			c.Failure = &message{s.Reason}
			suite.Failures++
		}
		suite.Cases = append(suite.Cases, c)
	}
	body, err := xml.MarshalIndent(suite, "", "  ")
	return append([]byte(xml.Header), append(body, '\n')...), err
}
