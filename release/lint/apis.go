package lint

import (
	"fmt"
	"strconv"
	"strings"
)

// minorVersion is a version of Kubernetes to its minor number; zero when it is not known.
type minorVersion struct{ major, minor int }

func (v minorVersion) less(w minorVersion) bool {
	return v.major < w.major || v.major == w.major && v.minor < w.minor
}

func (v minorVersion) String() string {
	if v == (minorVersion{}) {
		return ""
	}
	return fmt.Sprintf("%d.%d", v.major, v.minor)
}

// parseMinor reads "1.36.3", "v1.36" and the like; anything else is not known.
func parseMinor(version string) minorVersion {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 2 {
		return minorVersion{}
	}
	major, majorErr := strconv.Atoi(parts[0])
	minor, minorErr := strconv.Atoi(parts[1])
	if majorErr != nil || minorErr != nil || major < 1 || minor < 0 {
		return minorVersion{}
	}
	return minorVersion{major, minor}
}

// CheckKubernetes reports a text that is no version of Kubernetes.
func CheckKubernetes(version string) error {
	if parseMinor(version) == (minorVersion{}) {
		return fmt.Errorf("%q is no version of Kubernetes, such as 1.36 or 1.36.3", version)
	}
	return nil
}

// retired is when Kubernetes called some kinds of an API version deprecated, and
// when it ceased, or will cease, to serve them: minor numbers of version 1; zero for never.
type retired struct {
	api                 string // group/version
	kinds               []string
	deprecated, removed int
	instead             string // the apiVersion that serves them afterwards; empty when none does
}

