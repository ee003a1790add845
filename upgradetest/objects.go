package upgradetest

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// object is something to apply, and where.
type object struct {
	runtime.Object
	client                    func(*kubernetes.Clientset) rest.Interface
	resource, namespace, name string
}

func coreClient(c *kubernetes.Clientset) rest.Interface   { return c.CoreV1().RESTClient() }
func appsClient(c *kubernetes.Clientset) rest.Interface   { return c.AppsV1().RESTClient() }
func policyClient(c *kubernetes.Clientset) rest.Interface { return c.PolicyV1().RESTClient() }

func objects(image string) []object {
	return []object{
		{budget(serviceName), policyClient, "poddisruptionbudgets", Namespace, serviceName},
		{echoService(), coreClient, "services", Namespace, serviceName},
		{dnsPort(), coreClient, "services", dnsNamespace, dnsService},
		{echo(image), appsClient, "deployments", Namespace, serviceName},
	}
}

func labelsOf(name string) map[string]string {
	return map[string]string{"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": Namespace}
}

var echoLabels = labelsOf(serviceName)

func meta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app.kubernetes.io/part-of": Namespace}}
}

func namespace() *corev1.Namespace {
	return &corev1.Namespace{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: meta("", Namespace)}
}

func budget(name string) *policyv1.PodDisruptionBudget {
	one := intstr.FromInt32(1)
	return &policyv1.PodDisruptionBudget{
		TypeMeta: metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"}, ObjectMeta: meta(Namespace, name),
		Spec: policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &one, Selector: &metav1.LabelSelector{MatchLabels: labelsOf(name)}},
	}
}

func echoService() *corev1.Service {
	return &corev1.Service{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}, ObjectMeta: meta(Namespace, serviceName),
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeNodePort, Selector: echoLabels,
			Ports: []corev1.ServicePort{
				{Name: plainPort, Port: 80, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromString(plainPort)},
				{Name: securePort, Port: 443, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromString(securePort)},
			},
		},
	}
}

// dnsPort stands beside the cluster's own DNS service, because a selector only
// finds pods of its namespace.
func dnsPort() *corev1.Service {
	return &corev1.Service{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}, ObjectMeta: meta(dnsNamespace, dnsService),
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeNodePort, Selector: map[string]string{"k8s-app": "kube-dns"},
			Ports: []corev1.ServicePort{{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP, TargetPort: intstr.FromString("dns")}},
		},
	}
}

// echo is a workload that does all that is needed to survive an upgrade without a
// gap, so that a gap is the cluster's fault: two replicas apart from each other,
// readiness, and an end that serves until nobody sends any more and then closes
// its connections in order. That takes HTTP/2, hence TLS: a server of HTTP/1.1 cannot
// announce the end of an idle connection, and may close it on a request.
func echo(image string) *appsv1.Deployment {
	two, zero, one, grace := int32(2), intstr.FromInt32(0), intstr.FromInt32(1), int64(40)
	return &appsv1.Deployment{
		TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}, ObjectMeta: meta(Namespace, serviceName),
		Spec: appsv1.DeploymentSpec{
			Replicas: &two, Selector: &metav1.LabelSelector{MatchLabels: echoLabels}, MinReadySeconds: 2,
			Strategy: appsv1.DeploymentStrategy{
				Type:          appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &zero, MaxSurge: &one},
			},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: echoLabels},
				Spec: corev1.PodSpec{
					Containers: []corev1.Container{
						netexec(image, plainPort, 8080, 8081, corev1.URISchemeHTTP),
						netexec(image, securePort, 8443, 8444, corev1.URISchemeHTTPS, "--tls-cert-file=/localhost.crt", "--tls-private-key-file=/localhost.key"),
					},
					TerminationGracePeriodSeconds: &grace,
					// Not DoNotSchedule: with one worker drained both must fit on the other.
					TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{
						MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway,
						LabelSelector: &metav1.LabelSelector{MatchLabels: echoLabels},
					}},
				},
			},
		},
	}
}

// netexec is a container of agnhost that says its pod's name at /hostname. Its UDP
// port is there because it is not ready without.
func netexec(image, name string, port, udp int32, scheme corev1.URIScheme, args ...string) corev1.Container {
	at := func(path string) *corev1.HTTPGetAction {
		return &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(port), Scheme: scheme}
	}
	return corev1.Container{
		Name: name, Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
		Args:  append([]string{"netexec", fmt.Sprintf("--http-port=%d", port), fmt.Sprintf("--udp-port=%d", udp)}, args...),
		Ports: []corev1.ContainerPort{{Name: name, ContainerPort: port, Protocol: corev1.ProtocolTCP}},
		ReadinessProbe: &corev1.Probe{
			ProbeHandler: corev1.ProbeHandler{HTTPGet: at("/readyz")}, PeriodSeconds: 1, TimeoutSeconds: 3, FailureThreshold: 3,
		},
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m")}},
		// netexec ends at once on SIGTERM. Asked to exit, it goes on for `wait`, until
		// every node has taken it out of the service, then finishes what it serves.
		Lifecycle: &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{HTTPGet: at("/exit?code=0&wait=10s&timeout=15s")}},
	}
}
