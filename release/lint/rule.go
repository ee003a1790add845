package lint

import (
	"slices"
	"strings"
)

// Rule is one thing that manifests must not do.
type Rule struct {
	ID    string `json:"id"`   // SLW and three digits; never given to another rule
	Name  string `json:"name"` // what exceptions and people call it
	Level Level  `json:"level"`
	// Title says in one sentence what is reported.
	Title string `json:"title"`
	// Why says what happens to a cluster otherwise.
	Why string `json:"why"`
	// Fix says what to do about a finding.
	Fix string `json:"fix"`

	// check reports findings. Nil for rules about exceptions, which are judged
	// after all others.
	check func(p *payload, report func(at place, message string))
}

var rules = slices.Concat(fileRules, orderRules, apiRules, imageRules, drainRules, servedRules, linkRules, controlPlaneRules, hopRules, exceptionRules)

// Rules returns all rules, by id.
func Rules() []Rule {
	all := make([]Rule, 0, len(rules))
	for _, r := range rules {
		all = append(all, *r)
	}
	return all
}

// Find returns the rule of this name or id.
func Find(name string) (Rule, bool) {
	for _, r := range rules {
		if r.Name == name || strings.EqualFold(r.ID, name) {
			return *r, true
		}
	}
	return Rule{}, false
}
