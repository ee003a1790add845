package controlplane_test

import (
	"strings"
	"testing"

	"github.com/slipway-release/slipway/internal/controlplane"
)

func change(t *testing.T, rotate bool, flags ...string) controlplane.Change {
	t.Helper()
	c, err := controlplane.ParseChange(flags, rotate)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNext(t *testing.T) {
	first := controlplane.Reconfiguration{}.Next(change(t, false, "kube-apiserver.v=3", "etcd.log-level=a=b,c"), true)
	rotation := first.Next(change(t, true), true)
	for name, tc := range map[string]struct {
		from     controlplane.Reconfiguration
		change   controlplane.Change
		complete bool
		same     bool
		want     string
	}{
		"nothing of nothing":          {controlplane.Reconfiguration{}, change(t, false), true, true, ""},
		"a flag that was never there": {controlplane.Reconfiguration{}, change(t, false, "etcd.x-"), true, true, ""},
		"first":                       {controlplane.Reconfiguration{}, change(t, false, "kube-scheduler.v=2"), true, false, "  kube-scheduler --v=2\n"},
		"the same":                    {first, change(t, false, "kube-apiserver.v=3"), true, true, "  etcd --log-level=a=b,c\n  kube-apiserver --v=3\n"},
		"the same, continued":         {first, change(t, false, "kube-apiserver.v=3"), false, true, "  etcd --log-level=a=b,c\n  kube-apiserver --v=3\n"},
		"another value":               {first, change(t, false, "kube-apiserver.v=4"), false, false, "  etcd --log-level=a=b,c\n  kube-apiserver --v=4\n"},
		"one more":                    {first, change(t, false, "kube-apiserver.goaway-chance=0"), true, false, "  etcd --log-level=a=b,c\n  kube-apiserver --goaway-chance=0\n  kube-apiserver --v=3\n"},
		"one less":                    {first, change(t, false, "kube-apiserver.v-"), true, false, "  etcd --log-level=a=b,c\n"},
		"none left":                   {first, change(t, false, "kube-apiserver.v-", "etcd.log-level-"), true, false, ""},
		"rotation keeps flags":        {first, change(t, true), true, false, "  etcd --log-level=a=b,c\n  kube-apiserver --v=3\n  new serving certificates\n"},
		"rotation, continued":         {rotation, change(t, true), false, true, "  etcd --log-level=a=b,c\n  kube-apiserver --v=3\n  new serving certificates\n"},
		"rotation once more":          {rotation, change(t, true), true, false, "  etcd --log-level=a=b,c\n  kube-apiserver --v=3\n  new serving certificates\n"},
	} {
		t.Run(name, func(t *testing.T) {
			before := tc.from.String()
			next := tc.from.Next(tc.change, tc.complete)
			if (next.ID == tc.from.ID) != tc.same || next.String() != tc.want {
				t.Errorf("same %t, got\n%s", next.ID == tc.from.ID, next)
			}
			if tc.from.String() != before {
				t.Errorf("what it came from was changed to\n%s", tc.from)
			}
		})
	}
}

func TestParseChangeRefuses(t *testing.T) {
	_, err := controlplane.ParseChange([]string{"kubelet.v=3", "kube-apiserver.v", "kube-apiserver.--v=3", "kube-apiserver=3", "etcd.a=1", "etcd.a-", "kube-apiserver.authorization-mode=RBAC"}, false)
	for _, want := range []string{
		`"kubelet.v=3": "kubelet" is no static pod`, `"kube-apiserver.v": it is neither`, `"kube-apiserver.--v=3": "--v" is no name of a flag`,
		`"kube-apiserver=3": "" is no name of a flag`, `"etcd.a-": etcd.a is named twice`, `"kube-apiserver.authorization-mode=RBAC": "authorization-mode" cannot be set`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %s", err, want)
		}
	}
}

func FuzzParseChange(f *testing.F) {
	for _, text := range []string{"kube-apiserver.v=3", "etcd.a-", "etcd.a.b==", "-", "="} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := controlplane.ParseChange([]string{text}, false)
		if err != nil {
			return
		}
		if len(c.Set)+len(c.Unset) != 1 {
			t.Errorf("%q was read as %+v", text, c)
		}
	})
}
