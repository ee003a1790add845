package openpgp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// maxMessages is how many messages about a digest clusters look at, in a store
// and in a ConfigMap.
const maxMessages = 9

// Found is a message, and where it was found. Nothing in it is proven.
type Found struct {
	Place   string
	Message []byte
}

// Store is where messages are found.
type Store interface {
	// Messages returns all about a digest; none is no error.
	Messages(ctx context.Context, digest v1.Hash) ([]Found, error)
	// String names the store, for explanations.
	String() string
}

// OpenStore opens a store by location: a directory, or a URL with the scheme
// file, http or https. client reads the last two.
func OpenStore(location string, client *http.Client) (Store, error) {
	u, err := url.Parse(location)
	if err != nil || u.Scheme == "" {
		return Dir(location), nil
	}
	switch {
	case u.Scheme == "file" && (u.Host == "" || u.Host == "localhost"):
		return Dir(u.Path), nil
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
		return &remoteStore{url: u, client: client}, nil
	}
	return nil, fmt.Errorf("opening signature store %q: it must be a directory, or a URL beginning with file:///, http:// or https://", location)
}

// folder is where the messages about a digest lie in a store.
func folder(digest v1.Hash) string { return digest.Algorithm + "=" + digest.Hex }

func file(n int) string { return fmt.Sprintf("signature-%d", n) }

// Dir is a store in a directory.
type Dir string

func (d Dir) String() string { return string(d) }

// Messages implements Store. A store that is not there is an error: somebody
// named it, and what it holds cannot be known.
func (d Dir) Messages(_ context.Context, digest v1.Hash) ([]Found, error) {
	if _, err := os.Stat(string(d)); err != nil {
		return nil, fmt.Errorf("reading signature store: %w", err)
	}
	var all []Found
	for n := 1; n <= maxMessages; n++ {
		path := filepath.Join(string(d), folder(digest), file(n))
		message, err := readFile(path, maxMessage)
		if errors.Is(err, fs.ErrNotExist) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading signature store: %w", err)
		}
		all = append(all, Found{path, message})
	}
	return all, nil
}

// Add stores a message under the first free number, and returns its path. What
// is there is never overwritten: of two processes at once, each gets a number of
// its own.
func (d Dir) Add(digest v1.Hash, message []byte) (string, error) {
	path, err := d.add(digest, message)
	if err != nil {
		return "", fmt.Errorf("storing a signature of %s in %q: %w", digest, string(d), err)
	}
	return path, nil
}

func (d Dir) add(digest v1.Hash, message []byte) (_ string, err error) {
	dir := filepath.Join(string(d), folder(digest))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	beside, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(beside.Name())
	_, err = beside.Write(message)
	err = errors.Join(err, beside.Chmod(0o644), beside.Sync(), beside.Close())
	if err != nil {
		return "", err
	}
	for n := 1; n <= maxMessages; n++ {
		path := filepath.Join(dir, file(n))
		// Unlike a rename, a link fails where a file is already.
		if err := os.Link(beside.Name(), path); !errors.Is(err, fs.ErrExist) {
			return path, err
		}
	}
	return "", fmt.Errorf("it has %d signatures already, which is all that clusters look at; remove those of keys that nobody trusts any more", maxMessages)
}

// remoteStore is a store behind HTTP.
type remoteStore struct {
	url    *url.URL
	client *http.Client
}

func (s *remoteStore) String() string { return s.url.Redacted() }

// Messages implements Store.
func (s *remoteStore) Messages(ctx context.Context, digest v1.Hash) ([]Found, error) {
	var all []Found
	for n := 1; n <= maxMessages; n++ {
		at := s.url.JoinPath(folder(digest), file(n))
		message, err := s.get(ctx, at)
		if errors.Is(err, fs.ErrNotExist) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading signature store %s: %w", s, err)
		}
		all = append(all, Found{at.Redacted(), message})
	}
	return all, nil
}

func (s *remoteStore) get(ctx context.Context, at *url.URL) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, fs.ErrNotExist
	default:
		return nil, fmt.Errorf("%s answered %s", at.Redacted(), resp.Status)
	}
	message, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage+1))
	if err == nil && len(message) > maxMessage {
		err = fmt.Errorf("%s has more than the %d bytes allowed", at.Redacted(), maxMessage)
	}
	return message, err
}
