package cluster

import (
	"fmt"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/yaml"

	"github.com/slipway-release/slipway/internal/engine"
)

const (
	// apiPort is where API servers and the load balancer listen inside the cluster's network.
	apiPort       = 6443
	podSubnet     = "10.244.0.0/16"
	serviceSubnet = "10.96.0.0/16"
)

// shape is how many nodes of each role a profile has.
type shape struct{ controlPlanes, workers int }

func shapeOf(profile string) (shape, error) {
	switch profile {
	case ProfileSingle:
		return shape{controlPlanes: 1}, nil
	case ProfileHA:
		return shape{controlPlanes: 3, workers: 2}, nil
	}
	return shape{}, fmt.Errorf("choosing profile %q: known are %s and %s", profile, ProfileSingle, ProfileHA)
}

// kindConfig is what kind is asked for: node containers, their load balancer
// and a kubeadm configuration on each node.
func kindConfig(o Options, host engine.Host, image string) (*v1alpha4.Cluster, error) {
	s, err := shapeOf(o.Profile)
	if err != nil {
		return nil, err
	}
	patches, err := kubeadmPatches(s, host)
	if err != nil {
		return nil, err
	}
	cfg := &v1alpha4.Cluster{
		TypeMeta: v1alpha4.TypeMeta{Kind: "Cluster", APIVersion: "kind.x-k8s.io/v1alpha4"},
		Name:     o.Name,
		Networking: v1alpha4.Networking{
			IPFamily: v1alpha4.IPv4Family, APIServerAddress: "127.0.0.1",
			PodSubnet: podSubnet, ServiceSubnet: serviceSubnet,
			DisableDefaultCNI: true, KubeProxyMode: "none",
		},
		KubeadmConfigPatches: patches,
	}
	for range s.controlPlanes {
		cfg.Nodes = append(cfg.Nodes, v1alpha4.Node{Role: v1alpha4.ControlPlaneRole, Image: image})
	}
	for range s.workers {
		cfg.Nodes = append(cfg.Nodes, v1alpha4.Node{Role: v1alpha4.WorkerRole, Image: image})
	}
	return cfg, nil
}

// kubeadmPatches are merged into the kubeadm configuration that kind writes, by
// kind of document.
func kubeadmPatches(s shape, host engine.Host) ([]string, error) {
	patches := map[string]any{"directory": patchDir}
	registration := map[string]any{}
	if s.controlPlanes+s.workers == 1 {
		registration["taints"] = []any{} // its only node takes every pod
	}
	documents := []map[string]any{
		// Signing with RSA is most of what a new connection costs. kind writes v1beta3,
		// where this gate chooses the keys.
		{"kind": "ClusterConfiguration", "featureGates": map[string]bool{"PublicKeysECDSA": true}},
		// Images are on the nodes; kube-proxy and CoreDNS come with the payload's manifests.
		{"kind": "InitConfiguration", "patches": patches, "nodeRegistration": registration,
			"skipPhases": []string{"preflight", "addon/kube-proxy", "addon/coredns", "show-join-command"}},
		{"kind": "JoinConfiguration", "patches": patches, "skipPhases": []string{"preflight"}},
		kubeletConfiguration(host),
	}
	var texts []string
	for _, d := range documents {
		data, err := yaml.Marshal(d)
		if err != nil {
			return nil, err
		}
		texts = append(texts, string(data))
	}
	return texts, nil
}

func kubeletConfiguration(host engine.Host) map[string]any {
	c := map[string]any{
		"kind": "KubeletConfiguration",
		// A static pod that was replaced while the API was away is made known to the
		// API by the next of these rounds, for which its upgrade waits. By default
		// there is one a minute.
		"syncFrequency": "10s",
	}
	if !host.CgroupV2 {
		c["failCgroupV1"] = false
	}
	if !host.SysResource {
		// Go on where the kernel refuses to change limits and system settings.
		c["featureGates"] = map[string]bool{"KubeletInUserNamespace": true}
	}
	return c
}
