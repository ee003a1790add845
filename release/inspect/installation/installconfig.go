package installation

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/slipway-release/slipway/release/inspect/features"
)

// maxInstallConfig bounds the file, in bytes.
const maxInstallConfig = 4 << 20

// installConfig is the part of an install-config.yaml that decides which manifests
// the cluster will get. The rest, credentials included, is not looked at.
type installConfig struct {
	APIVersion   string         `json:"apiVersion"`
	Platform     map[string]any `json:"platform"`
	FeatureSet   string         `json:"featureSet"`
	FeatureGates []string       `json:"featureGates"` // "Name=true"
	Capabilities *struct {
		Baseline   string   `json:"baselineCapabilitySet"`
		Additional []string `json:"additionalEnabledCapabilities"`
	} `json:"capabilities"`
}

// LoadInstallConfig reads an install-config.yaml, of apiVersion v1. It says nothing of
// the profile, which is DefaultProfile then.
func LoadInstallConfig(path string) (*Kind, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading install-config: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxInstallConfig+1))
	if err == nil && len(data) > maxInstallConfig {
		err = fmt.Errorf("it has more than the %d bytes allowed", maxInstallConfig)
	}
	var k *Kind
	if err == nil {
		k, err = ParseInstallConfig(data)
	}
	if err != nil {
		return nil, fmt.Errorf("reading install-config %q: %w", path, err)
	}
	k.From = path
	return k, nil
}

// ParseInstallConfig is LoadInstallConfig for what was read already.
func ParseInstallConfig(data []byte) (*Kind, error) {
	var c installConfig
	if err := yaml.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("it is no YAML of that form: %w", err)
	}
	if c.APIVersion != "v1" {
		return nil, fmt.Errorf("apiVersion is %q, not v1", c.APIVersion)
	}
	if len(c.Platform) > 1 {
		return nil, fmt.Errorf("platform names several: %s", strings.Join(slices.Sorted(maps.Keys(c.Platform)), ", "))
	}
	k := &Kind{From: "install-config"}
	for cloud := range c.Platform {
		k.Cloud = strings.ToLower(cloud)
	}
	k.selection.Profile = DefaultProfile
	k.capabilities = &capabilities{}
	if c.Capabilities != nil {
		k.capabilities = &capabilities{baseline: c.Capabilities.Baseline, additional: c.Capabilities.Additional}
	}
	gate := features.Object{}
	gate.Spec.FeatureSet = c.FeatureSet
	for _, g := range c.FeatureGates {
		name, value, _ := strings.Cut(g, "=")
		switch value {
		case "true":
			gate.Spec.CustomNoUpgrade.Enabled = append(gate.Spec.CustomNoUpgrade.Enabled, name)
		case "false":
			gate.Spec.CustomNoUpgrade.Disabled = append(gate.Spec.CustomNoUpgrade.Disabled, name)
		default:
			return nil, fmt.Errorf("featureGates: %q is not of the form NAME=true or NAME=false", g)
		}
	}
	if len(c.FeatureGates) > 0 && c.FeatureSet != customSet {
		return nil, fmt.Errorf("featureGates needs featureSet %s", customSet)
	}
	k.setFeatures(gate)
	return k, nil
}
