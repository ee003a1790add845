package lint_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/lint"
)

// settings is a ConfigMap with settings of a part of the control plane.
func settings(part, text string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\n  namespace: kube-system\n  labels: {slipway.dev/control-plane: %s}\ndata:\n  settings.yaml: |\n%s\n", part, part, indent(text, 4))
}

// apiServer are settings that no rule finds fault with, but for what is replaced in them.
func apiServer(pairs ...string) string {
	return settings("kube-apiserver", replaceAll(`terminationGracePeriodSeconds: 90
args:
  shutdown-send-retry-after: "true"
profiles:
  ha:
    args:
      shutdown-delay-duration: 15s
      goaway-chance: "0.001"`, pairs...))
}

const sane = "terminationGracePeriodSeconds: 30\nargs: {heartbeat-interval: \"100\", election-timeout: \"1000\"}"

var controlPlaneCases = []ruleCase{
	{rule: "control-plane-settings", name: "unknown part", text: settings("kubelet", "args: {}"), want: `7: ConfigMap kube-system/kubelet has settings of "kubelet", which is no part`},
	{rule: "control-plane-settings", name: "unknown field", text: apiServer("args", "arguments"), want: `9: ConfigMap kube-system/kube-apiserver: reading the settings of "kube-apiserver"`},
	{rule: "control-plane-settings", name: "no data", text: strings.Replace(apiServer(), "settings.yaml", "settings", 1), want: "8: ConfigMap kube-system/kube-apiserver: its data has no settings.yaml"},
	{rule: "control-plane-settings", name: "two for one part", text: settings("etcd", sane) + strings.Replace(settings("etcd", sane), "name: etcd", "name: etcd-2", 1),
		want: "18: ConfigMap kube-system/etcd-2 has settings of etcd, and so has ConfigMap kube-system/etcd in 0000_50_web_web.yaml"},
	{rule: "control-plane-settings", name: "all well", text: apiServer() + settings("etcd", sane) + settings("load-balancer", "check: {path: /readyz}") + settings("kube-scheduler", "args: {v: '2'}")},
	{rule: "control-plane-settings", name: "another ConfigMap", text: fmt.Sprintf(configMap, "a", "")},

	{rule: "balancer-check-stays-green", name: "healthz", text: settings("load-balancer", "retries: 2\ncheck:\n  path: /healthz"), want: "12: the load balancer asks for /healthz"},
	{rule: "balancer-check-stays-green", name: "livez", text: settings("load-balancer", "check:\n  path: /livez?verbose=1"), want: "asks for /livez?verbose=1"},
	{rule: "balancer-check-stays-green", name: "one of livez", text: settings("load-balancer", "check: {path: /livez/ping}"), want: "asks for /livez/ping"},
	{rule: "balancer-check-stays-green", name: "blind on purpose", text: settings("load-balancer", "check:\n  path: /readyz?exclude=etcd&exclude=shutdown"), want: "which succeeds while"},
	{rule: "balancer-check-stays-green", name: "readyz", text: settings("load-balancer", "check: {path: /readyz}")},
	{rule: "balancer-check-stays-green", name: "default", text: settings("load-balancer", "retries: 2")},
	{rule: "balancer-check-stays-green", name: "unusual", text: settings("load-balancer", "check: {path: /version}")},

	{rule: "balancer-check-unusual", name: "unusual", text: settings("load-balancer", "check: {path: /version}"), want: "10: the load balancer asks for /version and not for /readyz"},
	{rule: "balancer-check-unusual", name: "readyz", text: settings("load-balancer", "check:\n  path: /readyz?verbose")},
	{rule: "balancer-check-unusual", name: "worse", text: settings("load-balancer", "check: {path: /healthz}")},

	{rule: "shutdown-delay-too-short", name: "0", text: apiServer("15s", "0s"), want: "16: on profile ha kube-apiserver takes no connections as soon as it is told to end"},
	{rule: "shutdown-delay-too-short", name: "absent", text: apiServer("      shutdown-delay-duration: 15s\n", ""), want: "15: on profile ha kube-apiserver takes no"},
	{rule: "shutdown-delay-too-short", name: "no time", text: apiServer("15s", "soon"), want: `shutdown-delay-duration of kube-apiserver is "soon" on profile ha`},
	{rule: "shutdown-delay-too-short", name: "below what is seen by default", text: apiServer("15s", "5900ms"), want: "for 5.9s after it was told to end; the load balancer may need 4s to see it, so that 6s are the least"},
	{rule: "shutdown-delay-too-short", name: "below what this balancer sees", text: apiServer() + settings("load-balancer", "check: {interval: 5s, fall: 3}"), want: "may need 18s"},
	{rule: "shutdown-delay-too-short", name: "another part only", text: settings("load-balancer", "retries: 2")},
	{rule: "shutdown-delay-too-short", name: "enough", text: apiServer("15s", "6s")},
	{rule: "shutdown-delay-too-short", name: "for every profile", text: apiServer(`  shutdown-send-retry-after: "true"`, "  shutdown-delay-duration: 20s", "      shutdown-delay-duration: 15s\n", "")},
	{rule: "shutdown-delay-too-short", name: "nothing of Slipway's", text: deployment("replicas: 2", probed) + svc},

	{rule: "grace-within-shutdown-delay", name: "as long", text: apiServer("90", "15"), want: "10: kube-apiserver is killed after 15s, and on profile ha its shutdown delay is 15s"},
	{rule: "grace-within-shutdown-delay", name: "default", text: apiServer("terminationGracePeriodSeconds: 90\n", "", "15s", "40s"), want: "10: kube-apiserver is killed after 30s"},
	{rule: "grace-within-shutdown-delay", name: "longer", text: apiServer("90", "16")},

	{rule: "grace-cuts-requests", name: "default", text: apiServer("90", "74"), want: "10: kube-apiserver is killed after 1m14s; with a shutdown delay of 15s that leaves requests 59s of the 1m0s"},
	{rule: "grace-cuts-requests", name: "longer requests", text: apiServer(`  shutdown-send-retry-after: "true"`, "  request-timeout: 2m"), want: "of the 2m0s"},
	{rule: "grace-cuts-requests", name: "watches", text: apiServer(`  shutdown-send-retry-after: "true"`, "  shutdown-watch-termination-grace-period: 90s"), want: "of the 1m30s"},
	{rule: "grace-cuts-requests", name: "enough", text: apiServer("90", "75")},
	{rule: "grace-cuts-requests", name: "short requests", text: apiServer(`  shutdown-send-retry-after: "true"`, "  request-timeout: 10s", "90", "25")},
	{rule: "grace-cuts-requests", name: "worse", text: apiServer("90", "15")},

	{rule: "no-retry-after", name: "absent", text: apiServer("args:\n  shutdown-send-retry-after: \"true\"\n", ""), want: "13: on profile ha kube-apiserver does not send clients elsewhere"},
	{rule: "no-retry-after", name: "false", text: apiServer(`"true"`, `"false"`), want: "12: on profile ha"},
	{rule: "no-retry-after", name: "true", text: apiServer()},

	{rule: "connections-stay", name: "absent", text: apiServer("      goaway-chance: \"0.001\"", ""), want: "15: on profile ha clients of kube-apiserver never change servers"},
	{rule: "connections-stay", name: "0", text: apiServer("0.001", "0.0"), want: "17: on profile ha clients"},
	{rule: "connections-stay", name: "some", text: apiServer()},

	{rule: "etcd-election", name: "too near", text: settings("etcd", replaceAll(sane, "1000", "499")), want: "11: election-timeout of etcd is 499ms, and heartbeat-interval is 100ms, of which it must be 5 times as much"},
	{rule: "etcd-election", name: "of one profile", text: settings("etcd", sane+"\nprofiles:\n  ha:\n    args: {heartbeat-interval: \"500\"}"), want: "11: election-timeout of etcd on profile ha is 1s"},
	{rule: "etcd-election", name: "heartbeat alone", text: settings("etcd", "args: {heartbeat-interval: \"250\"}"), want: "10: election-timeout of etcd is 1s, and heartbeat-interval is 250ms"},
	{rule: "etcd-election", name: "no numbers", text: settings("etcd", "args: {heartbeat-interval: 100ms}"), want: `etcd: heartbeat-interval is "100ms", not a number of milliseconds`},
	{rule: "etcd-election", name: "no heartbeat", text: settings("etcd", replaceAll(sane, `"100"`, `"0"`)), want: "heartbeat-interval is 0s"},
	{rule: "etcd-election", name: "five times", text: settings("etcd", replaceAll(sane, "1000", "500"))},
	{rule: "etcd-election", name: "default", text: settings("etcd", "args: {}")},

	{rule: "etcd-grace-too-short", name: "none", text: settings("etcd", replaceAll(sane, "30", "0")), want: "10: etcd is killed after 0s, and handing on its leadership may take 1s"},
	{rule: "etcd-grace-too-short", name: "slow elections", text: settings("etcd", replaceAll(sane, "1000", "30000")), want: "may take 30s"},
	{rule: "etcd-grace-too-short", name: "enough", text: settings("etcd", replaceAll(sane, "30", "2"))},
	{rule: "etcd-grace-too-short", name: "default", text: settings("etcd", "args: {}")},
}

