package upgradetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// sequenceLabel marks the ConfigMaps of one writer.
const sequenceLabel = "slipway.dev/upgrade-test-sequence"

// perMap is how many numbers one ConfigMap takes: objects stay small, and few.
const perMap = 50

// configMap is what is read and written of one.
type configMap struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind,omitempty"`
	Metadata   struct {
		Name            string            `json:"name,omitempty"`
		Labels          map[string]string `json:"labels,omitempty"`
		ResourceVersion string            `json:"resourceVersion,omitempty"`
	} `json:"metadata"`
	Data map[string]string `json:"data,omitempty"`
}

const lastNumber = "last"

// writeProber writes the numbers of a sequence as keys of ConfigMaps, one each
// time, and reads each back from etcd on the same connection.
type writeProber struct {
	*httpProber
	seq  *sequence
	name string // of the sequence, and what the names of its ConfigMaps begin with
}

func (w *writeProber) collection() string {
	return strings.TrimSuffix(w.url.Path, "/") + "/api/v1/namespaces/" + Namespace + "/configmaps"
}

// newWriter returns a prober for the API server of target.
func newWriteProber(connection string, target HTTPTarget, name string) (*writeProber, error) {
	p, err := HTTP(connection, target)
	if err != nil {
		return nil, err
	}
	w := &writeProber{httpProber: p.(*httpProber), seq: newSequence(), name: name}
	w.talk = w.write
	return w, nil
}

func (w *writeProber) write(ctx context.Context, send sender, p *Probe) error {
	n := w.seq.take()
	acknowledged := false
	defer func() {
		if !acknowledged {
			w.seq.fail()
		}
	}()
	key := strconv.FormatInt(n, 10)
	m := configMap{Data: map[string]string{key: "", lastNumber: key}}
	path := fmt.Sprintf("%s/%s-%d", w.collection(), w.name, n/perMap)
	err := w.upsert(ctx, send, path, m, fmt.Sprintf("%s-%d", w.name, n/perMap), p)
	if err != nil || p.Class != OK {
		return err
	}
	acknowledged = true
	w.seq.acknowledge(n)
	a, err := send(ctx, request{method: http.MethodGet, path: path})
	if err != nil || p.Class != OK {
		return err
	}
	var got configMap
	if err := json.Unmarshal(a.body, &got); err != nil {
		p.Class, p.Detail = Other, "the answer is no ConfigMap"
		return nil
	}
	if _, there := got.Data[key]; !there {
		p.Class, p.Detail = Lost, "an acknowledged write was not read back"
	}
	return nil
}

// upsert adds to the ConfigMap, or creates it: many writes may find none at once.
func (w *writeProber) upsert(ctx context.Context, send sender, path string, m configMap, name string, p *Probe) error {
	patch, err := json.Marshal(map[string]any{"data": m.Data})
	if err != nil {
		return err
	}
	update := request{method: http.MethodPatch, path: path, contentType: "application/merge-patch+json", body: patch}
	_, err = send(ctx, update)
	if err != nil || p.Status != http.StatusNotFound {
		return err
	}
	m.APIVersion, m.Kind = "v1", "ConfigMap"
	m.Metadata.Name, m.Metadata.Labels = name, map[string]string{sequenceLabel: w.name}
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = send(ctx, request{method: http.MethodPost, path: w.collection(), contentType: "application/json", body: body})
	if err != nil || p.Status != http.StatusConflict {
		return err
	}
	_, err = send(ctx, update)
	return err
}

// settle implements keeper.
func (w *writeProber) settle(ctx context.Context) Ledger {
	there, err := w.numbers(ctx)
	if err != nil {
		l := w.seq.written(nil)
		l.Missing, l.Numbers, l.Unverified = 0, nil, err.Error()
		return l
	}
	return w.seq.written(there)
}

// numbers reads all that is there, as often as it takes.
func (w *writeProber) numbers(ctx context.Context) (map[int64]bool, error) {
	body, err := w.fetch(ctx, w.listPath())
	if err != nil {
		return nil, err
	}
	there, _, err := parseNumbers(body)
	return there, err
}

func (w *writeProber) listPath() string {
	return w.collection() + "?labelSelector=" + url.QueryEscape(sequenceLabel+"="+w.name)
}

// parseNumbers reads a list of ConfigMaps.
func parseNumbers(body []byte) (there map[int64]bool, version string, err error) {
	var list struct {
		configMap
		Items []configMap `json:"items"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, "", fmt.Errorf("reading what was written: %w", err)
	}
	there = map[int64]bool{}
	for _, m := range list.Items {
		for key := range m.Data {
			if n, err := strconv.ParseInt(key, 10, 64); err == nil {
				there[n] = true
			}
		}
	}
	return there, list.Metadata.ResourceVersion, nil
}

// fetch is a GET outside of the measurement, tried until ctx ends.
func (h *httpProber) fetch(ctx context.Context, path string) ([]byte, error) {
	for {
		body, err := h.fetchOnce(ctx, path)
		if err == nil {
			return body, nil
		}
		if sleepUntil(ctx, time.Now().Add(250*time.Millisecond)) != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
	}
}

func (h *httpProber) fetchOnce(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestPeriod)
	defer cancel()
	p := Probe{Begin: time.Now()}
	c, err := dial(ctx, h.url, h.target.TLS, false, &p)
	if err != nil {
		return nil, err
	}
	defer c.close()
	req, err := http.NewRequestWithContext(context.WithValue(ctx, connKey{}, c), http.MethodGet, h.url.Scheme+"://"+h.url.Host+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := h.rt.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, statusError(resp.StatusCode)
	}
	return body.Bytes(), nil
}
