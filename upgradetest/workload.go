package upgradetest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	toolswatch "k8s.io/client-go/tools/watch"
)

// Names of what Setup puts into the cluster.
const (
	Namespace = "slipway-upgrade-test"

	fieldManager  = "slipway-upgradetest"
	serviceName   = "echo"
	ticksName     = "ticks"
	storeName     = "store"
	plainPort     = "http"
	securePort    = "https"
	dnsNamespace  = "kube-system"
	dnsService    = "slipway-upgrade-test-dns"
	requestPeriod = 15 * time.Second // of one API request
	readyWait     = 3 * time.Minute
)

// Workload is where the objects of Setup are reached from this host, host:port.
//
// Both go through a node port, so that what is measured is the service as such
// (kube-proxy, the pod network, the pods) and not the API server, which a port
// forward or the service proxy would put in front. In a kind cluster this host
// reaches the nodes' addresses directly. A worker is taken where there is one, and
// always the same: every node leads to all replicas.
type Workload struct {
	Service       string // HTTP
	ServiceSecure string // HTTPS with HTTP/2, and a certificate that proves nothing
	DNS           string // UDP
	TCP           string // sends every line back; empty without a server image
	Store         string // HTTP, see Store; empty without a server image or a storage class
	Node          string // whose ports they are
	// Skipped is what could not be started, with the reason of each.
	Skipped []string

	given []string // names of pods that did not get ready
}

// WorkloadOptions are what Setup needs to know.
type WorkloadOptions struct {
	// Image is that of agnhost, by digest.
	Image string
	// Server is the image of slipway itself, which runs the TCP and the stateful
	// workload and the pollers inside the cluster. Without it there are none of them.
	Server string
	// Selected says for which backends; empty means all.
	Selected Selection
	// Node is the one whose ports are probed; empty takes the first worker.
	Node string
}

// Setup puts what the selected backends need into the cluster (a service with two
// replicas, a node port for the cluster's DNS, and with a server image a TCP server, a
// store on a volume and pollers) and waits until it is available. What is there
// already is brought to the same state. When nothing but the API is asked for, that
// is a namespace, and the Workload is nil.
func Setup(ctx context.Context, config *rest.Config, options WorkloadOptions) (*Workload, error) {
	client, err := clientFor(config)
	if err != nil {
		return nil, err
	}
	if err := awaitNamespaceGone(ctx, client); err != nil {
		return nil, fmt.Errorf("waiting for the end of an earlier namespace %q: %w", Namespace, err)
	}
	if err := apply(ctx, client, object{namespace(), coreClient, "namespaces", "", Namespace}); err != nil {
		return nil, err
	}
	if !options.Selected.NeedsImages() {
		return nil, nil
	}
	w := &Workload{}
	wanted := objects(options.Image)
	switch {
	case options.Server == "":
		w.Skipped = append(w.Skipped, fmt.Sprintf("%s, %s, %s, %s: there is no image of slipway to run them with", BackendTCP, BackendLogs, BackendStateful, BackendPods))
	default:
		wanted = append(wanted, tickObjects(options.Server)...)
		if options.Selected.Has(BackendStateful) {
			wanted = append(wanted, storeObjects(options.Server)...)
		}
		if options.Selected.Has(BackendPods) {
			wanted = append(wanted, pollerObjects(options.Server)...)
		}
	}
	for _, o := range wanted {
		if err := apply(ctx, client, o); err != nil {
			return nil, err
		}
	}
	for _, o := range wanted {
		if o.resource != "deployments" && o.resource != "daemonsets" {
			continue
		}
		err := awaitReplicas(ctx, client, o)
		if err != nil && o.name == serviceName {
			return nil, fmt.Errorf("waiting for the replicas of %q in namespace %q: %w", o.name, Namespace, err)
		}
		if err != nil {
			w.give(o.name, err)
		}
	}
	return w, locate(ctx, client, options, w)
}

// give leaves out what slipway's own image does not serve: an older one in the cluster
// may not know how.
func (w *Workload) give(name string, err error) {
	what := map[string]string{ticksName: BackendTCP + ", " + BackendLogs, PollerName: BackendPods, HostPollerName: BackendPods + " from the nodes"}[name]
	w.Skipped = append(w.Skipped, fmt.Sprintf("%s: the pods %q did not get ready: %v", what, name, err))
	w.given = append(w.given, name)
}

