package upgradetest

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"k8s.io/client-go/rest"
)

// probe gives the prober as long as an answer that is sure to come may take on a busy
// host.
func probe(t *testing.T, prober Prober) Probe {
	t.Helper()
	return probeFor(t, prober, 30*time.Second)
}

// unanswered probes what never answers.
func unanswered(t *testing.T, prober Prober) Probe {
	t.Helper()
	return probeFor(t, prober, time.Second)
}

func probeFor(t *testing.T, prober Prober, limit time.Duration) Probe {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	p := Probe{Begin: time.Now()}
	prober.Probe(ctx, &p)
	return p
}

func TestHTTPClasses(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	hijack := func(end func(*net.TCPConn)) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				panic(err)
			}
			end(c.(*net.TCPConn))
			c.Close()
		}
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		secure  bool
		target  HTTPTarget
		want    Class
	}{
		{name: "ok", handler: status(204), want: OK},
		{name: "server error", handler: status(503), want: HTTP5xx},
		{name: "too many requests", handler: status(429), want: HTTP429},
		{name: "forbidden", handler: status(403), want: HTTP4xx},
		{name: "redirect is not followed", handler: status(302), want: HTTP4xx},
		{name: "no answer", handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, want: Timeout},
		{name: "closed", handler: hijack(func(*net.TCPConn) {}), want: EOF},
		{name: "reset", handler: hijack(func(c *net.TCPConn) { _ = c.SetLinger(0) }), want: Reset},
		{name: "refused", target: HTTPTarget{URL: "http://" + closed.Addr().String()}, want: Refused},
		{name: "unknown authority", handler: status(200), secure: true, target: HTTPTarget{TLS: untrusting()}, want: TLS},
		{name: "plain text on a TLS port", handler: status(200), target: HTTPTarget{TLS: &tls.Config{InsecureSkipVerify: true}}, secure: false, want: TLS},
	} {
		for _, connection := range []string{New, Reused} {
			t.Run(test.name+"/"+connection, func(t *testing.T) {
				target := test.target
				if test.handler != nil {
					server := httptest.NewUnstartedServer(test.handler)
					if test.secure {
						server.StartTLS()
					} else {
						server.Start()
					}
					defer server.Close()
					target.URL = server.URL
					if test.target.TLS != nil && !test.secure {
						target.URL = "https://" + server.Listener.Addr().String()
					}
				}
				prober, err := HTTP(connection, target)
				if err != nil {
					t.Fatal(err)
				}
				defer prober.Close()
				ask := probe
				if test.want == Timeout {
					ask = unanswered
				}
				p := ask(t, prober)
				if p.Class != test.want {
					t.Errorf("class %v (%s), want %v", p.Class, p.Detail, test.want)
				}
				if (p.Detail == "") != (test.want == OK) {
					t.Errorf("detail %q of class %v", p.Detail, p.Class)
				}
			})
		}
	}
}

func TestHTTPWantsAURL(t *testing.T) {
	for _, url := range []string{"", "127.0.0.1:80", "ftp://host/", "http://"} {
		if _, err := HTTP(New, HTTPTarget{URL: url}); err == nil {
			t.Errorf("%q was accepted", url)
		}
	}
}

func TestReusedConnectionIsOne(t *testing.T) {
	var opened atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) }))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	for connection, want := range map[string]int32{Reused: 1, New: 10} {
		opened.Store(0)
		prober, err := HTTP(connection, HTTPTarget{URL: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if p := probe(t, prober); p.Class != OK || p.Reconnected {
				t.Fatalf("%s: %+v", connection, p)
			}
		}
		prober.Close()
		if n := opened.Load(); n != want {
			t.Errorf("%s: %d connections for 10 probes, want %d", connection, n, want)
		}
	}
}

