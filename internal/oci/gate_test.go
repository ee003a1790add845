package oci_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/internal/oci"
	. "github.com/slipway-release/slipway/internal/oci/ocitest"
)

// crowd refuses requests that come while as many as it bears are under way. It notes
// how many there were at a time.
type crowd struct {
	mu       sync.Mutex
	bears    int
	together int           // how many are waited for, before the first of them is answered
	met      chan struct{} // closed when they have come; nil when nobody is waited for
	under    int
	most     int // at a time, refused ones included
	refused  int
}

// gather holds what comes from now on until n requests are under way, for on a busy
// host what was sent at once does not arrive so.
func (c *crowd) gather(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.together, c.met = n, make(chan struct{})
}

func (c *crowd) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	c.mu.Lock()
	c.under++
	c.most = max(c.most, c.under)
	full := c.bears > 0 && c.under > c.bears
	if full {
		c.refused++
	}
	met := c.met
	if met != nil && c.under >= c.together {
		close(met)
		c.met = nil
	}
	c.mu.Unlock()
	if met == nil {
		time.Sleep(20 * time.Millisecond)
	} else {
		select {
		case <-met:
		case <-time.After(15 * time.Second): // what is asserted then fails
		}
	}
	// A request is over before its answer can have come, lest one that was sent because
	// of the answer seems to be beside it.
	c.mu.Lock()
	c.under--
	c.mu.Unlock()
	if full {
		Status(http.StatusTooManyRequests)(w, r, next)
	} else {
		next.ServeHTTP(w, r)
	}
}

// reset begins to count anew, and says what was counted.
func (c *crowd) reset(bears int) (most, refused int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	most, refused = c.most, c.refused
	c.bears, c.most, c.refused = bears, 0, 0
	return most, refused
}

// pushMany stores images under a0, a1, … and returns how they are resolved, all at
// once.
func pushMany(t *testing.T, s *Server, n int) func(*oci.Registry) error {
	t.Helper()
	r := client(t, s.Addr())
	for i := range n {
		if _, err := r.Push(t.Context(), fmt.Sprintf("%s/a%d:v1", canonical, i), newImage(t, 100)); err != nil {
			t.Fatal(err)
		}
	}
	return func(r *oci.Registry) error {
		var all errgroup.Group
		for i := range n {
			all.Go(func() error {
				_, err := r.Resolve(t.Context(), fmt.Sprintf("%s/a%d:v1", canonical, i))
				return err
			})
		}
		return all.Wait()
	}
}

// TestCrowdShrinksAndRecovers asks far more at a time than the registry bears.
func TestCrowdShrinksAndRecovers(t *testing.T) {
	const many = 24
	s := Registry(t)
	resolveAll := pushMany(t, s, many)
	r := client(t, s.Addr(), oci.WithPatience(6, 20*time.Millisecond, time.Second, time.Minute))
	if err := resolveAll(r); err != nil { // so that the client has all permissions
		t.Fatal(err)
	}
	c := &crowd{bears: 3}
	c.gather(many)
	s.Inject(Fault{On: Match{Method: "HEAD", Kind: Tag}, Do: c.serve})
	if err := resolveAll(r); err != nil {
		t.Fatal(err)
	}
	// The first burst is refused before anybody knows; what follows is halved time and
	// again, and those that were refused are not all asked again at once.
	if _, refused := c.reset(3); refused < many-3 || refused > 2*many {
		t.Errorf("%d of %d requests were refused", refused, many)
	}
	if err := resolveAll(r); err != nil {
		t.Fatal(err)
	}
	if most, refused := c.reset(0); most > 8 || refused > 8 {
		t.Errorf("after it had been told, it asked %d at a time; %d were refused", most, refused)
	}
	for range 20 {
		if err := resolveAll(r); err != nil {
			t.Fatal(err)
		}
	}
	c.gather(many)
	if err := resolveAll(r); err != nil {
		t.Fatal(err)
	}
	if most, _ := c.reset(0); most < many {
		t.Errorf("when the registry bore all, it asked %d at a time", most)
	}
}

