package upgradetest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
)

// DNSName is what the DNS backends ask for; every cluster of the default domain
// cluster.local has it.
const DNSName = "kubernetes.default.svc.cluster.local."

// Names of backends. Each kube-apiserver's own are those of the balancer with
// "-direct-" and the server's address behind them.
const (
	BackendAPI      = "kube-api"       // a read that the API server must take from etcd
	BackendAPICache = "kube-api-cache" // one that it answers from memory
	BackendWrite    = "kube-api-write" // a write, read back
	BackendWatch    = "kube-api-watch" // a watch that must show every write once
	BackendLease    = "kube-api-lease" // the renewal of a Lease
	BackendExec     = "kube-api-exec"  // lines through `kubectl exec` of cat, on one stream
	BackendLogs     = "kube-api-logs"  // the followed log of a pod
	BackendDirect   = "kube-api-direct"
	BackendService  = "service"    // two replicas through a node port
	BackendTCP      = "tcp"        // lines over one TCP connection through a node port
	BackendDNS      = "dns"        // the cluster's DNS through a node port
	BackendStateful = "stateful"   // writes to a volume
	BackendPods     = "in-cluster" // pod to pod, to service, to node port and to DNS, by pollers in pods
)

// AllBackends are the names that Selection takes.
func AllBackends() []string {
	return []string{BackendAPI, BackendAPICache, BackendWrite, BackendWatch, BackendLease, BackendExec, BackendLogs, BackendDirect,
		BackendService, BackendTCP, BackendDNS, BackendStateful, BackendPods}
}

// APIBackends are those that need no image.
func APIBackends() []string {
	return []string{BackendAPI, BackendAPICache, BackendWrite, BackendWatch, BackendLease, BackendDirect}
}

// Selection is a list of backends' names; an empty one means all.
type Selection []string

// Has reports whether name is selected.
func (s Selection) Has(name string) bool { return len(s) == 0 || slices.Contains(s, name) }

// Check names every backend that does not exist, and what is missing: a watch needs
// the writer whose numbers it shows.
func (s Selection) Check() error {
	var problems []error
	for _, name := range s {
		if !slices.Contains(AllBackends(), name) {
			problems = append(problems, fmt.Errorf("backend %q is none of %s", name, strings.Join(AllBackends(), ", ")))
		}
	}
	if s.Has(BackendWatch) && !s.Has(BackendWrite) {
		problems = append(problems, fmt.Errorf("backend %q watches what %q writes, so that must be selected as well", BackendWatch, BackendWrite))
	}
	return errors.Join(problems...)
}

// NeedsNamespace reports whether something must be put into the cluster.
func (s Selection) NeedsNamespace() bool {
	return slices.ContainsFunc(AllBackends(), func(name string) bool {
		return s.Has(name) && name != BackendAPI && name != BackendAPICache && name != BackendDirect
	})
}

// NeedsImages reports whether pods must run for it.
func (s Selection) NeedsImages() bool {
	return slices.ContainsFunc(AllBackends(), func(name string) bool {
		return s.Has(name) && (name == BackendExec || name == BackendLogs || !strings.HasPrefix(name, BackendAPI)) && name != BackendDirect
	})
}

// Rates of backends that cost more than a read, or of which there are many, as parts of
// the rate of the others. A cluster on one small host pays for every sample with what the
// upgrade needs as well: at full rate for all, two processors had nothing left, and what
// was measured was the measuring.
const (
	writeShare  = 0.25  // a write goes through every member of etcd, and is read back
	leaseShare  = 0.125 // the same, beside the writes
	streamShare = 0.25  // of exec, logs and the store, which explain and do not decide
	directShare = 0.1   // of each API server by itself, on both connections and from both stores
)

// Backends returns what is watched in a cluster through the server of config, and
// through the workload, which may be nil. HTTP backends come on new and on reused
// connections. Skipped are those that were selected and cannot be had, with the
// reason of each.
func Backends(ctx context.Context, config *rest.Config, workload *Workload, selected Selection, hertz float64) (backends []Backend, skipped []string, err error) {
	setDefault(&hertz, DefaultHertz)
	server, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, nil, fmt.Errorf("watching the Kubernetes API: %w", err)
	}
	target, err := apiTarget(config)
	if err != nil {
		return nil, nil, fmt.Errorf("watching the Kubernetes API at %q: %w", server, err)
	}
	client, err := clientFor(config)
	if err != nil {
		return nil, nil, err
	}
	target.URL = server.String()
	l := list{selected: selected, hertz: hertz, target: target}
	l.reads("", server, target, false)
	l.writes()
	l.direct(ctx, client, server)
	l.workload(config, client, workload)
	return l.backends, l.skipped, errors.Join(l.problems...)
}

