package e2e

import (
	"context"
	"slices"

	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
)

func accessSpecs() []spec {
	return []spec{
		{group: "Access", name: "a service account may do what its role allows, and no more", objects: readerObjects, run: obeysRoles},
		{group: "Access", name: "a pod's own token is that of its service account", run: mountsToken,
			objects: func(e *env) []runtime.Object { return objects(e.pod("tokened", shell(idle))) }},
	}
}

func readerObjects(*env) []runtime.Object {
	return objects(
		&corev1.ServiceAccount{ObjectMeta: meta("reader")},
		&corev1.ConfigMap{ObjectMeta: meta("notes"), Data: map[string]string{"a": "1"}},
		&rbacv1.Role{ObjectMeta: meta("reader"), Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list"}}}},
		&rbacv1.RoleBinding{ObjectMeta: meta("reader"), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "reader"}}},
	)
}

// as returns a client that has nothing but a token; an empty one is nobody's.
func (e *env) as(token string) kubernetes.Interface {
	config := rest.AnonymousClientConfig(e.cluster.config)
	config.BearerToken = token
	client, err := kubernetes.NewForConfig(config)
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	return client
}

func obeysRoles(ctx context.Context, e *env) {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](600)}}
	token, err := e.api().CoreV1().ServiceAccounts(e.namespace).CreateToken(ctx, "reader", request, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	reader := e.as(token.Status.Token).CoreV1()
	Eventually(ctx, func() error { // authorizers learn of a new binding by a watch
		_, err := reader.ConfigMaps(e.namespace).Get(ctx, "notes", metav1.GetOptions{})
		return err
	}).WithTimeout(soon).Should(Succeed())
	_, err = reader.ConfigMaps(e.namespace).List(ctx, metav1.ListOptions{})
	Expect(err).NotTo(HaveOccurred())

	forbidden := map[string]func() error{
		"delete what it may read": func() error { return reader.ConfigMaps(e.namespace).Delete(ctx, "notes", metav1.DeleteOptions{}) },
		"create":                  func() error { return create(ctx, reader.ConfigMaps(e.namespace)) },
		"read secrets":            func() error { _, err := reader.Secrets(e.namespace).List(ctx, metav1.ListOptions{}); return err },
		"read another namespace":  func() error { _, err := reader.ConfigMaps("kube-system").List(ctx, metav1.ListOptions{}); return err },
		"read nodes":              func() error { _, err := reader.Nodes().List(ctx, metav1.ListOptions{}); return err },
	}
	for what, try := range forbidden {
		err := try()
		Expect(apierrors.IsForbidden(err)).To(BeTrue(), "it must not %s: %v", what, err)
	}
	for who, token := range map[string]string{"nobody": "", "a forger": "eyJhbGciOiJub25lIn0.e30."} {
		_, err := e.as(token).CoreV1().Secrets(e.namespace).List(ctx, metav1.ListOptions{})
		Expect(apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err)).To(BeTrue(), "%s must not read secrets: %v", who, err)
	}
}

func create(ctx context.Context, maps interface {
	Create(context.Context, *corev1.ConfigMap, metav1.CreateOptions) (*corev1.ConfigMap, error)
}) error {
	_, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: meta("other")}, metav1.CreateOptions{})
	return err
}

func mountsToken(ctx context.Context, e *env) {
	e.ready(ctx, "tokened")
	token := e.run(ctx, "tokened", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token")
	review, err := e.api().AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	Expect(review.Status.Authenticated).To(BeTrue(), "the token is not accepted: %s", review.Status.Error)
	Expect(review.Status.User.Username).To(Equal("system:serviceaccount:" + e.namespace + ":default"))
	Expect(e.run(ctx, "tokened", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/namespace")).To(Equal(e.namespace))
}

func nodeSpecs() []spec {
	return []spec{
		{group: "Nodes", name: "all are ready and of the release's version", run: nodesAreReady},
		{group: "Nodes", name: "the system's own pods are ready", run: systemIsReady},
	}
}

// sizes of the profiles: all nodes, and those of the control plane.
var sizes = map[string][2]int{Single: {1, 1}, HA: {5, 3}}

const controlPlaneLabel = "node-role.kubernetes.io/control-plane"

func nodesAreReady(ctx context.Context, e *env) {
	nodes := e.nodes(ctx)
	controlPlanes := 0
	for _, n := range nodes {
		if _, ok := n.Labels[controlPlaneLabel]; ok {
			controlPlanes++
		}
		for _, c := range n.Status.Conditions {
			want := corev1.ConditionFalse // pressures
			if c.Type == corev1.NodeReady {
				want = corev1.ConditionTrue
			}
			Expect(c.Status).To(Equal(want), "node %s: %s: %s", n.Name, c.Type, c.Message)
		}
		if want := e.options.KubernetesVersion; want != "" {
			Expect(n.Status.NodeInfo.KubeletVersion).To(Equal(want), "kubelet of node %s", n.Name)
		}
		Expect(n.Spec.PodCIDR).NotTo(BeEmpty(), "node %s has no addresses for pods", n.Name)
		Expect(n.Spec.Unschedulable).To(BeFalse(), "node %s takes no pods", n.Name)
	}
	Expect([2]int{len(nodes), controlPlanes}).To(Equal(sizes[e.options.Profile]), "nodes, and control planes among them")
}

func systemIsReady(ctx context.Context, e *env) {
	Eventually(ctx, func(g Gomega) {
		list, err := e.api().CoreV1().Pods("kube-system").List(ctx, metav1.ListOptions{})
		g.Expect(err).NotTo(HaveOccurred())
		components := map[string]int{}
		for i := range list.Items {
			pod := &list.Items[i]
			if pod.Status.Phase == corev1.PodSucceeded {
				continue
			}
			g.Expect(isReady(pod)).To(BeTrue(), "pod %s: %s", pod.Name, describe(pod))
			components[pod.Labels["component"]]++
		}
		want := sizes[e.options.Profile][1]
		for _, name := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
			g.Expect(components[name]).To(Equal(want), "pods of %s", name)
		}
		g.Expect(slices.ContainsFunc(list.Items, func(p corev1.Pod) bool { return p.Labels["k8s-app"] == "kube-dns" })).To(BeTrue(), "there is no DNS")
	}).WithTimeout(soon).Should(Succeed())
}
