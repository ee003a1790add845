package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/internal/clock"
)

const (
	fetchAttempts = 6
	fetchIdle     = 60 * time.Second // without a byte, a transfer is dead
	fetchPause    = time.Second      // before the second attempt; it doubles
	maxPause      = time.Minute
	fetchJobs     = 8
)

// errGone says that an archive answered and does not have the file.
var errGone = errors.New("the archive does not have it")

// fetcher downloads Debian packages into the store.
type fetcher struct {
	store    *store
	client   *http.Client
	archives []string
	pause    time.Duration
}

func newFetcher(s *store, archives []string) *fetcher {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = fetchIdle
	transport.MaxIdleConnsPerHost = fetchJobs
	return &fetcher{store: s, client: &http.Client{Transport: transport}, archives: archives, pause: fetchPause}
}

func (s *store) debPath(p *DebPackage) string { return s.path("debs", p.SHA256+".deb") }

// all downloads what is not in the store yet.
func (f *fetcher) all(ctx context.Context, closure []DebPackage) error {
	if err := os.MkdirAll(f.store.path("debs"), 0o755); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(fetchJobs)
	for i := range closure {
		g.Go(func() error {
			if err := f.one(ctx, &closure[i]); err != nil {
				return fmt.Errorf("downloading debian package %s %s: %w", closure[i].Name, closure[i].Version, err)
			}
			return nil
		})
	}
	return g.Wait()
}

func (f *fetcher) one(ctx context.Context, p *DebPackage) error {
	if info, err := os.Stat(f.store.debPath(p)); err == nil && info.Size() == p.Size {
		return nil
	}
	for _, archive := range f.archives {
		address, err := url.JoinPath(archive, strings.Split(p.Path, "/")...)
		if err != nil {
			return err
		}
		err = f.patiently(ctx, address, p)
		if !errors.Is(err, errGone) {
			return err
		}
	}
	return &InputError{Input: "debian package " + p.Name, Locked: p.Version + " (" + p.Path + ")"}
}

// patiently tries an address until it answers for good.
func (f *fetcher) patiently(ctx context.Context, address string, p *DebPackage) error {
	pause := f.pause
	for attempt := 1; ; attempt++ {
		wait, err := f.attempt(ctx, address, p)
		var wrong *InputError
		if err == nil || errors.Is(err, errGone) || errors.As(err, &wrong) || ctx.Err() != nil || attempt == fetchAttempts {
			return err
		}
		if err := clock.Sleep(ctx, min(max(pause, wait), maxPause)); err != nil {
			return err
		}
		pause *= 2
	}
}

// attempt downloads once. The duration is what the server asks to wait.
func (f *fetcher) attempt(ctx context.Context, address string, p *DebPackage) (time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(fetchIdle, func() { cancel(fmt.Errorf("no data for %s", fetchIdle)) })
	defer idle.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone:
		return 0, errGone
	case resp.StatusCode != http.StatusOK:
		return retryAfter(resp), fmt.Errorf("%s answered %s", req.URL.Host, resp.Status)
	}
	return 0, f.save(&watched{resp.Body, idle}, p)
}

// watched restarts a timer with every byte that comes.
type watched struct {
	io.Reader
	timer *time.Timer
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	if n > 0 {
		w.timer.Reset(fetchIdle)
	}
	return n, err
}

// save verifies size and hash before the package gets its name.
func (f *fetcher) save(r io.Reader, p *DebPackage) error {
	tmp, err := os.CreateTemp(f.store.work, "deb-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(tmp, h), io.LimitReader(r, p.Size+1))
	if err != nil {
		return err
	}
	if n < p.Size {
		return io.ErrUnexpectedEOF
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != p.SHA256 {
		return &InputError{Input: "debian package " + p.Name + " " + p.Version, Locked: "sha256 " + p.SHA256, Found: "sha256 " + got}
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), filepath.Clean(f.store.debPath(p)))
}

// retryAfter reads the header of that name: seconds or a date.
func retryAfter(resp *http.Response) time.Duration {
	value := resp.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return time.Until(at)
	}
	return 0
}
