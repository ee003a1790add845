package updates

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Health is what /readyz and /healthz say.
type Health struct {
	Ready bool `json:"ready"`
	// Degraded says that the last good graph is served because its source fails.
	Degraded bool    `json:"degraded"`
	Draining bool    `json:"draining,omitempty"`
	Graph    Status  `json:"graph"`
	Age      float64 `json:"ageSeconds,omitempty"`
	// Quarantined are the releases left out because they contradict others.
	Quarantined []string `json:"quarantined,omitempty"`
}

// health answers the probes:
//
//	/livez    200 as long as the process answers at all
//	/readyz   200 when there is a graph to serve and the server is not ending, else 503;
//	          a source that fails does not make it 503, for the last good graph is served
//	/healthz  what /readyz says, always with 200
func (s *Server) health(w http.ResponseWriter, r *http.Request) bool {
	switch r.URL.Path {
	case "/livez", "/readyz", "/healthz":
	default:
		return false
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		methodNotAllowed(w, r).write(w, r)
		return true
	}
	w.Header().Set("Cache-Control", "no-store")
	if r.URL.Path == "/livez" {
		sendHealth(w, r, http.StatusOK, "text/plain; charset=utf-8", []byte("ok\n"))
		return true
	}
	h := s.Health()
	data, err := json.Marshal(h)
	if err != nil {
		(&apiError{http.StatusInternalServerError, kindInternal, err.Error()}).write(w, r)
		return true
	}
	code := http.StatusOK
	if !h.Ready && r.URL.Path == "/readyz" {
		code = http.StatusServiceUnavailable
	}
	sendHealth(w, r, code, typeJSON, append(data, '\n'))
	return true
}

func sendHealth(w http.ResponseWriter, r *http.Request, code int, media string, data []byte) {
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(code)
	if r.Method != http.MethodHead {
		_, _ = w.Write(data)
	}
}

// Health says how the server is.
func (s *Server) Health() Health {
	e := s.Refresher.Current()
	h := Health{Draining: s.draining.Load(), Graph: s.Refresher.Status()}
	h.Ready = e != nil && !h.Draining
	h.Degraded = h.Graph.Problem != ""
	if !h.Graph.Loaded.IsZero() {
		h.Age = time.Since(h.Graph.Loaded).Round(time.Millisecond).Seconds()
	}
	if e != nil {
		for _, q := range e.snapshot.Quarantined {
			h.Quarantined = append(h.Quarantined, q.Version+" "+q.Payload+": "+q.Reason)
		}
	}
	return h
}