type list struct {
	selected Selection
	hertz    float64
	target   HTTPTarget // the API, as config names it
	backends []Backend
	skipped  []string
	problems []error
}

// reads adds the reads of one server.
func (l *list) reads(suffix string, server *url.URL, target HTTPTarget, informing bool) {
	for _, api := range []struct{ name, query string }{{BackendAPI, ""}, {BackendAPICache, "resourceVersion=0"}} {
		if !informing && !l.selected.Has(api.name) {
			continue
		}
		at := *server
		at.Path = strings.TrimSuffix(at.Path, "/") + "/api/v1/namespaces/default"
		at.RawQuery = api.query
		target.URL = at.String()
		for _, connection := range []string{New, Reused} {
			prober, err := HTTP(connection, target)
			b := Backend{Name: api.name + suffix, Connection: connection, Prober: prober, Informing: informing}
			if informing {
				b.Hertz = l.hertz * directShare
			}
			l.add(b, err)
		}
	}
}

func (l *list) writes() {
	id := strconv.FormatInt(time.Now().UnixMilli(), 36)
	var kept *writeProber
	for _, connection := range []string{New, Reused} {
		if l.selected.Has(BackendWrite) {
			prober, err := newWriteProber(connection, l.target, "writes-"+connection+"-"+id)
			l.add(Backend{Name: BackendWrite, Connection: connection, Prober: prober, Hertz: l.hertz * writeShare}, err)
			kept = prober
		}
		if l.selected.Has(BackendLease) {
			prober, err := newLeaseProber(connection, l.target, "renewed-"+connection)
			l.add(Backend{Name: BackendLease, Connection: connection, Prober: prober, Hertz: l.hertz * leaseShare}, err)
		}
	}
	if l.selected.Has(BackendWatch) && kept != nil {
		l.add(Backend{Name: BackendWatch, Connection: Reused, Prober: newWatchProber(kept)}, nil)
	}
}

// direct adds every API server by its own address, where this host can reach it.
func (l *list) direct(ctx context.Context, client kubernetes.Interface, balancer *url.URL) {
	if !l.selected.Has(BackendDirect) {
		return
	}
	servers, err := APIServers(ctx, client)
	if err != nil {
		l.skip(BackendDirect, err.Error())
		return
	}
	for _, address := range servers {
		if address == hostPort(balancer) {
			l.skip(BackendDirect, address+" is what "+BackendAPI+" asks already")
			continue
		}
		if err := reachable(ctx, address); err != nil {
			l.skip(BackendDirect, fmt.Sprintf("%s cannot be reached from here: %v", address, err))
			continue
		}
		host, _, _ := net.SplitHostPort(address)
		l.reads(directSuffix(host), &url.URL{Scheme: "https", Host: address}, directTarget(l.target), true)
	}
}

func directSuffix(host string) string {
	return strings.TrimPrefix(BackendDirect, BackendAPI) + "-" + strings.NewReplacer(".", "-", ":", "-").Replace(host)
}

// DirectBackend is the name of the backend that reads from etcd through the API server
// at an address, without port.
func DirectBackend(host string) string { return BackendAPI + directSuffix(host) }

func hostPort(u *url.URL) string { return address(u) }

// directTarget is how a server is asked by its address: its certificate is for the
// name that every API server has.
func directTarget(target HTTPTarget) HTTPTarget {
	if target.TLS != nil {
		target.TLS = target.TLS.Clone()
	} else {
		target.TLS = &tls.Config{}
	}
	target.TLS.ServerName = "kubernetes.default.svc"
	return target
}