// TestKubeAPIBackends: path, query, credentials and protocol are those of a client
// of Kubernetes.
func TestKubeAPIBackends(t *testing.T) {
	type request struct{ uri, auth, proto string }
	requests := make(chan request, 10)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		requests <- request{r.URL.RequestURI(), r.Header.Get("Authorization"), r.Proto}
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	backends, _, err := Backends(t.Context(), &rest.Config{Host: server.URL, BearerToken: "secret", TLSClientConfig: rest.TLSClientConfig{Insecure: true}}, nil, Selection{BackendAPI, BackendAPICache}, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]request{
		"kube-api/new":          {"/api/v1/namespaces/default", "Bearer secret", "HTTP/1.1"},
		"kube-api/reused":       {"/api/v1/namespaces/default", "Bearer secret", "HTTP/2.0"},
		"kube-api-cache/new":    {"/api/v1/namespaces/default?resourceVersion=0", "Bearer secret", "HTTP/1.1"},
		"kube-api-cache/reused": {"/api/v1/namespaces/default?resourceVersion=0", "Bearer secret", "HTTP/2.0"},
	}
	if len(backends) != len(want) {
		t.Fatalf("%d backends", len(backends))
	}
	for _, b := range backends {
		if p := probe(t, b.Prober); p.Class != OK || p.Server != "example.com" || p.TLS == 0 || p.FirstByte < p.TLS {
			t.Errorf("%s: %+v", b.key(), p)
		}
		b.Prober.Close()
		if got := <-requests; got != want[b.key()] {
			t.Errorf("%s sent %+v, want %+v", b.key(), got, want[b.key()])
		}
	}
}

func TestDNSClasses(t *testing.T) {
	name := dnsmessage.MustNewName(DNSName)
	address := dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET},
		Body:   &dnsmessage.AResource{A: [4]byte{10, 96, 0, 1}},
	}
	alias := dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: name, Type: dnsmessage.TypeCNAME, Class: dnsmessage.ClassINET},
		Body:   &dnsmessage.CNAMEResource{CNAME: name},
	}
	reply := func(code dnsmessage.RCode, answers ...dnsmessage.Resource) func(dnsmessage.Message) []dnsmessage.Message {
		return func(q dnsmessage.Message) []dnsmessage.Message {
			return []dnsmessage.Message{{Header: dnsmessage.Header{ID: q.ID, Response: true, RCode: code}, Questions: q.Questions, Answers: answers}}
		}
	}
	for _, test := range []struct {
		name   string
		answer func(dnsmessage.Message) []dnsmessage.Message
		want   Class
	}{
		{"address", reply(dnsmessage.RCodeSuccess, alias, address), OK},
		{"server failure", reply(dnsmessage.RCodeServerFailure), DNS},
		{"no such name", reply(dnsmessage.RCodeNameError), DNS},
		{"no address", reply(dnsmessage.RCodeSuccess, alias), DNS},
		{"lost", func(dnsmessage.Message) []dnsmessage.Message { return nil }, Timeout},
		{"answers to others come first", func(q dnsmessage.Message) []dnsmessage.Message {
			other := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID + 1, Response: true, RCode: dnsmessage.RCodeRefused}}
			return append([]dnsmessage.Message{q, other}, reply(dnsmessage.RCodeSuccess, address)(q)...)
		}, OK},
	} {
		t.Run(test.name, func(t *testing.T) {
			prober, err := DNSQuery(serveDNS(t, test.answer), DNSName)
			if err != nil {
				t.Fatal(err)
			}
			ask := probe
			if test.want == Timeout {
				ask = unanswered
			}
			if p := ask(t, prober); p.Class != test.want {
				t.Errorf("class %v (%s), want %v", p.Class, p.Detail, test.want)
			}
		})
	}
	gone, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	prober, err := DNSQuery(gone.LocalAddr().String(), DNSName)
	if err != nil {
		t.Fatal(err)
	}
	if p := probe(t, prober); p.Class != Refused {
		t.Errorf("a closed port gave %v (%s)", p.Class, p.Detail)
	}
}

func serveDNS(t *testing.T, answer func(dnsmessage.Message) []dnsmessage.Message) string {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := socket.ReadFrom(buf)
			if err != nil {
				return
			}
			var query dnsmessage.Message
			if query.Unpack(buf[:n]) != nil {
				continue
			}
			for _, m := range answer(query) {
				if packet, err := m.Pack(); err == nil {
					_, _ = socket.WriteTo(packet, from)
				}
			}
		}
	}()
	return socket.LocalAddr().String()
}

func FuzzDNSAnswer(f *testing.F) {
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, Response: true}}
	packet, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packet)
	f.Add([]byte{0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 0xc0, 0x0c})
	f.Fuzz(func(t *testing.T, packet []byte) {
		if _, mine, err := parseAnswer(packet, 7); err != nil && !mine {
			t.Errorf("a packet that is not ours gave %v", err)
		}
	})
}
