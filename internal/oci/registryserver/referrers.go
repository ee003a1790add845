package registryserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// maxManifest bounds the manifests that are looked into, in bytes; the registry
// itself refuses larger ones.
const maxManifest = 4 << 20

var (
	manifestURL  = regexp.MustCompile(`^/v2/(.+)/manifests/([^/]+)$`)
	referrersURL = regexp.MustCompile(`^/v2/(.+)/referrers/(sha256:[0-9a-f]{64})$`)
)

// referrersHandler adds the referrers of OCI 1.1 to a registry that has none.
// The list is the index under the tag sha256-<hex> which clients keep themselves
// where a registry does not: any other registry on the same data shows the same
// list. Kept here, under a lock, no entry is lost when many write at once.
type referrersHandler struct {
	next http.Handler
	mu   sync.Mutex
}

func newReferrersHandler(next http.Handler) *referrersHandler {
	return &referrersHandler{next: next}
}

// ServeHTTP implements http.Handler.
func (h *referrersHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if m := referrersURL.FindStringSubmatch(r.URL.Path); m != nil && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		h.list(w, r, m[1], m[2])
		return
	}
	if m := manifestURL.FindStringSubmatch(r.URL.Path); m != nil && r.Method == http.MethodPut {
		h.put(w, r, m[1])
		return
	}
	h.next.ServeHTTP(w, r)
}

func (h *referrersHandler) list(w http.ResponseWriter, r *http.Request, repo, subject string) {
	index, err := h.index(r.Context(), repo, subject)
	if err != nil {
		refuse(w, err)
		return
	}
	wanted := r.URL.Query().Get("artifactType")
	kept := []v1.Descriptor{}
	for _, m := range index.Manifests {
		if (wanted == "" || m.ArtifactType == wanted) && h.has(r.Context(), repo, m.Digest.String()) {
			kept = append(kept, m)
		}
	}
	index.Manifests = kept
	body, err := json.Marshal(index)
	if err != nil {
		refuse(w, err)
		return
	}
	if wanted != "" {
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	w.Header().Set("Content-Type", string(types.OCIImageIndex))
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body)
	}
}

// put stores a manifest and, when it is about another one, enters it in that
// one's list before the client learns that it was stored.
func (h *referrersHandler) put(w http.ResponseWriter, r *http.Request, repo string) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxManifest+1))
	if err != nil {
		refuse(w, err)
		return
	}
	req := r.Clone(r.Context())
	req.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(raw), r.Body), r.Body}

	var manifest aboutAnother
	if json.Unmarshal(raw, &manifest) != nil || manifest.Subject == nil {
		h.next.ServeHTTP(w, req) // no referrer; whether it is valid is the registry's to say
		return
	}
	answer := newRecorded()
	h.next.ServeHTTP(answer, req)
	if answer.status == http.StatusCreated {
		subject := manifest.Subject.Digest.String()
		if err := h.enter(r.Context(), repo, subject, manifest.entry(raw)); err != nil {
			refuse(w, err)
			return
		}
		answer.header.Set("OCI-Subject", subject)
	}
	answer.copyTo(w)
}

// aboutAnother is what a list of referrers tells of a manifest. Image manifests
// and indexes may both have a subject.
type aboutAnother struct {
	MediaType    types.MediaType   `json:"mediaType"`
	ArtifactType string            `json:"artifactType"`
	Config       v1.Descriptor     `json:"config"`
	Subject      *v1.Descriptor    `json:"subject"`
	Annotations  map[string]string `json:"annotations"`
}

func (a *aboutAnother) entry(raw []byte) v1.Descriptor {
	// Hashing bytes in memory cannot fail.
	digest, size, _ := v1.SHA256(bytes.NewReader(raw))
	d := v1.Descriptor{MediaType: a.MediaType, Digest: digest, Size: size, ArtifactType: a.ArtifactType, Annotations: a.Annotations}
	if d.ArtifactType == "" {
		d.ArtifactType = string(a.Config.MediaType)
	}
	if d.MediaType == "" {
		d.MediaType = types.OCIManifestSchema1
	}
	return d
}

// enter adds an entry to a subject's list. Entries whose manifest was deleted
// are left out: the registry would refuse an index that names them.
func (h *referrersHandler) enter(ctx context.Context, repo, subject string, added v1.Descriptor) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	index, err := h.index(ctx, repo, subject)
	if err != nil {
		return err
	}
	kept := []v1.Descriptor{added}
	for _, m := range index.Manifests {
		if m.Digest == added.Digest {
			return nil
		}
		if h.has(ctx, repo, m.Digest.String()) {
			kept = append(kept, m)
		}
	}
	index.Manifests = kept
	body, err := json.Marshal(index)
	if err != nil {
		return err
	}
	answer, err := h.ask(ctx, http.MethodPut, repo, fallbackTag(subject), body)
	if err != nil {
		return err
	}
	if answer.status != http.StatusCreated {
		return fmt.Errorf("listing what refers to %s: the registry said %d: %s", subject, answer.status, answer.body.String())
	}
	return nil
}

func (h *referrersHandler) index(ctx context.Context, repo, subject string) (*v1.IndexManifest, error) {
	empty := &v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	answer, err := h.ask(ctx, http.MethodGet, repo, fallbackTag(subject), nil)
	if err != nil {
		return nil, err
	}
	switch answer.status {
	case http.StatusOK:
	case http.StatusNotFound:
		return empty, nil
	default:
		return nil, fmt.Errorf("listing what refers to %s: the registry said %d", subject, answer.status)
	}
	index, err := v1.ParseIndexManifest(&answer.body)
	if err != nil || index.MediaType != types.OCIImageIndex {
		return nil, errors.Join(fmt.Errorf("the tag %s is not a list of referrers", fallbackTag(subject)), err)
	}
	return index, nil
}

func (h *referrersHandler) has(ctx context.Context, repo, digest string) bool {
	answer, err := h.ask(ctx, http.MethodHead, repo, digest, nil)
	return err == nil && answer.status == http.StatusOK
}

// ask sends the registry a request of our own.
func (h *referrersHandler) ask(ctx context.Context, method, repo, reference string, body []byte) (*recorded, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost/v2/"+repo+"/manifests/"+reference, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", string(types.OCIImageIndex)+","+string(types.OCIManifestSchema1)+","+string(types.DockerManifestSchema2))
	req.Header.Set("Content-Type", string(types.OCIImageIndex))
	answer := newRecorded()
	h.next.ServeHTTP(answer, req)
	return answer, nil
}

// fallbackTag is the tag under which the specification keeps the list.
func fallbackTag(subject string) string { return strings.Replace(subject, ":", "-", 1) }

func refuse(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusInternalServerError)
	body, _ := json.Marshal(map[string]any{"errors": []map[string]string{{"code": "UNKNOWN", "message": err.Error()}}})
	_, _ = w.Write(body)
}

// recorded holds an answer back until it is known whether it is the last word.
type recorded struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newRecorded() *recorded { return &recorded{header: http.Header{}, status: http.StatusOK} }

func (a *recorded) Header() http.Header         { return a.header }
func (a *recorded) WriteHeader(status int)      { a.status = status }
func (a *recorded) Write(p []byte) (int, error) { return a.body.Write(p) }

func (a *recorded) copyTo(w http.ResponseWriter) {
	for k, v := range a.header {
		w.Header()[k] = v
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes())
}