// APIServers returns the addresses, host:port, that the API servers have announced
// in the EndpointSlices of the service kubernetes, sorted.
func APIServers(ctx context.Context, client kubernetes.Interface) ([]string, error) {
	slicesOf, err := client.DiscoveryV1().EndpointSlices("default").List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=kubernetes"})
	if err != nil {
		return nil, fmt.Errorf("listing the API servers: %w", err)
	}
	var out []string
	for _, s := range slicesOf.Items {
		for _, port := range s.Ports {
			for _, e := range s.Endpoints {
				for _, a := range e.Addresses {
					if port.Port != nil {
						out = append(out, net.JoinHostPort(a, strconv.Itoa(int(*port.Port))))
					}
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func reachable(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return c.Close()
}

func (l *list) workload(config *rest.Config, client kubernetes.Interface, w *Workload) {
	if w == nil {
		for _, name := range []string{BackendService, BackendTCP, BackendDNS, BackendStateful, BackendExec, BackendLogs} {
			if l.selected.Has(name) {
				l.skip(name, "there is no workload to probe")
			}
		}
		return
	}
	if l.selected.Has(BackendService) && l.there(BackendService, w.Service) {
		prober, err := HTTP(New, HTTPTarget{URL: "http://" + w.Service + "/hostname", ServerFromBody: true})
		l.add(Backend{Name: BackendService, Connection: New, Prober: prober}, err)
		// Who answers does not matter here, only whether; the pods' certificate is public.
		anyone := &tls.Config{InsecureSkipVerify: true}
		prober, err = HTTP(Reused, HTTPTarget{URL: "https://" + w.ServiceSecure + "/hostname", TLS: anyone, ServerFromBody: true})
		l.add(Backend{Name: BackendService, Connection: Reused, Prober: prober}, err)
	}
	if l.selected.Has(BackendDNS) && l.there(BackendDNS, w.DNS) {
		prober, err := DNSQuery(w.DNS, DNSName)
		l.add(Backend{Name: BackendDNS, Connection: New, Prober: prober}, err)
	}
	if l.selected.Has(BackendTCP) && l.there(BackendTCP, w.TCP) {
		prober, err := TCPTicks(w.TCP)
		l.add(Backend{Name: BackendTCP, Connection: Reused, Prober: prober}, err)
	}
	if l.selected.Has(BackendStateful) && l.there(BackendStateful, w.Store) {
		prober, err := Store(New, "http://"+w.Store, strconv.FormatInt(time.Now().UnixMilli(), 36))
		l.add(Backend{Name: BackendStateful, Connection: New, Prober: prober, Informing: true, Hertz: l.hertz * streamShare}, err)
	}
	if l.selected.Has(BackendExec) {
		pods := replicas{client: client, selector: "app.kubernetes.io/name=" + serviceName}
		l.add(Backend{Name: BackendExec, Connection: Reused, Prober: newExecProber(config, pods, plainPort), Informing: true, Hertz: l.hertz * streamShare}, nil)
	}
	if l.selected.Has(BackendLogs) && l.there(BackendLogs, w.TCP) {
		prober, err := newLogProber(l.target, replicas{client: client, selector: "app.kubernetes.io/name=" + ticksName}, ticksName)
		l.add(Backend{Name: BackendLogs, Connection: Reused, Prober: prober, Informing: true, Hertz: l.hertz * streamShare}, err)
	}
}

func (l *list) there(name, address string) bool {
	if address == "" {
		l.skip(name, "the workload has none of it")
	}
	return address != ""
}

func (l *list) skip(name, why string) { l.skipped = append(l.skipped, name+": "+why) }

func (l *list) add(b Backend, err error) {
	if err != nil {
		l.problems = append(l.problems, fmt.Errorf("backend %q: %w", b.Name, err))
		return
	}
	if b.Hertz != 0 {
		b.Hertz = max(b.Hertz, 0.1)
	}
	l.backends = append(l.backends, b)
}

// APIServerTarget is how an API server is asked by its own address, with the
// credentials of config. The URL is the caller's to fill in.
func APIServerTarget(config *rest.Config) (HTTPTarget, error) {
	target, err := apiTarget(config)
	return directTarget(target), err
}

// apiTarget takes TLS settings and credentials from a client's configuration.
func apiTarget(config *rest.Config) (HTTPTarget, error) {
	c, err := config.TransportConfig()
	if err != nil {
		return HTTPTarget{}, err
	}
	tlsConfig, err := transport.TLSConfigFor(c)
	if err != nil {
		return HTTPTarget{}, err
	}
	wrap := func(rt http.RoundTripper) (http.RoundTripper, error) { return transport.HTTPWrappersForConfig(c, rt) }
	return HTTPTarget{TLS: tlsConfig, Wrap: wrap}, nil
}
