package cluster

import "testing"

// Control planes are taken away in their order: the leadership is to go where it can
// stay longest.
func TestSuccessor(t *testing.T) {
	nodes := testNodes()[:3]
	var all []memberStatus
	for i, n := range nodes {
		var s memberStatus
		s.Endpoint = "https://" + n.address + ":2379"
		s.Status.Header.MemberID = uint64(i + 1)
		all = append(all, s)
	}
	for _, tc := range []struct {
		name     string
		from     int
		statuses []memberStatus
		want     uint64
	}{
		{"from the first", 0, all, 3},
		{"from the second", 1, all, 3},
		{"from the last", 2, all, 2},
		{"the last is away", 0, all[:2], 2},
		{"alone", 0, all[:1], 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, ok := successor(nodes, nodes[tc.from], tc.statuses); got != tc.want || ok != (tc.want != 0) {
				t.Errorf("%d, %v; want %d", got, ok, tc.want)
			}
		})
	}
}
