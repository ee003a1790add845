package controlplane_test

import (
	"strings"
	"testing"
	"time"

	"github.com/slipway-release/slipway/internal/controlplane"
)

func TestSettings(t *testing.T) {
	s := controlplane.New()
	if d := s.Balancer.Check.Detection(); d != 4*time.Second {
		t.Errorf("by default the balancer sees a server leave after %s", d)
	}
	if d, err := s.ShutdownDelay("ha"); d != 0 || err != nil || s.GracePeriod(controlplane.APIServer) != controlplane.DefaultGracePeriod {
		t.Errorf("of nothing: delay %s, %v", d, err)
	}
	err := s.Set(controlplane.APIServer, []byte(`
terminationGracePeriodSeconds: 75
args: {shutdown-send-retry-after: "true", goaway-chance: "0"}
profiles:
  ha:
    args: {shutdown-delay-duration: 10s, goaway-chance: "0.01"}
`))
	if err != nil {
		t.Fatal(err)
	}
	if args := s.Args(controlplane.APIServer, "ha"); len(args) != 3 || args["goaway-chance"] != "0.01" {
		t.Errorf("ha: %v", args)
	}
	if args := s.Args(controlplane.APIServer, "single"); len(args) != 2 || args["goaway-chance"] != "0" {
		t.Errorf("single: %v", args)
	}
	if d, err := s.ShutdownDelay("ha"); d != 10*time.Second || err != nil {
		t.Errorf("delay %s, %v", d, err)
	}
	if err := s.Set(controlplane.LoadBalancer, []byte(`check: {path: /healthz, fall: 3}`)); err != nil {
		t.Fatal(err)
	}
	if c := s.Balancer.Check; c.Path != "/healthz" || c.Fall != 3 || c.Rise != 4 || c.Interval.Duration != 500*time.Millisecond {
		t.Errorf("check %+v", c)
	}
}

func TestSettingsRefused(t *testing.T) {
	for name, tc := range map[string]struct{ part, text, want string }{
		"no part":        {"kubelet", "args: {}", `"kubelet"`},
		"unknown field":  {controlplane.Etcd, "arg: {}", "arg"},
		"dashes":         {controlplane.APIServer, `args: {"--v": "2"}`, "dashes"},
		"in a profile":   {controlplane.APIServer, `profiles: {ha: {args: {"a b": "2"}}}`, "profiles.ha.args"},
		"kubeadm's list": {controlplane.APIServer, `args: {authorization-mode: RBAC}`, "kubeadm gives it a list"},
		"negative CPU":   {controlplane.Etcd, "resources: {requests: {cpu: -1}}", "resources.requests.cpu"},
		"no quantity":    {controlplane.Etcd, "resources: {requests: {cpu: much}}", "quantit"},
		"negative grace": {controlplane.Etcd, "terminationGracePeriodSeconds: -1", "below 0"},
		"path":           {controlplane.LoadBalancer, `check: {path: "/a\n  server evil"}`, "check.path"},
		"two at once":    {controlplane.LoadBalancer, `{check: {fall: 0}, retries: -1}`, "retries"},
		"a duration":     {controlplane.LoadBalancer, `check: {interval: soon}`, "soon"},
	} {
		t.Run(name, func(t *testing.T) {
			s := controlplane.New()
			err := s.Set(tc.part, []byte(tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func FuzzSet(f *testing.F) {
	f.Add("kube-apiserver", []byte("args: {v: '2'}"))
	f.Add("load-balancer", []byte("check: {path: /readyz}"))
	f.Fuzz(func(t *testing.T, part string, data []byte) {
		s := controlplane.New()
		if s.Set(part, data) != nil {
			return
		}
		if strings.ContainsAny(s.Balancer.Check.Path, " \n\"") {
			t.Errorf("path %q", s.Balancer.Check.Path)
		}
	})
}
