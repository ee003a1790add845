package e2e

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func networkSpecs() []spec {
	pair := func(e *env) []runtime.Object { return objects(e.deployment("web", 2), service("web"), e.pod("client")) }
	return []spec{
		{group: "Network", name: "a service leads to all its replicas and to none that is gone", objects: pair, run: servesAllReplicas},
		{group: "Network", name: "endpoints follow readiness", objects: gatedObjects, run: followsReadiness},
		{group: "Network", name: "a headless service's name leads to its pods", run: namesPods,
			objects: func(e *env) []runtime.Object {
				return objects(e.deployment("web", 2), service("web", headless), e.pod("client"))
			}},
		{group: "Network", name: "DNS resolves services by short and full names", objects: resolverObjects, run: resolvesNames},
		{group: "Network", name: "a node port leads to the service on every node", run: servesNodePorts,
			objects: func(e *env) []runtime.Object {
				return objects(e.deployment("web", 1), service("web", nodePort), e.pod("client"))
			}},
		{group: "Network", name: "pods on different nodes reach each other by address and by service", run: crossesNodes,
			profiles: []string{HA}, reason: "the profile has only one node"},
	}
}

func names(pods []corev1.Pod) []string {
	var out []string
	for _, p := range pods {
		out = append(out, p.Name)
	}
	slices.Sort(out)
	return out
}

func servesAllReplicas(ctx context.Context, e *env) {
	e.ready(ctx, "client")
	replicas := names(e.readyPods(ctx, "web", 2))
	svc, err := e.api().CoreV1().Services(e.namespace).Get(ctx, "web", metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	e.reaches(ctx, "client", svc.Spec.ClusterIP, 80, replicas...)
	Expect(e.api().CoreV1().Pods(e.namespace).Delete(ctx, replicas[0], metav1.DeleteOptions{})).To(Succeed())
	replicas = names(e.readyPods(ctx, "web", 2))
	e.reaches(ctx, "client", svc.Spec.ClusterIP, 80, replicas...)
}

func gatedObjects(e *env) []runtime.Object {
	gate := func(s *corev1.PodSpec) {
		s.Containers[0].ReadinessProbe.ProbeHandler = corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"test", "-e", "/tmp/open"}}}
		s.Containers[0].ReadinessProbe.FailureThreshold = 1
	}
	return objects(e.pod("gated", gate), service("gated"))
}

