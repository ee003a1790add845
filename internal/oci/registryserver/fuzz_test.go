package registryserver_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/slipway-release/slipway/internal/oci/registryserver"
)

// FuzzManifest sends any bytes as a manifest, and asks for what may refer to it.
// Nothing may panic, and no question may end in a failure of the server. To a
// manifest that is none, distribution's own answer may be one.
func FuzzManifest(f *testing.F) {
	handler, err := registryserver.NewHandler(f.Context(), registryserver.Options{})
	if err != nil {
		f.Fatal(err)
	}
	img, err := random.Image(100, 1)
	if err != nil {
		f.Fatal(err)
	}
	manifest, err := img.RawManifest()
	if err != nil {
		f.Fatal(err)
	}
	const zeros = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	f.Add(string(manifest), "application/vnd.docker.distribution.manifest.v2+json", "v1", zeros)
	f.Add(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"subject":{"mediaType":"x","digest":"`+zeros+`","size":1}}`,
		"application/vnd.oci.image.index.v1+json", zeros, zeros+"?artifactType=x")
	f.Add(`{"subject":{"digest":"sha256:short"}}`, "", "../x", "x:y")
	f.Fuzz(func(t *testing.T, manifest, mediaType, reference, subject string) {
		send := func(method, path, body string) {
			req, err := http.NewRequestWithContext(t.Context(), method, "http://registry/v2/fuzz/"+path, bytes.NewReader([]byte(body)))
			if err != nil {
				return // no client could send it
			}
			req.Header.Set("Content-Type", mediaType)
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, req)
			if answer.Code >= 500 && method == http.MethodGet {
				said, _ := io.ReadAll(answer.Body)
				t.Errorf("%s %s: %d %s", method, path, answer.Code, said)
			}
		}
		if strings.ContainsAny(mediaType, "\r\n") {
			return
		}
		for _, path := range []string{"manifests/" + reference, "referrers/" + subject} {
			send(http.MethodGet, path, "")
		}
		send(http.MethodPut, "manifests/"+reference, manifest)
		send(http.MethodGet, fmt.Sprintf("referrers/%s", subject), "")
	})
}
