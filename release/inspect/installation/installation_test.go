package installation_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/inspect/installation"
	"github.com/slipway-release/slipway/release/manifests"
	"github.com/slipway-release/slipway/release/releasetest"
)

type object = releasetest.Object

const (
	clusterVersion = "/apis/config.openshift.io/v1/clusterversions/version"
	featureGate    = "/apis/config.openshift.io/v1/featuregates/cluster"
	infrastructure = "/apis/config.openshift.io/v1/infrastructures/cluster"
	operator       = "/apis/apps/v1/namespaces/openshift-cluster-version/deployments/cluster-version-operator"
	inventory      = "/api/v1/namespaces/kube-system/configmaps/slipway-rollout"
)

var (
	digest = "sha256:" + strings.Repeat("a", 64)
	image  = "quay.io/okd/scos-release@" + digest
)

func connect(t *testing.T, c *releasetest.Cluster) *installation.Cluster {
	t.Helper()
	cluster, err := installation.Connect(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	return cluster
}

// status returns the part of an object below status.
func status(o object) object { return o["status"].(object) }

func TestRelease(t *testing.T) {
	for name, test := range map[string]struct {
		cluster func(t *testing.T) *releasetest.Cluster
		want    installation.Release
		unknown bool
		says    string
	}{
		"OKD": {
			cluster: func(t *testing.T) *releasetest.Cluster { return releasetest.NewOKD(t, "4.19.0", image, nil) },
			want:    installation.Release{Version: "4.19.0", Image: image, Digest: digest, Complete: true},
		},
		"on its way": {
			cluster: func(t *testing.T) *releasetest.Cluster {
				return releasetest.NewOKD(t, "4.19.0", image, func(o map[string]object) {
					status(o[clusterVersion])["history"] = []any{object{"state": "Partial", "version": "4.19.0", "image": image}}
				})
			},
			want: installation.Release{Version: "4.19.0", Image: image, Digest: digest},
		},
		"asked to begin": {
			cluster: func(t *testing.T) *releasetest.Cluster {
				return releasetest.NewOKD(t, "", "", func(o map[string]object) {
					o[clusterVersion]["spec"] = object{"desiredUpdate": object{"image": image}}
				})
			},
			want: installation.Release{Image: image, Digest: digest},
		},
		"says nothing": {
			cluster: func(t *testing.T) *releasetest.Cluster { return releasetest.NewOKD(t, "", "", nil) },
			unknown: true, says: "names no image at this time",
		},
		"ours": {
			cluster: func(t *testing.T) *releasetest.Cluster {
				c := releasetest.NewCluster(t)
				c.Put(inventory, object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": object{"name": "slipway-rollout", "namespace": "kube-system"},
					"data": object{"inventory.json": `{"version":"1.36.3","digest":"` + digest + `","complete":true,"objects":[]}`}})
				return c
			},
			want: installation.Release{Version: "1.36.3", Digest: digest, Complete: true},
		},
		"nobody's": {
			cluster: func(t *testing.T) *releasetest.Cluster { return releasetest.NewCluster(t) },
			unknown: true, says: "nothing was rolled out to it",
		},
		"forbidden": {
			cluster: func(t *testing.T) *releasetest.Cluster {
				c := releasetest.NewCluster(t)
				c.Answer = func(w http.ResponseWriter, _ *http.Request, _ object) bool {
					w.WriteHeader(http.StatusForbidden)
					return true
				}
				return c
			},
			says: "clusterversions/version",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := connect(t, test.cluster(t)).Release(t.Context())
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if (err != nil) != (test.says != "") || errors.Is(err, installation.ErrUnknown) != test.unknown || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestFind(t *testing.T) {
	of := func(c string) string { return "quay.io/okd/scos-release@sha256:" + strings.Repeat(c, 64) }
	c := connect(t, releasetest.NewOKD(t, "4.19.1", image, func(o map[string]object) {
		s := status(o[clusterVersion])
		s["availableUpdates"] = []any{object{"version": "4.19.2", "image": of("b")}}
		s["conditionalUpdates"] = []any{object{"release": object{"version": "4.19.3", "image": of("c")}}}
		s["history"] = append(s["history"].([]any), object{"version": "4.19.0", "image": of("d"), "state": "Completed"})
	}))
	for version, want := range map[string]string{"4.19.1": image, "4.19.2": of("b"), "4.19.3": of("c"), "4.19.0": of("d")} {
		got, err := c.Find(t.Context(), version)
		if err != nil || got.Named() != want {
			t.Errorf("%s: %+v, %v", version, got, err)
		}
	}
	if _, err := c.Find(t.Context(), "4.20.0"); !errors.Is(err, installation.ErrUnknown) {
		t.Errorf("of a version that it does not know: %v", err)
	}
	if _, err := connect(t, releasetest.NewCluster(t)).Find(t.Context(), "4.20.0"); !errors.Is(err, installation.ErrUnknown) {
		t.Errorf("of a cluster without ClusterVersion: %v", err)
	}
}

// payload has a manifest for everything that decides.
func payload(t *testing.T, version string, more ...releasetest.File) *release.Payload {
	t.Helper()
	spec := releasetest.Small(version)
	spec.Manifests = nil
	add := func(name string, annotations ...string) {
		text := "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name + "\n  namespace: x\n  annotations:\n    include.release.openshift.io/self-managed-high-availability: \"true\"\n"
		for _, a := range annotations {
			text += "    " + a + "\n"
		}
		spec.Manifests = append(spec.Manifests, releasetest.File{Name: "0000_50_x_" + name + ".yaml", Data: []byte(text)})
	}
	add("plain")
	add("console", "capability.openshift.io/name: Console")
	add("odd", "capability.openshift.io/name: Oddity")
	add("tech", "release.openshift.io/feature-set: TechPreviewNoUpgrade")
	add("gated", "release.openshift.io/feature-gate: Fast")
	add("slow", "release.openshift.io/feature-gate: \"-Fast\"")
	add("excluded", "exclude.release.openshift.io/internal-operator: \"true\"")
	for set, on := range map[string]string{"": "[]", "TechPreviewNoUpgrade": "[{name: Fast}]"} {
		spec.Manifests = append(spec.Manifests, releasetest.File{Name: "0000_50_config_gates-" + set + ".yaml", Data: []byte("apiVersion: config.openshift.io/v1\nkind: FeatureGate\nmetadata:\n  name: cluster\n  annotations:\n    include.release.openshift.io/self-managed-high-availability: false-except-for-the-config-operator\nspec: {featureSet: \"" + set + "\"}\nstatus: {featureGates: [{version: \"\", enabled: " + on + "}]}\n")})
	}
	spec.Manifests = append(spec.Manifests, more...)
	p, err := release.Load(t.Context(), spec.Image(t))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// chosen names the ConfigMaps of a payload that a selection takes.
func chosen(t *testing.T, p *release.Payload, s manifests.Selection) string {
	t.Helper()
	var names []string
	for _, f := range p.Manifests {
		objects, err := manifests.Parse(f.Data, f.Name)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			if included, _ := manifests.Included(o, s); included && o.Kind == "ConfigMap" {
				names = append(names, o.Name)
			}
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func TestKindOfCluster(t *testing.T) {
	for name, test := range map[string]struct {
		change func(o map[string]object)
		want   string
	}{
		"that chose nothing": {func(map[string]object) {}, "excluded plain slow"},
		"with a capability": {func(o map[string]object) {
			status(o[clusterVersion])["capabilities"] = object{"enabledCapabilities": []any{"Console"}, "knownCapabilities": []any{"Console"}}
		}, "console excluded plain slow"},
		"with a capability that is not known": {func(o map[string]object) {
			status(o[clusterVersion])["capabilities"] = object{"enabledCapabilities": []any{"Oddity"}, "knownCapabilities": []any{"Console"}}
		}, "excluded plain slow"},
		"with previews": {func(o map[string]object) { o[featureGate]["spec"] = object{"featureSet": "TechPreviewNoUpgrade"} }, "excluded gated plain tech"},
		"with gates of this version": {func(o map[string]object) {
			o[featureGate]["status"] = object{"featureGates": []any{object{"version": "4.19.0", "enabled": []any{object{"name": "Fast"}}}}}
		}, "excluded gated plain"},
		"with gates of another version": {func(o map[string]object) {
			o[featureGate]["status"] = object{"featureGates": []any{object{"version": "4.18.0", "enabled": []any{object{"name": "Fast"}}}}}
		}, "excluded plain slow"},
		"with gates of its own": {func(o map[string]object) {
			o[featureGate]["spec"] = object{"featureSet": "CustomNoUpgrade", "customNoUpgrade": object{"enabled": []any{"Fast"}}}
		}, "excluded gated plain"},
		"with overrides": {func(o map[string]object) {
			o[clusterVersion]["spec"] = object{"overrides": []any{
				object{"group": "", "kind": "ConfigMap", "namespace": "x", "name": "plain", "unmanaged": true},
				object{"group": "", "kind": "ConfigMap", "namespace": "x", "name": "slow", "unmanaged": false},
			}}
		}, "excluded slow"},
		"of another profile": {func(o map[string]object) { setEnv(o, "CLUSTER_PROFILE", "ibm-cloud-managed") }, ""},
		"that excludes":      {func(o map[string]object) { setEnv(o, "EXCLUDE_MANIFESTS", "internal-operator") }, "plain slow"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := releasetest.NewOKD(t, "4.19.0", image, test.change)
			k, err := connect(t, c).Kind(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			p := payload(t, "4.19.0")
			s, err := k.Selection(p)
			if err != nil {
				t.Fatal(err)
			}
			if got := chosen(t, p, s); got != test.want {
				t.Errorf("chosen are %q, want %q", got, test.want)
			}
			if k.Cloud != "aws" || k.Release.Image != image {
				t.Errorf("%+v", k)
			}
		})
	}
}

func setEnv(o map[string]object, name, value string) {
	spec := o[operator]["spec"].(object)["template"].(object)["spec"].(object)
	spec["containers"] = []any{object{"name": "operator", "env": []any{object{"name": name, "value": value}}}}
}

func TestKindThatIsUnknown(t *testing.T) {
	for _, missing := range []string{featureGate, operator} {
		c := releasetest.NewOKD(t, "4.19.0", image, func(o map[string]object) { delete(o, missing) })
		if _, err := connect(t, c).Kind(t.Context()); !errors.Is(err, installation.ErrUnknown) {
			t.Errorf("without %s: %v", missing, err)
		}
	}
	c := releasetest.NewOKD(t, "4.19.0", image, func(o map[string]object) { delete(o, infrastructure) })
	if k, err := connect(t, c).Kind(t.Context()); err != nil || k.Cloud != "" {
		t.Errorf("without infrastructure: %+v, %v", k, err)
	}
}

func TestInstallConfig(t *testing.T) {
	for name, test := range map[string]struct{ config, want, says string }{
		"plain":              {"platform: {gcp: {}}", "console excluded odd plain slow", ""},
		"no capabilities":    {"capabilities: {baselineCapabilitySet: None}", "excluded plain slow", ""},
		"an old set":         {"capabilities: {baselineCapabilitySet: v4.12}", "console excluded plain slow", ""},
		"an older set":       {"capabilities: {baselineCapabilitySet: v4.11, additionalEnabledCapabilities: [Oddity]}", "excluded odd plain slow", ""},
		"the current set":    {"capabilities: {baselineCapabilitySet: vCurrent}", "console excluded odd plain slow", ""},
		"previews":           {"featureSet: TechPreviewNoUpgrade", "console excluded gated odd plain tech", ""},
		"gates of its own":   {"featureSet: CustomNoUpgrade\nfeatureGates: [Fast=true, Other=false]", "console excluded gated odd plain", ""},
		"an unknown set":     {"capabilities: {baselineCapabilitySet: v3}", "", `"v3"`},
		"gates and no set":   {"featureGates: [Fast=true]", "", "CustomNoUpgrade"},
		"a gate with no way": {"featureSet: CustomNoUpgrade\nfeatureGates: [Fast]", "", `"Fast"`},
		"two platforms":      {"platform: {aws: {}, gcp: {}}", "", "aws, gcp"},
		"another version":    {"apiVersion: v2", "", `"v2"`},
		"no YAML":            {"platform: [", "", "no YAML"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := test.config + "\n"
			if !strings.Contains(text, "apiVersion") {
				text = "apiVersion: v1\npullSecret: secret\n" + text
			}
			p := payload(t, "4.19.0")
			k, err := installation.ParseInstallConfig([]byte(text))
			var s manifests.Selection
			if err == nil {
				s, err = k.Selection(p)
			}
			if test.says != "" {
				if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "secret") {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := chosen(t, p, s); got != test.want {
				t.Errorf("chosen are %q, want %q", got, test.want)
			}
		})
	}
}

// TestImplicit puts an object that the cluster has under a capability that is off.
func TestImplicit(t *testing.T) {
	manifest := func(capability string) releasetest.File {
		text := "apiVersion: v1\nkind: Service\nmetadata:\n  name: kept\n  namespace: x\n  annotations:\n    include.release.openshift.io/self-managed-high-availability: \"true\"\n"
		if capability != "" {
			text += "    capability.openshift.io/name: " + capability + "\n"
		}
		return releasetest.File{Name: "0000_50_x_kept.yaml", Data: []byte(text)}
	}
	k, err := connect(t, releasetest.NewOKD(t, "4.19.0", image, nil)).Kind(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	older, newer := payload(t, "4.19.0", manifest("")), payload(t, "4.20.0", manifest("Novelty"))
	has, err := k.Selection(older)
	if err != nil {
		t.Fatal(err)
	}
	wants, err := k.Selection(newer)
	if err != nil {
		t.Fatal(err)
	}
	if got := installation.Implicit(older, newer, has, wants); !slices.Equal(got, []string{"Novelty"}) {
		t.Errorf("turned on are %v", got)
	}
	wants.Capabilities = wants.Capabilities.With("Novelty")
	if got := installation.Implicit(older, newer, has, wants); len(got) != 0 {
		t.Errorf("turned on are %v, which are on", got)
	}
	if got := installation.Implicit(newer, newer, has, has); len(got) != 0 {
		t.Errorf("turned on are %v, of which the cluster has nothing", got)
	}
}

func FuzzInstallConfig(f *testing.F) {
	f.Add([]byte("apiVersion: v1\nplatform: {aws: {}}\ncapabilities: {baselineCapabilitySet: v4.12}\n"))
	f.Add([]byte("apiVersion: v1\nfeatureSet: CustomNoUpgrade\nfeatureGates: [A=true]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := installation.ParseInstallConfig(data)
		if (k == nil) == (err == nil) {
			t.Errorf("%v, %v", k, err)
		}
	})
}
