package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/inspect/installation"
	"github.com/slipway-release/slipway/release/rollout"
)

// clusterFlags name a running cluster, as kubectl's do.
type clusterFlags struct {
	kubeconfig string
	context    string
}

func (c *clusterFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster (default: KUBECONFIG, then ~/.kube/config)")
	f.StringVar(&c.context, "context", "", "context of the kubeconfig")
	_ = cmd.MarkFlagFilename("kubeconfig")
}

// named says whether the flags name a cluster.
func (c *clusterFlags) named() bool { return c.kubeconfig != "" || c.context != "" }

// config says how the cluster is reached, and which namespace is meant there.
func (c *clusterFlags) config() (config *rest.Config, namespace string, err error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: c.context})
	if config, err = loader.ClientConfig(); err != nil {
		return nil, "", usage(fmt.Errorf("reading the kubeconfig: %w", err))
	}
	if namespace, _, err = loader.Namespace(); err != nil {
		return nil, "", usage(fmt.Errorf("reading the kubeconfig: %w", err))
	}
	return rollout.Unthrottled(config), namespace, nil
}

func (c *clusterFlags) connect() (*installation.Cluster, error) {
	config, _, err := c.config()
	if err != nil {
		return nil, err
	}
	return installation.Connect(config)
}

// payload completes what a person says, or leaves out: without a name, the payload
// that the cluster is at is meant; with a cluster named by flag, a version is one of
// those that the cluster knows.
func (c *clusterFlags) payload(ctx context.Context, named string) (string, error) {
	version := false
	if named != "" {
		_, err := release.Parse(named)
		version = err == nil
		if !version || !c.named() {
			return named, nil
		}
	}
	cluster, err := c.connect()
	if err != nil && named == "" {
		return "", fmt.Errorf("looking for a payload: name one, or a cluster that is at one: %w", err)
	}
	if err != nil {
		return "", err
	}
	var found installation.Release
	if version {
		found, err = cluster.Find(ctx, named)
	} else {
		found, err = cluster.Release(ctx)
	}
	return found.Named(), classifyCluster(err)
}

// payloads is payload for several; none stands for the cluster's.
func (c *clusterFlags) payloads(ctx context.Context, named []string) ([]string, error) {
	if len(named) == 0 {
		named = []string{""}
	}
	found := make([]string, len(named))
	for i, n := range named {
		var err error
		if found[i], err = c.payload(ctx, n); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// classifyCluster tells a cluster that does not say what is asked, in whose place the
// caller can, from one that cannot be reached.
func classifyCluster(err error) error {
	if errors.Is(err, installation.ErrUnknown) {
		return usage(err)
	}
	return err
}