func followsReadiness(ctx context.Context, e *env) {
	ready := func() (map[string]bool, error) {
		list, err := e.api().DiscoveryV1().EndpointSlices(e.namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=gated"})
		if err != nil {
			return nil, err
		}
		found := map[string]bool{}
		for _, slice := range list.Items {
			for _, ep := range slice.Endpoints {
				if ep.TargetRef != nil && ep.Conditions.Ready != nil {
					found[ep.TargetRef.Name] = *ep.Conditions.Ready
				}
			}
		}
		return found, nil
	}
	Eventually(ctx, ready).Should(Equal(map[string]bool{"gated": false}))
	e.run(ctx, "gated", "touch", "/tmp/open")
	Eventually(ctx, ready).WithTimeout(soon).Should(Equal(map[string]bool{"gated": true}))
	e.run(ctx, "gated", "rm", "/tmp/open")
	Eventually(ctx, ready).WithTimeout(soon).Should(Equal(map[string]bool{"gated": false}))
}

// lookup returns the IPv4 addresses that the resolver of a pod finds for name, sorted.
func (e *env) lookup(ctx context.Context, pod, name string) ([]string, error) {
	out, err := e.exec(ctx, pod, nil, "getent", "ahostsv4", name)
	if err != nil {
		return nil, err
	}
	if out.Code != 0 {
		return nil, fmt.Errorf("resolving %q in pod %s: code %d %s", name, pod, out.Code, out.Stderr)
	}
	var addresses []string
	for line := range strings.Lines(out.Stdout) {
		if fields := strings.Fields(line); len(fields) > 0 {
			addresses = append(addresses, fields[0])
		}
	}
	slices.Sort(addresses)
	return slices.Compact(addresses), nil
}

func namesPods(ctx context.Context, e *env) {
	e.ready(ctx, "client")
	pods := e.readyPods(ctx, "web", 2)
	want := []string{pods[0].Status.PodIP, pods[1].Status.PodIP}
	slices.Sort(want)
	Eventually(ctx, func() ([]string, error) { return e.lookup(ctx, "client", "web") }).WithTimeout(soon).Should(Equal(want))
}

// resolverObjects: the second pod looks into a namespace that its own search list
// would not lead to.
func resolverObjects(e *env) []runtime.Object {
	search := func(s *corev1.PodSpec) {
		s.DNSConfig = &corev1.PodDNSConfig{Searches: []string{"kube-system.svc.cluster.local"}}
	}
	return objects(e.pod("web"), service("web"), e.pod("seeker", shell(idle), search))
}

func resolvesNames(ctx context.Context, e *env) {
	e.ready(ctx, "web", "seeker")
	services := e.api().CoreV1().Services
	for _, want := range []struct {
		namespace, service string
		names              []string
	}{
		{e.namespace, "web", []string{"web", "web." + e.namespace, "web." + e.namespace + ".svc", "web." + e.namespace + ".svc.cluster.local."}},
		{"default", "kubernetes", []string{"kubernetes.default", "kubernetes.default.svc.cluster.local"}},
		{"kube-system", "kube-dns", []string{"kube-dns"}},
	} {
		svc, err := services(want.namespace).Get(ctx, want.service, metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		for _, name := range want.names {
			Eventually(ctx, func() ([]string, error) { return e.lookup(ctx, "seeker", name) }).WithTimeout(soon).
				Should(Equal([]string{svc.Spec.ClusterIP}), name)
		}
	}
	_, err := e.lookup(ctx, "seeker", "no-such-service."+e.namespace)
	Expect(err).To(MatchError(ContainSubstring("code 2")), "a name that does not exist was resolved")
	suffixes := strings.Split(e.run(ctx, "seeker", "/agnhost", "dns-suffix"), ",")
	Expect(suffixes).To(ContainElements(e.namespace+".svc.cluster.local", "svc.cluster.local", "cluster.local", "kube-system.svc.cluster.local"))
	e.run(ctx, "seeker", "/agnhost", "connect", "--timeout=10s", "kubernetes.default:443")
}

func internalIP(n corev1.Node) string {
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP && net.ParseIP(a.Address) != nil {
			return a.Address
		}
	}
	return ""
}

func servesNodePorts(ctx context.Context, e *env) {
	e.ready(ctx, "client")
	pod := e.readyPods(ctx, "web", 1)[0].Name
	svc, err := e.api().CoreV1().Services(e.namespace).Get(ctx, "web", metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	for _, n := range e.nodes(ctx) {
		address := internalIP(n)
		Expect(address).NotTo(BeEmpty(), "node %s has no address", n.Name)
		e.reaches(ctx, "client", address, int(svc.Spec.Ports[0].NodePort), pod)
	}
}

// crossesNodes puts a pod on every node and lets each reach all others.
func crossesNodes(ctx context.Context, e *env) {
	nodes := e.nodes(ctx)
	Expect(len(nodes)).To(BeNumerically(">", 1))
	all := service("peer")
	all.Spec.Selector = map[string]string{"group": "peers"}
	e.create(ctx, all)
	var members []string
	for i, n := range nodes {
		pod := e.pod(fmt.Sprintf("peer-%d", i), onNode(n.Labels[corev1.LabelHostname]))
		pod.Labels["group"] = "peers"
		e.create(ctx, pod)
		members = append(members, pod.Name)
	}
	addresses := map[string]string{}
	for _, name := range members {
		addresses[name] = e.ready(ctx, name).Status.PodIP
	}
	for _, from := range members {
		for _, to := range members {
			if from != to {
				e.reaches(ctx, from, addresses[to], containerPort, to)
			}
		}
	}
	svc, err := e.api().CoreV1().Services(e.namespace).Get(ctx, "peer", metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	for _, from := range members {
		e.reaches(ctx, from, svc.Spec.ClusterIP, 80, members...)
	}
}
