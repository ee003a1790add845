package cluster

import (
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"
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

const (
	// apiServerGrace covers the API server's shutdown delay and the longest request, in seconds.
	apiServerGrace = 75
	// etcdGrace is enough for etcd to finish every request, in seconds. Left to
	// itself it would wait three times as long for watches, which never finish.
	etcdGrace = 5
)

// etcdTag stands before the digest in etcd's image reference. kubeadm parses it
// as etcd's version and passes over etcd's upgrade when it is later than the
// version kubeadm itself prefers; which etcd to run is the payload's to say.
// The container runtime ignores a tag beside a digest.
const etcdTag = ":0.0.0"

// staticPodPatches are the files kubeadm lays over the manifests it generates:
// images by digest and the payload's annotation.
func staticPodPatches(b Bits) ([]file, error) {
	var files []file
	for _, component := range controlPlane {
		image := b.ControlPlane[component]
		spec := map[string]any{}
		switch component {
		case "etcd":
			image = strings.Replace(image, "@", etcdTag+"@", 1)
			spec["terminationGracePeriodSeconds"] = etcdGrace
		case "kube-apiserver":
			spec["terminationGracePeriodSeconds"] = apiServerGrace
		}
		spec["containers"] = []any{map[string]any{"name": component, "image": image, "imagePullPolicy": "IfNotPresent"}}
		data, err := yaml.Marshal(map[string]any{
			"metadata": map[string]any{"annotations": map[string]string{payloadAnnotation: b.Payload}},
			"spec":     spec,
		})
		if err != nil {
			return nil, fmt.Errorf("writing the patch of %q: %w", component, err)
		}
		files = append(files, file{path: patchDir + "/" + component + "0+strategic.yaml", data: data})
	}
	return files, nil
}

// apiServerURLFile tells programs on a node where the API is before the
// cluster's own service network stands.
func apiServerURLFile(host string) file {
	return file{path: apiServerURL, data: fmt.Appendf(nil, "KUBERNETES_SERVICE_HOST=%s\nKUBERNETES_SERVICE_PORT=%d\n", host, apiPort)}
}
