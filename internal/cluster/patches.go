package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/slipway-release/slipway/internal/controlplane"
)

// Places on a node.
const (
	patchDir      = "/etc/slipway/patches"
	osRecordPath  = "/etc/slipway/os.json"
	layerListDir  = "/etc/slipway/layers"
	apiServerURL  = "/etc/kubernetes/apiserver-url.env"
	kubeadmConfig = "/kind/kubeadm.conf"
)

// payloadAnnotation on a static pod names the payload its node was brought to.
// It changes with every payload, and so restarts the pod even where the image
// stayed the same.
const payloadAnnotation = "slipway.dev/payload"

// reconfigurationAnnotation on a static pod names the reconfiguration that its node was
// brought to. It restarts the pod where nothing else does, such as for new certificates.
const reconfigurationAnnotation = "slipway.dev/reconfiguration"

// etcdTag stands before the digest in etcd's image reference. kubeadm parses it
// as etcd's version and passes over etcd's upgrade when it is later than the
// version kubeadm itself prefers; which etcd to run is the payload's to say.
// The container runtime ignores a tag beside a digest.
const etcdTag = ":0.0.0"

// staticPodPatches are the files kubeadm lays over the manifests it generates, those of
// a part in the order of their names: images by digest, grace periods and annotations; the
// flags that the payload's settings give; and those that r gives in their place. Every
// file is always written, so that a node keeps nothing of what it was before.
func (c *Cluster) staticPodPatches(b Bits, r controlplane.Reconfiguration) ([]file, error) {
	annotations := map[string]string{payloadAnnotation: b.Payload}
	if r.ID != "" {
		annotations[reconfigurationAnnotation] = r.ID
	}
	var files []file
	for _, component := range controlPlane {
		image := b.ControlPlane[component]
		if component == controlplane.Etcd {
			image = strings.Replace(image, "@", etcdTag+"@", 1)
		}
		container := map[string]any{"name": component, "image": image, "imagePullPolicy": "IfNotPresent"}
		if r := b.Settings.Pods[component].Resources; len(r.Requests)+len(r.Limits) > 0 {
			container["resources"] = r
		}
		spec := map[string]any{"containers": []any{container}}
		if grace := b.Settings.GracePeriod(component); grace != controlplane.DefaultGracePeriod {
			spec["terminationGracePeriodSeconds"] = int64(grace.Seconds())
		}
		args := c.args(component, b.Settings)
		maps.DeleteFunc(args, func(name, _ string) bool {
			_, replaced := r.Flags[component][name]
			return replaced
		})
		for _, patch := range []struct {
			suffix  string
			content any
		}{
			{"0+strategic", map[string]any{"metadata": map[string]any{"annotations": annotations}, "spec": spec}},
			{"1+json", flagPatch(args)},
			{"2+json", flagPatch(r.Flags[component])},
		} {
			data, err := yaml.Marshal(patch.content)
			if err != nil {
				return nil, fmt.Errorf("writing the patch of %q: %w", component, err)
			}
			files = append(files, file{path: patchDir + "/" + component + patch.suffix + ".yaml", data: data})
		}
	}
	return files, nil
}

// args are the flags of a static pod beside kubeadm's own.
func (c *Cluster) args(component string, s controlplane.Settings) map[string]string {
	args := s.Args(component, c.Profile)
	if component == controlplane.Etcd && c.Ephemeral {
		// Nothing outlives such a cluster, so nothing is worth waiting for the
		// disk: a stall there would be measured as the release's.
		args["unsafe-no-fsync"] = "true"
	}
	return args
}

// flagPatch appends flags to a static pod's command. Of a flag that kubeadm gives as
// well, the last value holds; those of lists add up.
func flagPatch(args map[string]string) []map[string]string {
	patch := []map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(args)) {
		patch = append(patch, map[string]string{"op": "add", "path": "/spec/containers/0/command/-", "value": "--" + name + "=" + args[name]})
	}
	return patch
}

// apiServerURLFile tells programs on a node where the API is before the
// cluster's own service network stands.
func apiServerURLFile(host string) file {
	return file{path: apiServerURL, data: fmt.Appendf(nil, "KUBERNETES_SERVICE_HOST=%s\nKUBERNETES_SERVICE_PORT=%d\n", host, apiPort)}
}
