package e2e

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// The container that every pod of the specs has, and where netexec listens in it.
const (
	mainContainer = "main"
	containerPort = 8080
)

// pod is one that ends within a second of being asked to.
func (e *env) pod(name string, change ...func(*corev1.PodSpec)) *corev1.Pod {
	spec := e.podSpec()
	for _, c := range change {
		c(&spec)
	}
	return &corev1.Pod{ObjectMeta: meta(name), Spec: spec}
}

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}}
}

// podSpec has one container that serves HTTP and says its pod's name at /hostname.
func (e *env) podSpec() corev1.PodSpec {
	return corev1.PodSpec{
		TerminationGracePeriodSeconds: ptr.To[int64](1),
		Containers: []corev1.Container{{
			Name: mainContainer, Image: e.agnhost(), ImagePullPolicy: corev1.PullIfNotPresent,
			Args:           []string{"netexec", fmt.Sprintf("--http-port=%d", containerPort)},
			ReadinessProbe: httpProbe("/readyz"),
		}},
	}
}

func httpProbe(path string) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(containerPort)}},
		PeriodSeconds: 1, TimeoutSeconds: 5, FailureThreshold: 2,
	}
}

// shell makes a container run a script instead. Without probe it is ready as soon
// as it runs.
func shell(script string) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) {
		s.Containers[0].Command = []string{"/bin/sh", "-c", script}
		s.Containers[0].Args = nil
		s.Containers[0].ReadinessProbe = nil
	}
}

// idle is the script of a container that others run commands in. The trap lets it
// end at once.
const idle = `trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done`

func onNode(name string) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) {
		s.NodeSelector = map[string]string{corev1.LabelHostname: name}
		s.Tolerations = everywhere()
	}
}

func everywhere() []corev1.Toleration {
	return []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
}

func never(s *corev1.PodSpec) { s.RestartPolicy = corev1.RestartPolicyNever }

func volume(name, path string, source corev1.VolumeSource) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) {
		s.Volumes = append(s.Volumes, corev1.Volume{Name: name, VolumeSource: source})
		for i := range s.Containers {
			s.Containers[i].VolumeMounts = append(s.Containers[i].VolumeMounts, corev1.VolumeMount{Name: name, MountPath: path})
		}
	}
}

func (e *env) deployment(name string, replicas int32, change ...func(*appsv1.DeploymentSpec)) *appsv1.Deployment {
	spec := appsv1.DeploymentSpec{
		Replicas: &replicas,
		Selector: &metav1.LabelSelector{MatchLabels: meta(name).Labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: meta(name).Labels}, Spec: e.podSpec()},
	}
	for _, c := range change {
		c(&spec)
	}
	return &appsv1.Deployment{ObjectMeta: meta(name), Spec: spec}
}

// service sends port 80 to the pods with label app=name.
func service(name string, change ...func(*corev1.ServiceSpec)) *corev1.Service {
	spec := corev1.ServiceSpec{
		Selector: map[string]string{"app": name},
		Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(containerPort)}},
	}
	for _, c := range change {
		c(&spec)
	}
	return &corev1.Service{ObjectMeta: meta(name), Spec: spec}
}

func headless(s *corev1.ServiceSpec) { s.ClusterIP = corev1.ClusterIPNone }

func nodePort(s *corev1.ServiceSpec) { s.Type = corev1.ServiceTypeNodePort }

// objects is short for what a spec lists.
func objects(list ...runtime.Object) []runtime.Object { return list }
