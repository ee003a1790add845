package wildcard_test

import (
	"testing"

	"github.com/slipway-release/slipway/internal/wildcard"
)

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "kube-system/etcd", true},
		{"a", "a", true},
		{"a", "ab", false},
		{"deployment kube-system/*", "deployment kube-system/coredns", true},
		{"deployment kube-system/*", "deployment default/coredns", false},
		{"*coredns", "deployment kube-system/coredns", true},
		{"a*b*c", "a-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"ab*ba", "aba", false}, // the ends do not share a character
		{"a?", "ab", false},
		{"**", "x", true},
	} {
		if got := wildcard.Match(tc.pattern, tc.text); got != tc.want {
			t.Errorf("Match(%q, %q) is %t", tc.pattern, tc.text, got)
		}
	}
}
