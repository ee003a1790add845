package manifests

// namespacedKinds are the kinds of Kubernetes' own API groups that live in a
// namespace, by group. Of other groups nothing is known here; their objects may have one or not.
var namespacedKinds = map[string][]string{
	"": {"ConfigMap", "Endpoints", "Event", "LimitRange", "PersistentVolumeClaim", "Pod", "PodTemplate",
		"ReplicationController", "ResourceQuota", "Secret", "Service", "ServiceAccount"},
	"apps":                      {"ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"},
	"autoscaling":               {"HorizontalPodAutoscaler"},
	"batch":                     {"CronJob", "Job"},
	"coordination.k8s.io":       {"Lease"},
	"discovery.k8s.io":          {"EndpointSlice"},
	"events.k8s.io":             {"Event"},
	"networking.k8s.io":         {"Ingress", "NetworkPolicy"},
	"policy":                    {"PodDisruptionBudget"},
	"rbac.authorization.k8s.io": {"Role", "RoleBinding"},
	"storage.k8s.io":            {"CSIStorageCapacity"},
}

func namespaced(group, kind string) bool {
	for _, k := range namespacedKinds[group] {
		if k == kind {
			return true
		}
	}
	return false
}
