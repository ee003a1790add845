package upgradetest

// SelfTest is what a monitor made of outages that were injected to see whether it
// finds them. Package selftest injects them.
type SelfTest struct {
	Injections []Injection `json:"injections"`
	Hertz      float64     `json:"hertz"`
}

// Injection is one outage and what the monitor made of it.
type Injection struct {
	Name string `json:"name"`
	What string `json:"what"`
	// TrueMs is how long the outage lasted, as exactly as the one who made it knows;
	// both 0 when none was made.
	TrueMs Bounds `json:"trueMs"`
	// MeasuredMs are the bounds that the monitor gave; both 0 when it saw none.
	MeasuredMs Bounds `json:"measuredMs"`
	// LimitMs is how far apart MeasuredMs may be: two sampling intervals, and what an
	// answer and a late start take at either edge. 0 is no limit.
	LimitMs float64 `json:"limitMs"`
	// Backend is where it was looked for, or the rule that had to find it.
	Backend string `json:"backend"`
	Found   bool   `json:"found"`
	// Problem says what was wrong: it was missed, or the bounds do not contain the true
	// length, or are too wide.
	Problem string `json:"problem,omitempty"`
	// Doubt says that the tester was ill, so that neither can be said.
	Doubt string `json:"doubt,omitempty"`
}

// Missed are the injections with a problem, and doubtful those of an ill tester.
func (s SelfTest) Missed() (missed, doubtful []Injection) {
	for _, i := range s.Injections {
		switch {
		case i.Doubt != "":
			doubtful = append(doubtful, i)
		case i.Problem != "":
			missed = append(missed, i)
		}
	}
	return missed, doubtful
}
