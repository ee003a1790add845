package upgradetest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
)

// DNSName is what the DNS backends ask for; every cluster of the default domain
// cluster.local has it.
const DNSName = "kubernetes.default.svc.cluster.local."

// Backends returns what is watched in a cluster: kube-api (a read that the API
// server must take from etcd) and kube-api-cache (one it answers from memory)
// through the server of config, and the service and DNS of a workload, which may be
// nil. HTTP backends come on new and on reused connections.
func Backends(config *rest.Config, workload *Workload) ([]Backend, error) {
	server, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("watching the Kubernetes API: %w", err)
	}
	target, err := apiTarget(config)
	if err != nil {
		return nil, fmt.Errorf("watching the Kubernetes API at %q: %w", server, err)
	}
	var l list
	for _, api := range []struct{ name, query string }{
		{"kube-api", ""},
		{"kube-api-cache", "resourceVersion=0"},
	} {
		at := *server
		at.Path = strings.TrimSuffix(at.Path, "/") + "/api/v1/namespaces/default"
		at.RawQuery = api.query
		target.URL = at.String()
		l.http(api.name, target)
	}
	if workload != nil {
		prober, err := HTTP(New, HTTPTarget{URL: "http://" + workload.Service + "/hostname", ServerFromBody: true})
		l.add("service", New, prober, err)
		// Who answers does not matter here, only whether; the pods' certificate is public.
		anyone := &tls.Config{InsecureSkipVerify: true}
		prober, err = HTTP(Reused, HTTPTarget{URL: "https://" + workload.ServiceSecure + "/hostname", TLS: anyone, ServerFromBody: true})
		l.add("service", Reused, prober, err)
		prober, err = DNSQuery(workload.DNS, DNSName)
		l.add("dns", New, prober, err)
	}
	return l.backends, errors.Join(l.problems...)
}

type list struct {
	backends []Backend
	problems []error
}

func (l *list) http(name string, target HTTPTarget) {
	for _, connection := range []string{New, Reused} {
		prober, err := HTTP(connection, target)
		l.add(name, connection, prober, err)
	}
}

func (l *list) add(name, connection string, prober Prober, err error) {
	if err != nil {
		l.problems = append(l.problems, fmt.Errorf("backend %q: %w", name, err))
		return
	}
	l.backends = append(l.backends, Backend{Name: name, Connection: connection, Prober: prober})
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
