package streams

import (
	"fmt"
	"strings"
	"time"

	"github.com/slipway-release/slipway/internal/wildcard"
)

// Tolerance says what a gap in a backend's answers, or a finding, means.
type Tolerance string

const (
	Forbid Tolerance = "forbid" // the upgrade failed; the default
	Report Tolerance = "report" // it is told and the upgrade passes
)

// UpgradePolicy is what an upgrade may cost on one cluster profile. The zero value
// tolerates nothing.
type UpgradePolicy struct {
	// Gaps tolerates gaps by the name of a backend, or by what its name begins with up
	// to a dash: "kube-api" means kube-api-write too. The longest that fits counts.
	Gaps map[string]Tolerance
	// Rules tolerates what the rules with these ids find.
	Rules map[string]Tolerance
	// Exceptions excuse single findings until a day.
	Exceptions []Exception
}

// Exception excuses findings, for a reason that will go away.
type Exception struct {
	Rule string
	// Object is what was found something about; * stands for any characters, and
	// nothing for any object.
	Object string
	Reason string
	// Until is the last day, in UTC, on which a finding is excused: 2027-01-31. So a
	// verdict depends on when the upgrade was measured and not on when it is made.
	Until string
}

func (p UpgradePolicy) toleratesGap(backend string) bool {
	longest, tolerance := "", Forbid
	for name, t := range p.Gaps {
		if (backend == name || strings.HasPrefix(backend, name+"-")) && len(name) > len(longest) {
			longest, tolerance = name, t
		}
	}
	return tolerance == Report
}

// findings sums up those of severity error by rule: the ones that speak against the
// release, and the ones that are tolerated.
func (p UpgradePolicy) findings(all []Finding) (against, excused []string) {
	var bad, tolerated byRule
	for _, f := range all {
		if f.Severity != severityError {
			continue
		}
		text := f.Object + ": " + f.Message
		if p.Rules[f.Rule] == Report {
			tolerated.add(f.Rule, text)
			continue
		}
		switch e, valid := p.exception(f); {
		case valid:
			tolerated.add(f.Rule, fmt.Sprintf("%s (excused until %s: %s)", text, e.Until, e.Reason))
		case e != nil:
			bad.add(f.Rule, fmt.Sprintf("%s (its exception ended on %s)", text, e.Until))
		default:
			bad.add(f.Rule, text)
		}
	}
	return bad.texts(), tolerated.texts()
}

// exception returns one that fits a finding, if possible one that has not ended.
func (p UpgradePolicy) exception(f Finding) (fits *Exception, valid bool) {
	day := f.At.UTC().Format(time.DateOnly)
	for _, e := range p.Exceptions {
		if e.Rule != f.Rule || (e.Object != "" && !wildcard.Match(e.Object, f.Object)) {
			continue
		}
		fits = &e
		if !f.At.IsZero() && day <= e.Until {
			return fits, true
		}
	}
	return fits, false
}

// byRule gathers texts under the rules that they belong to, in the order in which the
// rules come.
type byRule struct {
	rules []string
	found map[string][]string
}

func (b *byRule) add(rule, text string) {
	if b.found == nil {
		b.found = map[string][]string{}
	}
	if len(b.found[rule]) == 0 {
		b.rules = append(b.rules, rule)
	}
	b.found[rule] = append(b.found[rule], text)
}

func (b *byRule) texts() []string {
	var out []string
	for _, rule := range b.rules {
		out = append(out, rule+": "+few(b.found[rule], ", "))
	}
	return out
}
