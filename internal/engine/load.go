package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// loadRepository is the name under which an image is offered to the engine.
const loadRepository = "slipway/load"

// Load gives the engine an image under a tag. The engine pulls it from a
// listener on the loopback address that lives for this call, so that no copy of
// the image is written on the way and layers that the engine has are not moved.
func (e *Engine) Load(ctx context.Context, img v1.Image, tag string) error {
	digest, err := img.Digest()
	if err != nil {
		return fmt.Errorf("loading image %q: %w", tag, err)
	}
	if same, err := e.has(ctx, img, tag); err != nil || same {
		return err
	}
	offer, err := newOffer(img)
	if err != nil {
		return fmt.Errorf("loading image %q: %w", tag, err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("loading image %q: %w", tag, err)
	}
	server := &http.Server{Handler: offer, ReadHeaderTimeout: 30 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	defer func() {
		server.Close()
		<-done
	}()

	name := fmt.Sprintf("%s/%s@%s", listener.Addr(), loadRepository, digest)
	args := []string{"pull", "--quiet"}
	if e.kind == Podman {
		args = append(args, "--tls-verify=false")
	}
	if _, err := e.output(ctx, append(args, name)...); err != nil {
		return fmt.Errorf("loading image %q: %w", tag, errors.Join(err, offer.failure()))
	}
	if err := e.Tag(ctx, name, tag); err != nil {
		return err
	}
	return e.RemoveImages(ctx, name)
}

// has says whether the tag names this very image already.
func (e *Engine) has(ctx context.Context, img v1.Image, tag string) (bool, error) {
	config, err := img.ConfigName()
	if err != nil {
		return false, fmt.Errorf("loading image %q: %w", tag, err)
	}
	manifest, err := img.Digest()
	if err != nil {
		return false, fmt.Errorf("loading image %q: %w", tag, err)
	}
	// Docker names images by their manifest where containerd stores them.
	got, found, err := e.Image(ctx, tag)
	return found && (got.ID == config.Hex || got.ID == manifest.Hex), err
}

// offer serves one image by the distribution protocol, read only.
type offer struct {
	manifest  []byte
	mediaType string
	digest    string
	config    []byte
	configID  string
	layers    map[string]v1.Layer
	failed    chan error
}

func newOffer(img v1.Image) (*offer, error) {
	o := &offer{layers: map[string]v1.Layer{}, failed: make(chan error, 1)}
	manifest, err := img.RawManifest()
	if err != nil {
		return nil, err
	}
	mediaType, err := img.MediaType()
	if err != nil {
		return nil, err
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return nil, err
	}
	configID, err := img.ConfigName()
	if err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	for _, layer := range layers {
		d, err := layer.Digest()
		if err != nil {
			return nil, err
		}
		o.layers[d.String()] = layer
	}
	o.manifest, o.mediaType, o.digest, o.config, o.configID = manifest, string(mediaType), digest.String(), config, configID.String()
	return o, nil
}

// failure is why a layer could not be served, which the engine cannot know.
func (o *offer) failure() error {
	select {
	case err := <-o.failed:
		return err
	default:
		return nil
	}
}

func (o *offer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	if path == "" || path == r.URL.Path {
		return
	}
	rest := strings.TrimPrefix(path, loadRepository+"/")
	switch {
	case rest == "manifests/"+o.digest:
		o.send(w, r, o.mediaType, o.digest, o.manifest)
	case rest == "blobs/"+o.configID:
		o.send(w, r, "application/octet-stream", o.configID, o.config)
	case strings.HasPrefix(rest, "blobs/"):
		o.sendLayer(w, r, strings.TrimPrefix(rest, "blobs/"))
	default:
		http.NotFound(w, r)
	}
}

func (o *offer) send(w http.ResponseWriter, r *http.Request, mediaType, digest string, data []byte) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.Header().Set("Docker-Content-Digest", digest)
	if r.Method != http.MethodHead {
		_, _ = w.Write(data)
	}
}

func (o *offer) sendLayer(w http.ResponseWriter, r *http.Request, digest string) {
	layer, found := o.layers[digest]
	if !found {
		http.NotFound(w, r)
		return
	}
	size, err := layer.Size()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	} else {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		w.Header().Set("Docker-Content-Digest", digest)
		if r.Method == http.MethodHead {
			return
		}
		err = copyLayer(w, layer)
	}
	if err != nil {
		// Less is sent than was announced, so the server cuts the connection and
		// a short layer cannot pass for a whole one.
		select {
		case o.failed <- fmt.Errorf("reading layer %s: %w", digest, err):
		default:
		}
	}
}

func copyLayer(w io.Writer, layer v1.Layer) error {
	rc, err := layer.Compressed()
	if err != nil {
		return err
	}
	defer rc.Close()
	_, err = io.Copy(w, rc)
	return err
}
