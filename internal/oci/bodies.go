package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/clock"
)

// bufferedAnswer is the size up to which an answer is read whole before it is
// handed on, in bytes. It bounds memory to a few of these per transfer.
const bufferedAnswer = 4 << 20

// bufferedBlob is the same for blobs, of which more are under way at a time, and
// which can be carried on where they broke off.
const bufferedBlob = 1 << 20

// buffered replaces the body of a short answer by its bytes. An answer that
// turns out longer keeps its stream behind what was read of it. Bytes that are
// not what the request named by digest are an ErrDamaged, so that they can be
// asked for once more.
func buffered(req *http.Request, resp *http.Response) (*http.Response, error) {
	data, err := readShort(resp)
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	if len(data) > bufferedAnswer {
		resp.Body = &joined{Reader: io.MultiReader(bytes.NewReader(data), resp.Body), Closer: resp.Body}
		return resp, nil
	}
	resp.Body.Close()
	if want, err := v1.NewHash(path.Base(req.URL.Path)); err == nil && (isBlob(req) || isManifest(req)) && !hasDigest(data, want) {
		return nil, &damagedError{fmt.Sprintf("the bytes of %s do not have this digest", want)}
	}
	resp.Body = io.NopCloser(bytes.NewReader(data))
	return resp, nil
}

// readShort reads an answer, or a little more than bufferedAnswer of it.
func readShort(resp *http.Response) ([]byte, error) {
	if n := resp.ContentLength; n >= 0 && n <= bufferedAnswer {
		data := make([]byte, n)
		_, err := io.ReadFull(resp.Body, data)
		return data, err
	}
	return io.ReadAll(io.LimitReader(resp.Body, bufferedAnswer+1))
}

type joined struct {
	io.Reader
	io.Closer
}

// resuming is the body of a blob. When the connection breaks, it asks for the
// rest of the blob and carries on. A blob never changes under its digest, and
// whoever reads it checks that digest, so parts of two answers fit together.
type resuming struct {
	transport *retrying
	request   *http.Request
	body      io.ReadCloser
	offset    int64
	broken    int // times in a row without progress
}

func newResuming(t *retrying, req *http.Request, resp *http.Response) *resuming {
	return &resuming{transport: t, request: req, body: resp.Body}
}

// Read implements io.Reader.
func (r *resuming) Read(p []byte) (int, error) {
	for {
		n, err := r.body.Read(p)
		r.offset += int64(n)
		if n > 0 {
			r.broken = 0
		}
		if err == nil || err == io.EOF || n > 0 {
			if err != io.EOF {
				err = nil // a failure comes back with the next Read
			}
			return n, err
		}
		if err := r.resume(err); err != nil {
			return 0, err
		}
	}
}

// resume replaces the body by one that goes on at offset, or returns why not.
func (r *resuming) resume(broke error) error {
	ctx := r.request.Context()
	r.broken++
	if ctx.Err() != nil || !transient(broke) || r.broken >= r.transport.patience.attempts {
		return broke
	}
	r.body.Close()
	r.body = http.NoBody
	if err := clock.Sleep(ctx, r.transport.patience.before(r.broken+1, 0)); err != nil {
		return err
	}
	req := r.request.Clone(ctx)
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-", r.offset))
	p, err := gateOf(req.URL.Host).beside(ctx)
	if err != nil {
		return err
	}
	resp, err := r.transport.inner.RoundTrip(req)
	p.tell(r.transport.patience, r.broken, resp, err)
	if err == nil && r.transport.renew != nil && (resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden) {
		discard(resp)
		resp, err = r.transport.renew(req)
	}
	if err != nil {
		r.body = failing{err}
		return nil
	}
	switch {
	case resp.StatusCode == http.StatusPartialContent && startsAt(resp, r.offset):
		r.body = resp.Body
	case resp.StatusCode == http.StatusOK:
		// The server does not do ranges; what is known is read once more.
		if _, err := io.CopyN(io.Discard, resp.Body, r.offset); err != nil {
			resp.Body.Close()
			r.body = failing{err}
			return nil
		}
		r.body = resp.Body
	default:
		discard(resp)
		if !transientStatus(resp.StatusCode) {
			return broke
		}
		r.body = failing{fmt.Errorf("%w, and asking for the rest got %s", broke, resp.Status)}
	}
	return nil
}

func startsAt(resp *http.Response, offset int64) bool {
	var first int64
	_, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-", &first)
	return err == nil && first == offset
}

// Close implements io.Closer.
func (r *resuming) Close() error { return r.body.Close() }

// failing is a body that could not be had.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
func (f failing) Close() error             { return nil }

// errStalled is the cause of a request that was given up because nothing moved.
var errStalled = errors.New("no data moved")

// impatient gives up a request when no byte moves for the idle time. A bound on
// the whole request would cut large layers on slow lines.
type impatient struct {
	inner http.RoundTripper
	idle  time.Duration
}

var _ http.RoundTripper = (*impatient)(nil)

// RoundTrip implements http.RoundTripper.
func (t *impatient) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	watch := &watchdog{idle: t.idle, ctx: ctx, cancel: cancel}
	watch.timer = time.AfterFunc(t.idle, func() { cancel(errStalled) })

	try := req.WithContext(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		try.Body = &watchedUpload{ReadCloser: req.Body, watch: watch}
		if get := req.GetBody; get != nil {
			try.GetBody = func() (io.ReadCloser, error) {
				body, err := get()
				return &watchedUpload{ReadCloser: body, watch: watch}, err
			}
		}
	}
	resp, err := t.inner.RoundTrip(try)
	watch.timer.Stop()
	if err != nil {
		err = watch.explain(err)
		cancel(nil)
		return nil, err
	}
	resp.Body = &watchedAnswer{ReadCloser: resp.Body, watch: watch}
	return resp, nil
}

// watchdog cancels a request that stands still. It lives as long as the
// request, which is the only reason why it may keep a context.
type watchdog struct {
	idle   time.Duration
	timer  *time.Timer
	ctx    context.Context
	cancel context.CancelCauseFunc
}

func (w *watchdog) explain(err error) error {
	if err != nil && err != io.EOF && errors.Is(context.Cause(w.ctx), errStalled) {
		return fmt.Errorf("%w for %s", errStalled, w.idle)
	}
	return err
}

// watchedUpload is a request's body. The time its source takes does not count,
// the time until the network takes more does.
type watchedUpload struct {
	io.ReadCloser
	watch *watchdog
}

func (b *watchedUpload) Read(p []byte) (int, error) {
	b.watch.timer.Stop()
	n, err := b.ReadCloser.Read(p)
	b.watch.timer.Reset(b.watch.idle)
	return n, err
}

// watchedAnswer is a response's body. The clock runs while somebody waits for
// data, not while they work on what they got.
type watchedAnswer struct {
	io.ReadCloser
	watch *watchdog
}

func (b *watchedAnswer) Read(p []byte) (int, error) {
	b.watch.timer.Reset(b.watch.idle)
	n, err := b.ReadCloser.Read(p)
	b.watch.timer.Stop()
	return n, b.watch.explain(err)
}

func (b *watchedAnswer) Close() error {
	b.watch.timer.Stop()
	err := b.ReadCloser.Close()
	b.watch.cancel(nil)
	return err
}
