package oci

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/slipway-release/slipway/internal/clock"
)

// patience bounds how often and how long a request is tried.
type patience struct {
	attempts int
	pause    time.Duration // before the second attempt; doubles from then on
	limit    time.Duration // of one pause
	idle     time.Duration // without a byte moving
}

// before returns how long to wait before attempt n (the second one is 2). The
// jitter keeps clients that failed together from coming back together.
func (p patience) before(n int, asked time.Duration) time.Duration {
	wait := p.pause << min(n-2, 20)
	if wait > p.limit || wait <= 0 {
		wait = p.limit
	}
	wait = wait/2 + rand.N(wait/2+1)
	return max(wait, min(asked, p.limit))
}

// tries returns how often a request is sent that a host refused. One that says when
// to come back is there and will serve: which request it refuses again is chance, so
// that a single one may meet all refusals of a busy minute.
func (p patience) tries(asked time.Duration) int {
	if asked > 0 {
		return 3 * p.attempts
	}
	return p.attempts
}

// exhaustedError is a failure of the network that outlasted all attempts.
type exhaustedError struct {
	attempts int
	err      error
}

func (e *exhaustedError) Error() string { return fmt.Sprintf("%v (tried %d times)", e.err, e.attempts) }
func (e *exhaustedError) Unwrap() error { return e.err }

// hintKey finds a *hint in a request's context. Through it the transport tells
// whoever repeats a whole upload what a response asked for: the library that
// stands between the two hands on no headers.
type hintKey struct{}

type hint struct{ retryAfter time.Duration }

func newBaseTransport(s *settings) http.RoundTripper {
	base, ok := remote.DefaultTransport.(*http.Transport)
	if !ok {
		return remote.DefaultTransport
	}
	t := base.Clone()
	// Left alone, the transport unpacks a layer that a server sent with
	// Content-Encoding gzip, and its digest no longer fits.
	t.DisableCompression = true
	if s.insecure || s.trusted != nil {
		t.TLSClientConfig = &tls.Config{RootCAs: s.trusted, InsecureSkipVerify: s.insecure} //nolint:gosec // asked for by WithInsecure
	}
	return t
}

// retrying repeats requests that failed in a way that may pass, if repeating
// them is harmless, and carries on a blob that broke off where it broke off.
type retrying struct {
	inner    http.RoundTripper
	patience patience
	// renew repeats a request for a blob whose permission has run out; may be nil.
	renew func(*http.Request) (*http.Response, error)
}

var _ http.RoundTripper = (*retrying)(nil)

// RoundTrip implements http.RoundTripper.
func (t *retrying) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	for attempt := 1; ; attempt++ {
		resp, err := t.paced(req, attempt)
		asked, again := judge(resp, err)
		if h, ok := ctx.Value(hintKey{}).(*hint); ok && asked > 0 {
			h.retryAfter = asked
		}
		if !again || !repeatable(req) || ctx.Err() != nil {
			return resp, err
		}
		if attempt >= t.patience.tries(asked) {
			if err != nil && attempt > 1 {
				err = &exhaustedError{attempts: attempt, err: err}
			}
			return resp, err
		}
		discard(resp)
		if tooMany(resp) {
			continue // the gate keeps it as long as it must wait
		}
		if err := clock.Sleep(ctx, t.patience.before(attempt+1, asked)); err != nil {
			return nil, err
		}
	}
}

// paced sends the request when the host's gate lets it pass, and tells the gate
// when the host finds that there are too many.
func (t *retrying) paced(req *http.Request, attempt int) (*http.Response, error) {
	ctx := req.Context()
	gate := gateOf(req.URL.Host)
	var p pass
	var err error
	if repeatable(req) {
		p, err = gate.enter(ctx, attempt)
	} else {
		p, err = gate.beside(ctx)
	}
	if err != nil {
		return nil, err
	}
	resp, err := t.once(req, attempt)
	p.tell(t.patience, attempt, resp, err)
	return resp, err
}

// tell gives a pass back with what came of its request.
func (p pass) tell(patience patience, attempt int, resp *http.Response, err error) {
	asked, _ := judge(resp, err)
	switch {
	case err != nil:
		p.failed()
	case tooMany(resp):
		p.refused(patience.before(attempt+1, asked))
	default:
		p.answered()
	}
}

// tooMany says whether an answer is about the number of requests, and not about this
// one.
func tooMany(resp *http.Response) bool {
	return resp != nil && (resp.StatusCode == http.StatusTooManyRequests ||
		resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "")
}

// once sends the request, and reads a short answer to its end, so that one that
// breaks off counts as failed here, where it can still be repeated.
func (t *retrying) once(req *http.Request, attempt int) (*http.Response, error) {
	try := req
	if attempt > 1 {
		try = req.Clone(req.Context())
	}
	if req.Body != nil && req.GetBody != nil {
		// The first attempt here may be another one above: when a token has expired,
		// the library renews it and sends the same request, its body read, again.
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		req.Body.Close()
		try = req.Clone(req.Context())
		try.Body = body
	}
	resp, err := t.inner.RoundTrip(try)
	if err != nil || req.Method != http.MethodGet || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	if isBlob(req) && (resp.ContentLength < 0 || resp.ContentLength > bufferedBlob) {
		resp.Body = newResuming(t, req, resp)
		return resp, nil
	}
	return buffered(req, resp)
}

// judge says whether a result may be better next time, and after what time the
// server wants to be asked again.
func judge(resp *http.Response, err error) (asked time.Duration, again bool) {
	if err != nil {
		return 0, transient(err)
	}
	if !transientStatus(resp.StatusCode) {
		return 0, false
	}
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		asked = retryAfter(resp.Header.Get("Retry-After"))
	}
	return asked, true
}

func transientStatus(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return code >= 500 || code == 499 // 499: a proxy that says its client went away
}

// transient says whether a failed exchange is worth another attempt. A server
// that speaks another protocol, has a bad certificate or an unknown name will
// not change its mind within seconds.
func transient(err error) bool {
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &certificate), errors.As(err, &record):
		return false
	case errors.As(err, &dns) && dns.IsNotFound:
		return false
	}
	return true
}

// repeatable says whether a request may be sent twice. The parts of an upload
// may not: the second would be appended to the first. The upload as a whole is
// repeated instead, see Registry.upload.
func repeatable(req *http.Request) bool {
	if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return false
	}
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodDelete, http.MethodOptions:
		return true
	case http.MethodPut:
		return strings.Contains(req.URL.Path, "/manifests/")
	case http.MethodPost:
		// Begins an upload, or asks for a token; an upload that nobody goes on
		// with is collected by the registry.
		return true
	}
	return false
}

func isBlob(req *http.Request) bool { return strings.Contains(req.URL.Path, "/blobs/") }

func isManifest(req *http.Request) bool { return strings.Contains(req.URL.Path, "/manifests/") }

// retryAfter reads the header's two forms, seconds and a date.
func retryAfter(value string) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil && seconds > 0 {
		return time.Duration(min(seconds, 24*3600)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}

// discard reads what is left of an answer, so that its connection can serve the
// next request.
func discard(resp *http.Response) {
	if resp == nil {
		return
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	resp.Body.Close()
}