// TestAllWaitTogether refuses one request, and looks at when others come: of the
// same client, of another one, uploads.
func TestAllWaitTogether(t *testing.T) {
	s := Registry(t)
	pushMany(t, s, 2)
	r := client(t, s.Addr())
	s.Forget()
	s.Inject(Fault{On: Match{Method: "HEAD", Path: "/a0/"}, Times: 1, Do: RetryAfter(429, 3)})
	var all errgroup.Group
	all.Go(func() error {
		_, err := r.Resolve(t.Context(), canonical+"/a0:v1")
		return err
	})
	await(t, func() bool { return oci.GateClosed(s.Addr()) })
	refused := s.Requests(Match{Method: "HEAD", Path: "/a0/"})[0].Begun
	other := client(t, s.Addr())
	all.Go(func() error {
		_, err := r.Resolve(t.Context(), canonical+"/a1:v1")
		return err
	})
	all.Go(func() error {
		_, err := other.Push(t.Context(), canonical+"/b:v1", newImage(t, 100))
		return err
	})
	ended, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := other.Resolve(ended, canonical+"/a1:v1")
	if time.Since(refused) < 3*time.Second && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a request whose time ends at the gate: %v", err)
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, q := range s.Requests(Match{}) {
		if wait := q.Begun.Sub(refused); wait > 0 && wait < 3*time.Second {
			t.Errorf("%s %s came %s after the registry had asked for 3 s", q.Method, q.Path, wait)
		}
	}
}

// TestOtherHostsDoNotWait has one registry refuse and another one not.
func TestOtherHostsDoNotWait(t *testing.T) {
	slow, quick := Registry(t), Registry(t)
	pushMany(t, slow, 1)
	pushMany(t, quick, 1)
	slow.Forget()
	slow.Inject(Fault{On: Match{Method: "HEAD", Path: "/a0/"}, Times: 1, Do: RetryAfter(429, 3)})
	begun := time.Now()
	var all errgroup.Group
	all.Go(func() error {
		_, err := client(t, slow.Addr()).Resolve(t.Context(), canonical+"/a0:v1")
		return err
	})
	asked := Match{Method: "HEAD", Path: "/a0/"}
	await(t, func() bool { return len(slow.Requests(asked)) > 0 })
	if _, err := client(t, quick.Addr()).Resolve(t.Context(), canonical+"/a0:v1"); err != nil {
		t.Fatal(err)
	}
	if n := len(slow.Requests(asked)); n > 1 && time.Since(begun) < 3*time.Second {
		t.Errorf("the other registry was asked again before: %d times", n)
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
}

// TestCopyWithinACrowdedHost reads blobs from the host that they are sent to, cut in
// mid-read, when it bears one request at a time.
func TestCopyWithinACrowdedHost(t *testing.T) {
	s := Registry(t)
	r := client(t, s.Addr())
	img := newImage(t, 3<<20, 0)
	if _, err := r.Push(t.Context(), canonical+"/from:v1", img); err != nil {
		t.Fatal(err)
	}
	s.Inject(
		Fault{On: Match{Method: "HEAD"}, Times: 4, Do: Status(429)},
		Fault{On: Match{Method: "GET", Kind: Blob}, Times: 3, Do: CutAfter(1 << 20)},
	)
	read, err := r.Image(t.Context(), canonical+"/from:v1")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := r.Push(ctx, canonical+"/to:v1", read); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Resolve(t.Context(), canonical+"/to:v1"); err != nil || got.String() != digestOf(t, img) {
		t.Errorf("%s, %v", got, err)
	}
}

// TestNeverRecovers has a registry refuse everybody for ever: many find that out as
// soon as one does.
func TestNeverRecovers(t *testing.T) {
	s := Registry(t)
	resolveAll := pushMany(t, s, 16)
	s.Inject(Fault{On: Match{Method: "HEAD GET", Kind: Tag}, Do: Status(429)})
	r := client(t, s.Addr(), oci.WithPatience(4, 400*time.Millisecond, 4*time.Second, time.Minute))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun := time.Now()
	failed := make(chan error, 16)
	for i := range 16 {
		go func() {
			_, err := r.Resolve(ctx, fmt.Sprintf("%s/a%d:v1", canonical, i))
			failed <- err
		}()
	}
	err := <-failed
	if took := time.Since(begun); took > 40*time.Second { // one after the other they take longer
		t.Errorf("it took %s", took)
	}
	oneSentence(t, err, "429", "try again later")
	cancel()
	for range 15 {
		<-failed
	}
	s.Heal()
	if err := resolveAll(client(t, s.Addr())); err != nil {
		t.Errorf("after it recovered: %v", err)
	}
}

func await(t *testing.T, so func() bool) {
	t.Helper()
	for begun := time.Now(); !so(); time.Sleep(time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatal("it did not come to that")
		}
	}
}
