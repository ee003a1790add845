package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/inspect/installation"
	"github.com/slipway-release/slipway/release/manifests"
)

// includedFlags say for which kind of cluster manifests are chosen.
type includedFlags struct {
	included      bool
	installConfig string
	profile       string
	capabilities  []string
	featureSet    string
	featureGates  []string
	majorVersion  uint64

	said map[string]bool // flags about the kind that were given
}

func (i *includedFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&i.included, "included", false, "only manifests that a cluster would apply: the one of the kubeconfig, unless the flags below say which kind")
	f.StringVar(&i.installConfig, "install-config", "", "install-config.yaml of the cluster; implies --included")
	f.StringVar(&i.profile, "profile", "", "cluster profile (default: any that a manifest names); implies --included")
	f.StringSliceVar(&i.capabilities, "capabilities", nil, "capabilities that are on (default: not looked at; \"\": none is on); implies --included")
	f.StringVar(&i.featureSet, "feature-set", "", "feature set, such as "+manifests.DefaultFeatureSet+" (default: not looked at); implies --included")
	f.StringSliceVar(&i.featureGates, "feature-gates", nil, "feature gates that are on (default: not looked at; \"\": none is on); implies --included")
	f.Uint64Var(&i.majorVersion, "major-version", 0, "major version of the release (default: the payload's); implies --included")
	_ = cmd.MarkFlagFilename("install-config", "yaml", "yml")
}

// complete notes which flags were given.
func (i *includedFlags) complete(cmd *cobra.Command) {
	i.said = map[string]bool{}
	for _, flag := range []string{"profile", "capabilities", "feature-set", "feature-gates", "major-version"} {
		if cmd.Flags().Changed(flag) {
			i.said[flag] = true
		}
	}
	i.included = i.included || i.installConfig != "" || len(i.said) > 0
	// An empty list says that none is on; a missing flag, that it does not matter.
	if i.said["feature-gates"] && i.featureGates == nil {
		i.featureGates = []string{}
	}
	if i.said["capabilities"] && i.capabilities == nil {
		i.capabilities = []string{}
	}
}

// kind reads what kind of cluster is meant; nil when the flags say all there is.
func (i *includedFlags) kind(ctx context.Context, from *clusterFlags) (*installation.Kind, error) {
	switch {
	case !i.included:
		return nil, nil
	case i.installConfig != "":
		if from.named() {
			return nil, usage(errors.New("choosing manifests: give --install-config or a cluster, not both"))
		}
		k, err := installation.LoadInstallConfig(i.installConfig)
		return k, usage(err)
	case len(i.said) > 0 && !from.named():
		return nil, nil
	}
	cluster, err := from.connect()
	if err != nil {
		return nil, fmt.Errorf("choosing the manifests that a cluster would apply: say which one, by a kubeconfig, --install-config, or --profile and the like: %w", err)
	}
	k, err := cluster.Kind(ctx)
	return k, classifyCluster(err)
}

// selection is the kind's, where there is one, with what the flags say in its place.
func (i *includedFlags) selection(p *release.Payload, k *installation.Kind) (manifests.Selection, error) {
	s := manifests.Selection{MajorVersion: p.Version.Semver().Major}
	if k != nil {
		var err error
		if s, err = k.Selection(p); err != nil {
			return s, usage(err)
		}
	}
	if i.said["profile"] {
		s.Profile = i.profile
	}
	if i.said["feature-set"] {
		s.FeatureSet = i.featureSet
	}
	if i.said["feature-gates"] {
		s.FeatureGates = i.featureGates
	}
	if i.majorVersion != 0 {
		s.MajorVersion = i.majorVersion
	}
	if i.said["capabilities"] {
		s.Capabilities = &manifests.Capabilities{Enabled: i.capabilities}
	}
	return s, nil
}

// enableImplicit adds the capabilities that a cluster turns on by itself on its way to
// the payload. For that, the payload that it is at is read.
func (a *app) enableImplicit(ctx context.Context, k *installation.Kind, p *release.Payload, s *manifests.Selection) error {
	if k == nil || k.Release.Image == "" || k.Release.Version == p.Version.String() {
		return nil
	}
	at, err := a.openSubject(ctx, k.Release.Image)
	if err != nil {
		return fmt.Errorf("reading the payload that the cluster is at, to see what it keeps: %w", err)
	}
	has, err := k.Selection(at.Payload)
	if err != nil {
		return usage(err)
	}
	implicit := installation.Implicit(at.Payload, p, has, *s)
	if len(implicit) > 0 {
		s.Capabilities = s.Capabilities.With(implicit...)
	}
	return nil
}

// cloud is the platform that credentials are asked for.
func (o *releaseExtractOptions) forCloud(k *installation.Kind) (string, error) {
	if k == nil || k.Cloud == "" || k.Cloud == o.cloud {
		return o.cloud, nil
	}
	if o.cloud != "" {
		return "", usage(fmt.Errorf("reading --cloud: it is %q, and %s is on %q", o.cloud, k.From, k.Cloud))
	}
	return k.Cloud, nil
}
