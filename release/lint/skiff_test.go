package lint_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release/lint"
)

const skiff = "../../distros/skiff/components"

// judgeSkiff judges the components of a folder as those of a checkout of Skiff are judged.
func judgeSkiff(t testing.TB, dir string) lint.Report {
	t.Helper()
	source, err := lint.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return lint.Run(source.Files, source.References, lint.Options{
		Now: today, Kubernetes: "1.36.3", Origin: source.Origin,
		Replaced: func(repository string) bool { return strings.HasPrefix(repository, "registry.slipway.internal/skiff/") },
	})
}

func TestSkiffIsClean(t *testing.T) {
	report := judgeSkiff(t, skiff)
	if report.Failed(lint.Note) || report.Counts.Excepted != 1 {
		var b strings.Builder
		report.Text(&b)
		t.Error(b.String())
	}
}

// Changes to Skiff that would cost availability: one line of one file each, and the
// one finding that names it.
func TestBrokenSkiff(t *testing.T) {
	for name, tc := range map[string]struct {
		file     string // below the components
		old, new string
		want     string // rule and field
	}{
		"no readiness probe": {"coredns/manifests/0000_20_coredns_04-deployment.yaml",
			"        readinessProbe:\n          httpGet:\n            path: /ready\n            port: ready\n          periodSeconds: 2\n          timeoutSeconds: 2\n          failureThreshold: 3\n", "", "no-readiness-probe spec.template.spec.containers"},
		"one replica": {"coredns/manifests/0000_20_coredns_04-deployment.yaml",
			"replicas: 2", "replicas: 1", "single-replica-served spec.replicas"},
		"budget that allows none": {"coredns/manifests/0000_20_coredns_03-service.yaml",
			"maxUnavailable: 1", "maxUnavailable: 0", "budget-blocks-drain spec.maxUnavailable"},
		"budget that allows no percent": {"coredns/manifests/0000_20_coredns_03-service.yaml",
			"maxUnavailable: 1", "maxUnavailable: 0%", "budget-blocks-drain spec.maxUnavailable"},
		"budget of all": {"coredns/manifests/0000_20_coredns_03-service.yaml",
			"maxUnavailable: 1", "minAvailable: 2", "budget-blocks-drain spec.minAvailable"},
		"budget of 100 %": {"coredns/manifests/0000_20_coredns_03-service.yaml",
			"maxUnavailable: 1", "minAvailable: 100%", "budget-blocks-drain spec.minAvailable"},
		"budget that rounds to all": {"coredns/manifests/0000_20_coredns_03-service.yaml",
			"maxUnavailable: 1", "minAvailable: 51%", "budget-blocks-drain spec.minAvailable"},
		"shutdown delay 0": {"kube-apiserver/manifests/0000_05_kube-apiserver_01-settings.yaml",
			"shutdown-delay-duration: 10s", "shutdown-delay-duration: 0s", `shutdown-delay-too-short data["settings.yaml"].profiles.ha.args.shutdown-delay-duration`},
		"shutdown delay gone": {"kube-apiserver/manifests/0000_05_kube-apiserver_01-settings.yaml",
			"          shutdown-delay-duration: 10s\n", "", `shutdown-delay-too-short data["settings.yaml"].profiles.ha.args.shutdown-delay-duration`},
		"grace below the delay": {"kube-apiserver/manifests/0000_05_kube-apiserver_01-settings.yaml",
			"terminationGracePeriodSeconds: 75", "terminationGracePeriodSeconds: 10", `grace-within-shutdown-delay data["settings.yaml"].terminationGracePeriodSeconds`},
		"balancer asks for healthz": {"haproxy/manifests/0000_05_haproxy_01-settings.yaml",
			"path: /readyz", "path: /healthz", `balancer-check-stays-green data["settings.yaml"].check.path`},
		"etcd elects too soon": {"etcd/manifests/0000_05_etcd_01-settings.yaml",
			`"2500"`, `"1000"`, `etcd-election data["settings.yaml"].profiles.ha.args.election-timeout`},
		"CoreDNS without lameduck": {"coredns/manifests/0000_20_coredns_02-config.yaml",
			"            lameduck 15s\n", "", "dns-no-lameduck data.Corefile"},
		"lameduck past the grace": {"coredns/manifests/0000_20_coredns_02-config.yaml",
			"lameduck 15s", "lameduck 30s", "lameduck-outlives-grace data.Corefile"},
		"DaemonSet with maxUnavailable 100 %": {"kube-proxy/manifests/0000_10_kube-proxy_03-daemonset.yaml",
			"maxUnavailable: 1", "maxUnavailable: 100%", "update-takes-all spec.updateStrategy.rollingUpdate.maxUnavailable"},
		"removed API": {"coredns/manifests/0000_20_coredns_03-service.yaml",
			"apiVersion: policy/v1\n", "apiVersion: policy/v1beta1\n", "removed-api apiVersion"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "components")
			if err := os.CopyFS(dir, os.DirFS(skiff)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, tc.file)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(string(data), tc.old) != 1 {
				t.Fatalf("%q does not stand once in %s", tc.old, tc.file)
			}
			broken := strings.Replace(string(data), tc.old, tc.new, 1)
			if err := os.WriteFile(path, []byte(broken), 0o644); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range judgeSkiff(t, dir).Findings {
				got = append(got, f.Rule+" "+f.Field+" "+f.File)
				if f.Line == 0 || f.Object == "" {
					t.Errorf("%+v has no place", f)
				}
			}
			if diff := cmp.Diff([]string{tc.want + " " + path}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
