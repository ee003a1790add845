package updates

import (
	_ "embed"
	"net/http"
	"strings"
	"time"
)

//go:embed openapi.json
var openAPI []byte

// Handler answers the update service's protocol under all the paths that it has.
type Handler struct {
	// Current is the edition to answer from, nil as long as there is none.
	Current func() *Edition
	// Mandatory are the parameters that clients must send; nil means channel.
	Mandatory []string
	Metrics   *Metrics
	// Now is the clock of rollouts; nil means time.Now.
	Now func() time.Time
}

var (
	varyHeader         = []string{"Accept, Accept-Encoding, Origin"}
	cacheControlHeader = []string{"no-cache"} // may be kept, and must be asked for each time
	gzipHeader         = []string{"gzip"}
	defaultMandatory   = []string{"channel"}
)

// route is what a path of the protocol asks for.
type route int

const (
	routeNone route = iota
	routeGraph
	routeOpenAPI
)

// Prefix is where the service whose protocol this is has its paths; they are served
// without it as well.
const Prefix = "/api/upgrades_info"

func routeOf(path string) route {
	if path == "/graph" {
		return routeGraph
	}
	path = strings.TrimPrefix(path, Prefix)
	path = strings.TrimPrefix(path, "/v1")
	switch path {
	case "/graph":
		return routeGraph
	case "/openapi":
		return routeOpenAPI
	}
	return routeNone
}

// Serves says whether a path is one of the protocol's.
func (h *Handler) Serves(path string) bool { return routeOf(path) != routeNone }

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	to := routeOf(r.URL.Path)
	header := w.Header()
	header["Vary"] = varyHeader
	if origin := r.Header["Origin"]; len(origin) == 1 {
		header["Access-Control-Allow-Origin"] = origin
	}
	var code int
	var problem *apiError
	switch {
	case to == routeNone:
		problem = notFound(r.URL.Path)
	case r.Method == http.MethodOptions:
		code = preflight(w)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		problem = methodNotAllowed(w, r)
	case to == routeOpenAPI:
		code = sendOpenAPI(w, r)
	default:
		code, problem = h.graph(w, r)
	}
	if problem != nil {
		problem.write(w, r)
		code = problem.code
		h.Metrics.failed(problem)
	}
	h.Metrics.served(code, time.Since(start))
}

func notFound(path string) *apiError {
	return &apiError{http.StatusNotFound, kindDoesNotExist, "does not exist: " + clip(path)}
}

func methodNotAllowed(w http.ResponseWriter, r *http.Request) *apiError {
	w.Header().Set("Allow", "GET, HEAD, OPTIONS")
	return &apiError{http.StatusMethodNotAllowed, kindMethod, "method " + clip(r.Method) + " is not allowed; use GET or HEAD"}
}

// preflight answers a browser that asks what it may ask: anything, from anywhere.
func preflight(w http.ResponseWriter) int {
	h := w.Header()
	h.Set("Allow", "GET, HEAD, OPTIONS")
	h.Set("Access-Control-Allow-Methods", "GET, HEAD")
	h.Set("Access-Control-Allow-Headers", "Accept, If-None-Match")
	h.Set("Access-Control-Max-Age", "3600")
	w.WriteHeader(http.StatusNoContent)
	return http.StatusNoContent
}

func sendOpenAPI(w http.ResponseWriter, r *http.Request) int {
	h := w.Header()
	h["Content-Type"] = headerJSON
	h["Cache-Control"] = cacheControlHeader
	if r.Method != http.MethodHead {
		_, _ = w.Write(openAPI)
	}
	return http.StatusOK
}

// graph answers for the graph. The content type is looked at before the parameters, as
// clients may know by which error they get.
func (h *Handler) graph(w http.ResponseWriter, r *http.Request) (int, *apiError) {
	contentType := negotiate(r.Header["Accept"])
	if contentType == nil {
		return 0, &apiError{http.StatusNotAcceptable, kindInvalidType, "invalid Content-Type requested"}
	}
	mandatory := h.Mandatory
	if mandatory == nil {
		mandatory = defaultMandatory
	}
	p, problem := parseQuery(r.URL.RawQuery, mandatory)
	if problem != nil {
		return 0, problem
	}
	edition := h.Current()
	if edition == nil {
		w.Header().Set("Retry-After", "5")
		return 0, &apiError{http.StatusServiceUnavailable, kindUpstream, "failed to fetch upstream graph: none was loaded yet"}
	}
	now := h.Now
	if now == nil {
		now = time.Now
	}
	b, err := edition.answer(&p, now)
	if err != nil {
		return 0, &apiError{http.StatusInternalServerError, kindFailedJSON, "failed to serialize JSON: " + err.Error()}
	}
	return send(w, r, b, contentType), nil
}

// send answers with a body, or with 304 where the client has it.
func send(w http.ResponseWriter, r *http.Request, b *body, contentType []string) int {
	header := w.Header()
	content := &b.plain
	if acceptsGzip(r.Header["Accept-Encoding"]) {
		content = &b.packed
	}
	header["Etag"] = content.etagHeader
	header["Cache-Control"] = cacheControlHeader
	if known := r.Header["If-None-Match"]; len(known) > 0 && holds(known, content.etag) {
		w.WriteHeader(http.StatusNotModified)
		return http.StatusNotModified
	}
	header["Content-Type"] = contentType
	header["Content-Length"] = content.lengthHeader
	if content == &b.packed {
		header["Content-Encoding"] = gzipHeader
	}
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(content.data) // the client may be gone
	}
	return http.StatusOK
}

// holds says whether If-None-Match names a tag; it compares weakly (RFC 9110, 13.1.2).
func holds(headers []string, etag string) bool {
	for _, list := range headers {
		for list != "" {
			var tag string
			tag, list = cutElement(list)
			if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
				return true
			}
		}
	}
	return false
}
