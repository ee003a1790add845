package graphdata

import (
	"fmt"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/slipway-release/slipway/release/channels/graph"
)

// Types of matching rules.
const (
	ruleAlways = "Always"
	rulePromQL = "PromQL"
)

// checkRules reports rules that clusters could not evaluate: they would take the update
// for one that nobody recommends, or a risk for none.
func (l *loader) checkRules(s source, field string, rules []graph.MatchingRule) {
	if len(s.decoder.Problems) > 0 {
		return
	}
	if len(rules) == 0 {
		l.badAt(s.file, s.Line(field), field, "is missing; a rule of type Always concerns every cluster")
	}
	for i, r := range rules {
		at := fmt.Sprintf("%s[%d]", field, i)
		bad := func(format string, args ...any) { l.badAt(s.file, s.Line(at), at, format, args...) }
		switch {
		case r.Type == ruleAlways && r.PromQL != nil:
			bad("a rule of type Always has no promql")
		case r.Type == rulePromQL && (r.PromQL == nil || r.PromQL.PromQL == ""):
			bad("a rule of type PromQL needs promql.promql")
		case r.PromQL != nil && len(r.PromQL.PromQL) > maxQuery:
			bad("its query is longer than %d bytes", maxQuery)
		case r.Type == "":
			bad("needs a type, %s or %s", ruleAlways, rulePromQL)
		}
	}
}

// checkPromQL says what is wrong with a query, of which clusters need exactly one sample.
func checkPromQL(query string) error {
	expr, err := parser.ParseExpr(query)
	if err != nil {
		return fmt.Errorf("it is no PromQL: %w", err)
	}
	if t := expr.Type(); t != parser.ValueTypeVector {
		return fmt.Errorf("it gives a %s, and clusters need an instant vector of one sample", parser.DocumentedType(t))
	}
	return nil
}