// Has reports whether the pods of a name run.
func (w *Workload) Has(name string) bool { return !slices.Contains(w.given, name) }

// Teardown removes what Setup made. Objects that are not there are no error. It
// does not wait for the namespace to end.
func Teardown(ctx context.Context, config *rest.Config) error {
	client, err := clientFor(config)
	if err != nil {
		return err
	}
	return errors.Join(
		gone("service", dnsService, client.CoreV1().Services(dnsNamespace).Delete(ctx, dnsService, metav1.DeleteOptions{})),
		gone("namespace", Namespace, client.CoreV1().Namespaces().Delete(ctx, Namespace, metav1.DeleteOptions{})),
	)
}

func gone(kind, name string, err error) error {
	if err == nil || apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("deleting %s %q: %w", kind, name, err)
}

func clientFor(config *rest.Config) (*kubernetes.Clientset, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = fieldManager
	if config.Timeout == 0 {
		config.Timeout = readyWait // also bounds a watch, which is then begun again
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	return client, nil
}

// apply creates o or brings it to the same state, and tries again while the API
// server is not to be had.
func apply(ctx context.Context, client *kubernetes.Clientset, o object) error {
	body, err := json.Marshal(o.Object)
	if err != nil {
		return fmt.Errorf("applying %s %q: %w", o.resource, o.name, err)
	}
	request := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, requestPeriod)
		defer cancel()
		r := o.client(client).Patch(types.ApplyPatchType).Resource(o.resource).Name(o.name).
			Param("fieldManager", fieldManager).Param("force", "true").Body(body)
		if o.namespace != "" {
			r = r.Namespace(o.namespace)
		}
		return r.Do(ctx).Error()
	}
	if err := retry(ctx, request); err != nil {
		return fmt.Errorf("applying %s %q: %w", o.resource, o.name, err)
	}
	return nil
}

// retry repeats f, up to five times, after errors that may pass by themselves. The client
// itself honours Retry-After.
func retry(ctx context.Context, f func(context.Context) error) error {
	pause := 250 * time.Millisecond
	for try := 1; ; try++ {
		err := f(ctx)
		if err == nil || try == 5 || ctx.Err() != nil || !passing(err) {
			return err
		}
		if sleepUntil(ctx, time.Now().Add(pause)) != nil {
			return err
		}
		pause *= 2
	}
}

func passing(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true // the network
	}
	return apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsInternalError(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsConflict(err)
}

func awaitNamespaceGone(ctx context.Context, client *kubernetes.Clientset) error {
	return await(ctx, client.CoreV1().RESTClient(), "namespaces", "", Namespace, &corev1.Namespace{}, func(o runtime.Object) bool {
		ns, ok := o.(*corev1.Namespace)
		return !ok || ns.DeletionTimestamp == nil
	})
}

// awaitReplicas waits until all replicas of a Deployment or DaemonSet are those of
// its template, and available.
func awaitReplicas(ctx context.Context, client *kubernetes.Clientset, want object) error {
	last := "it was not seen"
	err := await(ctx, client.AppsV1().RESTClient(), want.resource, Namespace, want.name, want.Object, func(o runtime.Object) bool {
		switch d := o.(type) {
		case *appsv1.Deployment:
			last = fmt.Sprintf("%d of %d are available", d.Status.AvailableReplicas, *d.Spec.Replicas)
			return d.Status.ObservedGeneration >= d.Generation && d.Status.AvailableReplicas == *d.Spec.Replicas &&
				d.Status.UpdatedReplicas == *d.Spec.Replicas && d.Status.Replicas == *d.Spec.Replicas
		case *appsv1.DaemonSet:
			last = fmt.Sprintf("%d of %d are available", d.Status.NumberAvailable, d.Status.DesiredNumberScheduled)
			return d.Status.ObservedGeneration >= d.Generation && d.Status.DesiredNumberScheduled > 0 &&
				d.Status.NumberAvailable == d.Status.DesiredNumberScheduled && d.Status.UpdatedNumberScheduled == d.Status.DesiredNumberScheduled
		}
		return false
	})
	if err != nil {
		return fmt.Errorf("%s: %w", last, err)
	}
	return nil
}

