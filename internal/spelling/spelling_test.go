package spelling_test

import (
	"testing"

	"github.com/slipway-release/slipway/internal/spelling"
)

func TestDistance(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"etcd", "", 4}, {"etcd", "etcd", 0}, {"etcd", "etdc", 2}, {"stable-1.36", "stable-1.37", 1}, {"coredns", "coreos", 2}, {"4.6.1", "14.6.1", 1},
	} {
		if got := spelling.Distance(tc.a, tc.b); got != tc.want {
			t.Errorf("from %q to %q: %d, want %d", tc.a, tc.b, got, tc.want)
		}
		if got := spelling.Distance(tc.b, tc.a); got != tc.want {
			t.Errorf("from %q to %q: %d, want %d", tc.b, tc.a, got, tc.want)
		}
	}
}
