package rollout

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"github.com/slipway-release/slipway/internal/clock"
)

const (
	firstPause = 200 * time.Millisecond
	longPause  = 10 * time.Second
	// settlingTime is how long an error may last that is final in a settled
	// cluster, but not in one that has just started or has just been taught a
	// new kind: a kind or a namespace that is not there, missing rights.
	settlingTime = 30 * time.Second
)

// retrier repeats a request until it succeeds, fails for good, or ctx or the
// time is over.
type retrier struct {
	timeout time.Duration
	// failed is told every error that is followed by another attempt.
	failed func(error)
}

func (r retrier) do(ctx context.Context, request func(context.Context) error) error {
	begin, pause := time.Now(), firstPause
	for {
		err := request(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		left := r.timeout - time.Since(begin)
		if settling(err) {
			left = min(left, settlingTime-time.Since(begin))
		} else if !transient(err) {
			return err
		}
		wait := pause + rand.N(pause/2)
		if seconds, ok := apierrors.SuggestsClientDelay(err); ok {
			wait = max(wait, time.Duration(seconds)*time.Second)
		}
		if wait > left {
			return fmt.Errorf("%w (repeated for %s)", err, time.Since(begin).Round(time.Second))
		}
		if r.failed != nil {
			r.failed(err)
		}
		if err := clock.Sleep(ctx, wait); err != nil {
			return err
		}
		pause = min(2*pause, longPause)
	}
}

// transient tells errors of an API server that is starting, stopping, loaded or
// out of reach from those that another attempt would meet again.
func transient(err error) bool {
	switch {
	case apierrors.IsServerTimeout(err), apierrors.IsTimeout(err), apierrors.IsTooManyRequests(err),
		apierrors.IsServiceUnavailable(err), apierrors.IsInternalError(err), apierrors.IsConflict(err),
		apierrors.IsUnexpectedServerError(err):
		return true
	case utilnet.IsConnectionReset(err), utilnet.IsConnectionRefused(err), utilnet.IsHTTP2ConnectionLost(err),
		utilnet.IsProbableEOF(err), utilnet.IsTimeout(err), errors.Is(err, io.ErrUnexpectedEOF):
		return true
	}
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return false
	}
	// The context of the whole was looked at before: this one is a request's own.
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var network net.Error
	return errors.As(err, &network)
}

func settling(err error) bool {
	return meta.IsNoMatchError(err) || apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err)
}
