package ocitest

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// Kind says what a request is about. Kinds can be joined: Blob|Upload.
type Kind int

// The kinds of requests.
const (
	Tag       Kind = 1 << iota // a manifest or index by tag
	Digest                     // a manifest or index by digest
	Blob                       // a layer or configuration, not its upload
	Upload                     // a blob on its way to the registry, mounts included
	TagList                    // the tags of a repository
	Referrers                  // what refers to a digest
	Ping                       // the registry's root, /v2/
	Token                      // the token service of Expire
	Other

	Manifest = Tag | Digest
)

// Match chooses requests. Empty fields choose all.
type Match struct {
	Method string // "GET", or several: "GET HEAD"
	Kind   Kind
	Path   string // part of the URL's path, e.g. "/etcd/"
}

// Writes are the methods that change a registry, for Match.Method.
const Writes = "POST PATCH PUT DELETE"

func (m Match) matches(method, path string) bool {
	return (m.Method == "" || slices.Contains(strings.Fields(m.Method), method)) &&
		(m.Kind == 0 || m.Kind&kindOf(path) != 0) &&
		strings.Contains(path, m.Path)
}

var endpoint = regexp.MustCompile(`^/v2/(.+)/(manifests|blobs/uploads|blobs|tags|referrers)/([^/]*)$`)

// repositoryOf is the repository a path is in, "" if in none.
func repositoryOf(path string) string {
	if m := endpoint.FindStringSubmatch(path); m != nil {
		return m[1]
	}
	return ""
}

// kindOf reads a path of the distribution specification.
func kindOf(path string) Kind {
	switch path {
	case "/v2", "/v2/":
		return Ping
	case tokenPath:
		return Token
	}
	m := endpoint.FindStringSubmatch(path)
	if m == nil {
		return Other
	}
	switch m[2] {
	case "manifests":
		if strings.Contains(m[3], ":") {
			return Digest
		}
		return Tag
	case "blobs":
		if m[3] == "uploads" {
			return Upload
		}
		return Blob
	case "blobs/uploads":
		return Upload
	case "tags":
		return TagList
	}
	return Referrers
}

// digestOf is the digest a request is about, as far as its URL tells it.
func digestOf(r *http.Request) string {
	switch kindOf(r.URL.Path) {
	case Digest, Blob, Referrers:
		return r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	case Upload:
		if digest := r.URL.Query().Get("digest"); digest != "" {
			return digest
		}
		return r.URL.Query().Get("mount")
	}
	return ""
}