// retirements are Kubernetes' own, from its deprecated API migration guide
// (kubernetes.io/docs/reference/using-api/deprecation-guide) and the life cycles
// that the types of k8s.io/api declare.
var retirements = []retired{
	{"admissionregistration.k8s.io/v1alpha1", []string{"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}, 29, 32, "admissionregistration.k8s.io/v1"},
	{"admissionregistration.k8s.io/v1alpha1", []string{"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"}, 35, 38, "admissionregistration.k8s.io/v1"},
	{"admissionregistration.k8s.io/v1beta1", []string{"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}, 16, 22, "admissionregistration.k8s.io/v1"},
	{"admissionregistration.k8s.io/v1beta1", []string{"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}, 31, 34, "admissionregistration.k8s.io/v1"},
	{"admissionregistration.k8s.io/v1beta1", []string{"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"}, 37, 40, "admissionregistration.k8s.io/v1"},
	{"apiextensions.k8s.io/v1beta1", []string{"CustomResourceDefinition"}, 16, 22, "apiextensions.k8s.io/v1"},
	{"apiregistration.k8s.io/v1beta1", []string{"APIService"}, 19, 22, "apiregistration.k8s.io/v1"},
	{"apps/v1beta1", []string{"ControllerRevision", "Deployment", "StatefulSet"}, 8, 16, "apps/v1"},
	{"apps/v1beta2", []string{"ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"}, 9, 16, "apps/v1"},
	{"autoscaling/v2beta1", []string{"HorizontalPodAutoscaler"}, 22, 25, "autoscaling/v2"},
	{"autoscaling/v2beta2", []string{"HorizontalPodAutoscaler"}, 23, 26, "autoscaling/v2"},
	{"batch/v1beta1", []string{"CronJob"}, 21, 25, "batch/v1"},
	{"batch/v2alpha1", []string{"CronJob"}, 8, 21, "batch/v1"},
	{"certificates.k8s.io/v1beta1", []string{"CertificateSigningRequest"}, 19, 22, "certificates.k8s.io/v1"},
	{"certificates.k8s.io/v1alpha1", []string{"ClusterTrustBundle"}, 34, 37, "certificates.k8s.io/v1beta1"},
	{"certificates.k8s.io/v1beta1", []string{"ClusterTrustBundle"}, 37, 40, ""},
	{"certificates.k8s.io/v1beta1", []string{"PodCertificateRequest"}, 38, 41, ""},
	{"coordination.k8s.io/v1beta1", []string{"Lease"}, 19, 22, "coordination.k8s.io/v1"},
	{"coordination.k8s.io/v1alpha2", []string{"LeaseCandidate"}, 35, 38, "coordination.k8s.io/v1beta1"},
	{"coordination.k8s.io/v1beta1", []string{"LeaseCandidate"}, 36, 39, ""},
	{"discovery.k8s.io/v1beta1", []string{"EndpointSlice"}, 21, 25, "discovery.k8s.io/v1"},
	{"events.k8s.io/v1beta1", []string{"Event"}, 22, 25, "events.k8s.io/v1"},
	{"extensions/v1beta1", []string{"DaemonSet", "Deployment", "ReplicaSet"}, 8, 16, "apps/v1"},
	{"extensions/v1beta1", []string{"NetworkPolicy"}, 9, 16, "networking.k8s.io/v1"},
	{"extensions/v1beta1", []string{"PodSecurityPolicy"}, 11, 16, ""},
	{"extensions/v1beta1", []string{"Ingress"}, 14, 22, "networking.k8s.io/v1"},
	{"flowcontrol.apiserver.k8s.io/v1alpha1", []string{"FlowSchema", "PriorityLevelConfiguration"}, 20, 21, "flowcontrol.apiserver.k8s.io/v1"},
	{"flowcontrol.apiserver.k8s.io/v1beta1", []string{"FlowSchema", "PriorityLevelConfiguration"}, 23, 26, "flowcontrol.apiserver.k8s.io/v1"},
	{"flowcontrol.apiserver.k8s.io/v1beta2", []string{"FlowSchema", "PriorityLevelConfiguration"}, 26, 29, "flowcontrol.apiserver.k8s.io/v1"},
	{"flowcontrol.apiserver.k8s.io/v1beta3", []string{"FlowSchema", "PriorityLevelConfiguration"}, 29, 32, "flowcontrol.apiserver.k8s.io/v1"},
	{"networking.k8s.io/v1beta1", []string{"Ingress", "IngressClass"}, 19, 22, "networking.k8s.io/v1"},
	{"networking.k8s.io/v1alpha1", []string{"IPAddress", "ServiceCIDR"}, 30, 33, "networking.k8s.io/v1"},
	{"networking.k8s.io/v1beta1", []string{"IPAddress", "ServiceCIDR"}, 34, 37, "networking.k8s.io/v1"},
	{"node.k8s.io/v1beta1", []string{"RuntimeClass"}, 22, 25, "node.k8s.io/v1"},
	{"policy/v1beta1", []string{"PodDisruptionBudget"}, 21, 25, "policy/v1"},
	{"policy/v1beta1", []string{"PodSecurityPolicy"}, 21, 25, ""},
	{"rbac.authorization.k8s.io/v1alpha1", []string{"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}, 17, 22, "rbac.authorization.k8s.io/v1"},
	{"rbac.authorization.k8s.io/v1beta1", []string{"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}, 17, 22, "rbac.authorization.k8s.io/v1"},
	{"resource.k8s.io/v1alpha3", []string{"DeviceTaintRule"}, 36, 39, "resource.k8s.io/v1beta2"},
	{"resource.k8s.io/v1alpha3", []string{"ResourcePoolStatusRequest"}, 39, 42, ""},
	{"resource.k8s.io/v1beta1", []string{"DeviceClass", "ResourceClaim", "ResourceClaimTemplate", "ResourceSlice"}, 35, 38, "resource.k8s.io/v1"},
	{"resource.k8s.io/v1beta2", []string{"DeviceClass", "ResourceClaim", "ResourceClaimTemplate", "ResourceSlice"}, 36, 39, "resource.k8s.io/v1"},
	{"resource.k8s.io/v1beta2", []string{"DeviceTaintRule"}, 39, 42, ""},
	{"scheduling.k8s.io/v1alpha1", []string{"PriorityClass"}, 17, 22, "scheduling.k8s.io/v1"},
	{"scheduling.k8s.io/v1beta1", []string{"PriorityClass"}, 14, 22, "scheduling.k8s.io/v1"},
	{"storage.k8s.io/v1alpha1", []string{"CSIStorageCapacity", "VolumeAttachment"}, 21, 24, "storage.k8s.io/v1"},
	{"storage.k8s.io/v1alpha1", []string{"VolumeAttributesClass"}, 32, 35, "storage.k8s.io/v1"},
	{"storage.k8s.io/v1beta1", []string{"CSIDriver", "StorageClass", "VolumeAttachment"}, 19, 22, "storage.k8s.io/v1"},
	{"storage.k8s.io/v1beta1", []string{"CSINode"}, 17, 22, "storage.k8s.io/v1"},
	{"storage.k8s.io/v1beta1", []string{"CSIStorageCapacity"}, 24, 27, "storage.k8s.io/v1"},
	{"storage.k8s.io/v1beta1", []string{"VolumeAttributesClass"}, 34, 37, "storage.k8s.io/v1"},
	{"storagemigration.k8s.io/v1alpha1", []string{"StorageVersionMigration"}, 33, 36, "storagemigration.k8s.io/v1beta1"},
	{"storagemigration.k8s.io/v1beta1", []string{"StorageVersionMigration"}, 38, 41, ""},
	{"v1", []string{"ComponentStatus"}, 19, 0, ""},
	{"v1", []string{"Endpoints"}, 33, 0, "discovery.k8s.io/v1"},
}

// retirementOf returns what is known of the end of a kind in an API version.
func retirementOf(apiVersion, kind string) (retired, bool) {
	r, ok := retirementIndex[apiVersion+" "+kind]
	return r, ok
}

var retirementIndex = func() map[string]retired {
	index := map[string]retired{}
	for _, r := range retirements {
		for _, kind := range r.kinds {
			index[r.api+" "+kind] = r
		}
	}
	return index
}()