// await watches one object until done accepts it, or its absence (nil).
func await(ctx context.Context, client rest.Interface, resource, namespace, name string, kind runtime.Object, done func(runtime.Object) bool) error {
	wait := readyWait
	if name != serviceName && name != Namespace {
		wait /= 3 // without it the rest is measured all the same
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	list := cache.NewListWatchFromClient(client, resource, namespace, fields.OneTermEqualSelector("metadata.name", name))
	start := func(store cache.Store) (bool, error) {
		items := store.List()
		if len(items) == 0 {
			return done(nil), nil
		}
		return done(items[0].(runtime.Object)), nil
	}
	_, err := toolswatch.UntilWithSync(ctx, list, kind, start, func(event watch.Event) (bool, error) {
		if event.Type == watch.Deleted {
			return done(nil), nil
		}
		return done(event.Object), nil
	})
	return err
}

// locate finds the ports of the services and the address of a node.
func locate(ctx context.Context, client *kubernetes.Clientset, options WorkloadOptions, w *Workload) error {
	err := retry(ctx, func(ctx context.Context) error {
		nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		node, address, err := entry(nodes.Items, options.Node)
		if err != nil {
			return err
		}
		w.Node = node
		for _, port := range []struct {
			namespace, service, port string
			at                       *string
		}{
			{Namespace, serviceName, plainPort, &w.Service},
			{Namespace, serviceName, securePort, &w.ServiceSecure},
			{dnsNamespace, dnsService, "dns", &w.DNS},
			{Namespace, ticksName, ticksName, &w.TCP},
			{Namespace, storeName, storeName, &w.Store},
		} {
			if !w.Has(port.service) || (port.service == ticksName && options.Server == "") || (port.service == storeName && (options.Server == "" || !options.Selected.Has(BackendStateful))) {
				continue
			}
			number, err := nodePort(ctx, client, port.namespace, port.service, port.port)
			if err != nil {
				return err
			}
			*port.at = net.JoinHostPort(address, number)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("finding a way to the service from this host: %w", err)
	}
	if w.Store != "" {
		if err := storeAnswers(ctx, w.Store); err != nil {
			w.Skipped = append(w.Skipped, BackendStateful+": "+err.Error())
			w.Store = ""
		}
	}
	return nil
}

// storeWait bounds the wait for a volume: a cluster may have no storage class.
const storeWait = 90 * time.Second

func storeAnswers(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	p, err := HTTP(New, HTTPTarget{URL: "http://" + address})
	if err != nil {
		return err
	}
	_, err = p.(*httpProber).fetch(ctx, EntriesPath)
	return err
}

func nodePort(ctx context.Context, client *kubernetes.Clientset, namespace, name, port string) (string, error) {
	service, err := client.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	for _, p := range service.Spec.Ports {
		if p.Name == port && p.NodePort != 0 {
			return strconv.Itoa(int(p.NodePort)), nil
		}
	}
	return "", fmt.Errorf("service %q has no node port for %q", name, port)
}

// entry picks the node whose ports are probed: the one of that name, or the first
// worker, or the first node.
func entry(nodes []corev1.Node, name string) (node, address string, err error) {
	slices.SortFunc(nodes, func(a, b corev1.Node) int {
		return cmp.Or(cmp.Compare(controlPlane(a), controlPlane(b)), cmp.Compare(a.Name, b.Name))
	})
	for _, n := range nodes {
		if name != "" && n.Name != name {
			continue
		}
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				return n.Name, a.Address, nil
			}
		}
	}
	return "", "", fmt.Errorf("no node %q with an internal address was found among %d", name, len(nodes))
}

// controlPlane is 1 for a node of the control plane, 0 for a worker.
func controlPlane(n corev1.Node) int {
	if _, ok := n.Labels["node-role.kubernetes.io/control-plane"]; ok {
		return 1
	}
	return 0
}
