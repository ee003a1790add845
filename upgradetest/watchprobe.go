package upgradetest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// watchProber watches the ConfigMaps of a writer. A probe is answered when the
// watch is open and has shown every number that was acknowledged before the probe
// began.
type watchProber struct {
	link[*bodyStream]
	writer *writeProber

	mu      sync.Mutex
	version string // the last resourceVersion that was seen; empty before the first
	gap     bool   // the watch cannot be resumed: what is there must be listed
}

func newWatchProber(w *writeProber) *watchProber {
	p := &watchProber{writer: w}
	p.link.open = p.begin
	return p
}

// Probe implements Prober.
func (w *watchProber) Probe(ctx context.Context, p *Probe) {
	acks := w.writer.seq.upTo()
	// An API server may end a watch whenever it likes; the client goes on from the
	// version it has seen.
	w.link.probe(ctx, p, true, func(ctx context.Context, s *bodyStream) error {
		for {
			ok, changed := w.writer.seq.allShown(acks)
			if ok && s.failure() == nil && !isDone(s.done) {
				return nil
			}
			select {
			case <-changed: // nil when all is shown and the stream has ended
			case <-s.done:
				return errEnded
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	if p.Class == Timeout && w.writer.seq.giveUp(min(acks, w.writer.seq.passed())) > 0 {
		p.Class, p.Detail = Lost, "the watch went on without an acknowledged write"
	}
}

func isDone(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// begin opens the watch where the last one ended.
func (w *watchProber) begin(ctx context.Context, p *Probe) (*bodyStream, error) {
	w.mu.Lock()
	version := w.version
	w.mu.Unlock()
	if version == "" {
		var err error
		if version, err = w.now(ctx); err != nil {
			return nil, err
		}
	}
	u := *w.writer.url
	u.Path = w.writer.collection()
	u.RawQuery = url.Values{
		"watch": {"1"}, "allowWatchBookmarks": {"true"}, "resourceVersion": {version},
		"labelSelector": {sequenceLabel + "=" + w.writer.name},
	}.Encode()
	return openBody(ctx, w.writer.target, w.writer.rt, &u, p, w.read)
}

// now is the version of the collection, at the beginning or after a gap.
func (w *watchProber) now(ctx context.Context) (string, error) {
	body, err := w.writer.fetchOnce(ctx, w.writer.listPath())
	if err != nil {
		return "", err
	}
	there, version, err := parseNumbers(body)
	if err != nil {
		return "", err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writer.seq.list(there, w.gap)
	w.version, w.gap = version, false
	return version, nil
}

var errWatch = errors.New("the watch ended with an error")

func (w *watchProber) read(in io.Reader) error {
	d := json.NewDecoder(in)
	for {
		var event struct {
			Type   string          `json:"type"`
			Object json.RawMessage `json:"object"`
		}
		if err := d.Decode(&event); err != nil {
			return err
		}
		if event.Type == "ERROR" {
			w.failed(event.Object)
			return errWatch
		}
		var m configMap
		if err := json.Unmarshal(event.Object, &m); err != nil {
			return err
		}
		w.mu.Lock()
		w.version = m.Metadata.ResourceVersion
		w.mu.Unlock()
		if event.Type != "ADDED" && event.Type != "MODIFIED" {
			continue // bookmarks; nothing is deleted before the end
		}
		if n, err := strconv.ParseInt(m.Data[lastNumber], 10, 64); err == nil {
			w.writer.seq.show(n)
		}
	}
}

// failed looks why the server gave the watch up. After 410 Gone there is a gap, as
// after the restart of an API server that holds nothing from before.
func (w *watchProber) failed(object json.RawMessage) {
	var status struct {
		Code int `json:"code"`
	}
	if json.Unmarshal(object, &status) == nil && status.Code == http.StatusGone {
		w.mu.Lock()
		w.version, w.gap = "", true
		w.mu.Unlock()
	}
}

// settle implements keeper. The watch is kept open as long as something is due.
func (w *watchProber) settle(ctx context.Context) Ledger {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			step, stop := context.WithTimeout(ctx, DefaultTimeout)
			p := Probe{Begin: time.Now()}
			w.Probe(step, &p)
			stop()
			if p.Class == OK || sleepUntil(ctx, time.Now().Add(100*time.Millisecond)) != nil {
				return
			}
		}
	}()
	return w.writer.seq.watched(ctx)
}

// Close implements Prober.
func (w *watchProber) Close() { w.link.close() }
