package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/channels"
	"github.com/slipway-release/slipway/release/releasetest"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/streams"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

// issue returns a certificate for 127.0.0.1 and its key, as PEM.
func (a *authority) issue(t *testing.T, serial int64) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "updates"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

// ask makes a request on a connection of its own, and returns what was answered and the
// serial number of the server's certificate.
func (a *authority) ask(t *testing.T, url string, versions ...uint16) (body string, serial int64, err error) {
	t.Helper()
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AddCert(a.cert)
	if len(versions) > 0 {
		config.MinVersion, config.MaxVersion = versions[0], versions[0]
	}
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, data)
	}
	return string(data), resp.TLS.PeerCertificates[0].SerialNumber.Int64(), err
}

// A server with a certificate is believed by those who know its authority and by nobody
// else, and goes over to a new certificate without a restart; while that is half written,
// it keeps the old one.
func TestServeTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	graph, certFile, keyFile := filepath.Join(dir, "graph.json"), filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	trusted := newAuthority(t)
	cert, key := trusted.issue(t, 100)
	writeBeside(t, graph, fmt.Sprintf(servedGraph, ""))
	writeBeside(t, certFile, cert)
	writeBeside(t, keyFile, key)
	s := startServe(t, "--graph-file", graph, "--state-dir", filepath.Join(dir, "state"), "--tls-cert", certFile, "--tls-key", keyFile)
	url := "https://" + s.address + "/graph?channel=stable"
	until := func(serial int64) {
		t.Helper()
		var got int64
		var body string
		var err error
		for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if body, got, err = trusted.ask(t, url); err == nil && got == serial {
				if !strings.Contains(body, "1.36.1") {
					t.Errorf("the graph is %s", body)
				}
				return
			}
		}
		t.Fatalf("certificate %d is shown, want %d: %v\n%s", got, serial, err, s.said())
	}
	until(100)
	if _, _, err := newAuthority(t).ask(t, url); err == nil || !strings.Contains(err.Error(), "certificate signed by unknown authority") {
		t.Errorf("a client that knows another authority: %v", err)
	}
	if _, _, err := trusted.ask(t, url, tls.VersionTLS11); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	if code, body := s.get(t, "/graph?channel=stable"); code != http.StatusBadRequest || strings.Contains(body, "1.36.1") {
		t.Errorf("in the clear: %d %s", code, body)
	}

	cert, key = trusted.issue(t, 200)
	writeBeside(t, certFile, cert)
	for end := time.Now().Add(12 * time.Second); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		if _, serial, err := trusted.ask(t, url); err != nil || serial != 100 {
			t.Fatalf("while the key is the old one: certificate %d, %v", serial, err)
		}
	}
	writeBeside(t, keyFile, key)
	until(200)
}

// A server with the registry of the state directory offers what others promote there. It
// needs no key: pages believe nobody until there is one.
func TestServeWithRegistry(t *testing.T) {
	t.Parallel()
	stateDir := t.TempDir()
	made, err := makeToken("jo", []string{"refresh"}, "")
	if err != nil {
		t.Fatal(err)
	}
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte(made.Line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServe(t, "--with-registry", "--registry-address", "127.0.0.1:0", "--state-dir", stateDir, "--distro", cheapDistro(t), "--watch", "50ms", "--drain", "10ms", "--tokens", tokens)
	s.until(t, "/readyz", http.StatusOK, `"ready":true`)
	_, address, _ := strings.Cut(s.said(), "address=")
	address, _, _ = strings.Cut(address, "\n")

	const repository = "registry.slipway.internal/skiff"
	registry, err := oci.NewRegistry(repository, address)
	if err != nil {
		t.Fatal(err)
	}
	v, err := release.Parse("1.36.3-0.nightly-2026-11-20-101500")
	if err != nil {
		t.Fatal(err)
	}
	store := channels.Store{Registry: registry, Repository: repository}
	if _, err := store.Promote(t.Context(), "candidate", channels.Addition{Version: v, PullSpec: repository + "/release@sha256:" + strings.Repeat("1", 64)}, time.Now()); err != nil {
		t.Fatalf("the registry at %q: %v\n%s", address, err, s.said())
	}
	s.until(t, "/graph?channel=candidate", http.StatusOK, v.String())
	if _, err := os.Stat(filepath.Join(stateDir, "store", "registry", "docker")); err != nil {
		t.Errorf("it is not the state directory's registry: %v", err)
	}
	s.until(t, "/metrics", http.StatusOK, `slipway_releases_payloads{phase="Accepted",stream="nightly"} 0`)

	img := releasetest.Small(v.String()).Image(t)
	digest, err := registry.Push(t.Context(), repository+"/release:"+v.Tag(), img)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := sign.LoadOrCreateKey(filepath.Join(t.TempDir(), "keys"), "")
	if err != nil {
		t.Fatal(err)
	}
	decide := func(signer *sign.Signer) {
		t.Helper()
		verdict := streams.Verdict{Verdict: streams.Accepted}
		if _, err := signer.Attest(t.Context(), registry, repository+"/release@"+digest.String(), sign.PredicateDecision, verdict); err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.address+"/-/refresh", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+made.Token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status)
		}
	}
	decide(signer) // by a stranger
	page := "/releasestream/nightly/release/" + v.String()
	s.until(t, page, http.StatusOK, "trusted: nobody")
	if signer, err = sign.LoadOrCreateKey(filepath.Join(stateDir, "keys"), ""); err != nil {
		t.Fatal(err)
	}
	decide(signer)
	s.until(t, "/api/v1/releasestreams/accepted", http.StatusOK, v.String())

	// The two ways to say which registry is meant exclude each other.
	if _, errs, code := slipway(t, stateDir, "serve", "--with-registry", "--registry", address); code != exitUsage || !strings.Contains(errs, "leave out one of them") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
