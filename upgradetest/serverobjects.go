package upgradetest

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Names and ports of what runs in the cluster from slipway's own image.
const (
	PollerName     = "poller"      // a pod on every node, in the pod network
	HostPollerName = "host-poller" // one in the node's network
	PollerPort     = 17002
	HostPollerPort = 17003

	tickPort  = 7000
	storePort = 7001
	dataDir   = "/data"
)

// program is a container that runs slipway's own subcommand.
func program(image, name string, port int32, args ...string) corev1.Container {
	return corev1.Container{
		Name: name, Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
		Command: append([]string{"/usr/local/bin/slipway", "upgrade-test"}, args...),
		Ports:   []corev1.ContainerPort{{Name: name, ContainerPort: port, Protocol: corev1.ProtocolTCP}},
		ReadinessProbe: &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/readyz", Port: intstr.FromInt32(port)}},
			PeriodSeconds: 1, TimeoutSeconds: 3, FailureThreshold: 3,
		},
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			// What measures must not wait for what it measures.
			corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("48Mi"),
		}},
	}
}

// The store and the TCP server listen on two ports: what is probed, and HTTP for
// readiness and the store.
const healthPort = 7003

func portOnNodes(name string, port int32) *corev1.Service {
	return &corev1.Service{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}, ObjectMeta: meta(Namespace, name),
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeNodePort, Selector: labelsOf(name),
			Ports: []corev1.ServicePort{{Name: name, Port: port, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(port)}},
		},
	}
}

// tickObjects are two replicas of a server that sends lines back and writes numbered
// lines to its log. Its end is in good order: it goes on until no node sends to it
// any more, says Bye on its connections, and waits until they are closed.
func tickObjects(image string) []object {
	two, zero, one, grace := int32(2), intstr.FromInt32(0), intstr.FromInt32(1), int64(40)
	c := program(image, ticksName, healthPort, "serve", "--lines=:7000", "--http=:7003", "--log-ticks=100ms", "--linger=10s")
	d := &appsv1.Deployment{
		TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}, ObjectMeta: meta(Namespace, ticksName),
		Spec: appsv1.DeploymentSpec{
			Replicas: &two, Selector: &metav1.LabelSelector{MatchLabels: labelsOf(ticksName)}, MinReadySeconds: 2,
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &zero, MaxSurge: &one}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labelsOf(ticksName)},
				Spec: corev1.PodSpec{
					Containers: []corev1.Container{c}, TerminationGracePeriodSeconds: &grace,
					TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{
						MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway,
						LabelSelector: &metav1.LabelSelector{MatchLabels: labelsOf(ticksName)},
					}},
				},
			},
		},
	}
	return []object{
		{budget(ticksName), policyClient, "poddisruptionbudgets", Namespace, ticksName},
		{portOnNodes(ticksName, tickPort), coreClient, "services", Namespace, ticksName},
		{d, appsClient, "deployments", Namespace, ticksName},
	}
}

// storeObjects are one replica that keeps what it acknowledges on a volume of the
// default storage class.
func storeObjects(image string) []object {
	one, grace := int32(1), int64(20)
	c := program(image, storeName, storePort, "serve", "--store="+dataDir, "--http=:7001")
	c.VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: dataDir}}
	set := &appsv1.StatefulSet{
		TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"}, ObjectMeta: meta(Namespace, storeName),
		Spec: appsv1.StatefulSetSpec{
			Replicas: &one, ServiceName: storeName, Selector: &metav1.LabelSelector{MatchLabels: labelsOf(storeName)},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labelsOf(storeName)},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{c}, TerminationGracePeriodSeconds: &grace},
			},
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{
				TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"}, ObjectMeta: metav1.ObjectMeta{Name: "data"},
				Spec: corev1.PersistentVolumeClaimSpec{
					AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
					Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("64Mi")}},
				},
			}},
		},
	}
	return []object{
		{portOnNodes(storeName, storePort), coreClient, "services", Namespace, storeName},
		{set, appsClient, "statefulsets", Namespace, storeName},
	}
}

// pollerObjects are two pollers on every node: one in the pod network, one in the
// node's own. A drain leaves them alone.
func pollerObjects(image string) []object {
	return []object{
		{poller(image, PollerName, PollerPort, false), appsClient, "daemonsets", Namespace, PollerName},
		{poller(image, HostPollerName, HostPollerPort, true), appsClient, "daemonsets", Namespace, HostPollerName},
	}
}

func poller(image, name string, port int32, host bool) *appsv1.DaemonSet {
	grace := int64(40)
	c := program(image, name, port, "poll", fmt.Sprintf("--http=:%d", port))
	c.Env = []corev1.EnvVar{{Name: "NODE_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "spec.nodeName"}}}}
	// It measures, so it goes before others where the node lets it.
	c.SecurityContext = &corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"SYS_NICE"}}}
	spec := corev1.PodSpec{
		Containers: []corev1.Container{c}, TerminationGracePeriodSeconds: &grace, HostNetwork: host,
		Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}}, PriorityClassName: "system-node-critical",
	}
	return &appsv1.DaemonSet{
		TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "DaemonSet"}, ObjectMeta: meta(Namespace, name),
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labelsOf(name)},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labelsOf(name)}, Spec: spec},
		},
	}
}