// A payload with an API server and no word about it has one that ends at once; another
// distribution's, without that component, is left alone.
func TestPayloadWithoutSettings(t *testing.T) {
	for component, want := range map[string]string{"kube-apiserver": "shutdown-delay-too-short image-references", "hyperkube": ""} {
		refs := references()
		refs.Tags = append(refs.Tags, release.ImageTag{Name: component, Image: "registry.example/api" + digest})
		var got []string
		for _, f := range lint.Run(files(makesNS), refs, lint.Options{Now: today}).Findings {
			got = append(got, f.Rule+" "+f.File)
		}
		if strings.Join(got, "\n") != want {
			t.Errorf("with %s: got %q, want %q", component, got, want)
		}
	}
}

func TestSettingsAreNamedByField(t *testing.T) {
	report := lint.Run(files(apiServer("15s", "0s", "90", "20")+settings("load-balancer", "check: {path: /livez}")), references(), lint.Options{Now: today})
	want := map[string]string{
		"shutdown-delay-too-short":   `data["settings.yaml"].profiles.ha.args.shutdown-delay-duration`,
		"grace-cuts-requests":        `data["settings.yaml"].terminationGracePeriodSeconds`,
		"balancer-check-stays-green": `data["settings.yaml"].check.path`,
	}
	for _, f := range report.Findings {
		if f.Field != want[f.Rule] {
			t.Errorf("%s: field %q, want %q", f.Rule, f.Field, want[f.Rule])
		}
		delete(want, f.Rule)
	}
	if len(want) > 0 {
		t.Errorf("not found: %v", want)
	}
}
