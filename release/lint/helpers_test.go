package lint_test

import (
	"slices"
	"strings"

	"github.com/slipway-release/slipway/release/lint"
)

// names are those of the findings' rules, sorted.
func names(findings []lint.Finding) []string {
	var all []string
	for _, f := range findings {
		all = append(all, f.Rule)
	}
	return sorted(all)
}

func sorted(words []string) []string {
	words = slices.Clone(words)
	slices.Sort(words)
	return words
}

func replaceAll(text string, pairs ...string) string {
	return strings.NewReplacer(pairs...).Replace(text)
}
