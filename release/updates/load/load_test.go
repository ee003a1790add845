package load_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slipway-release/slipway/release/updates/load"
)

func TestRun(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch r.URL.Path {
		case "/close":
			w.Header().Set("Connection", "close")
		case "/bad":
			w.WriteHeader(500)
		case "/cut":
			w.Header().Set("Content-Length", "100")
		}
		_, _ = w.Write([]byte("0123456789"))
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	for name, tc := range map[string]struct {
		options  load.Options
		requests int
		errors   int
	}{
		"so many":      {load.Options{Targets: []load.Target{{Path: "/"}, {Path: "/close"}}, Connections: 3, Requests: 100}, 100, 0},
		"at a rate":    {load.Options{Targets: []load.Target{{Path: "/"}}, Connections: 4, Requests: 50, Rate: 1000}, 50, 0},
		"bad answers":  {load.Options{Targets: []load.Target{{Path: "/"}, {Path: "/bad"}}, Connections: 1, Requests: 10}, 10, 5},
		"as wanted":    {load.Options{Targets: []load.Target{{Path: "/bad", Want: 500}}, Connections: 1, Requests: 10}, 10, 0},
		"cut off":      {load.Options{Targets: []load.Target{{Path: "/cut"}}, Connections: 2, Requests: 6}, 6, 6},
		"header is on": {load.Options{Targets: []load.Target{{Path: "/", Headers: []string{"X: y"}}}, Connections: 1, Requests: 1}, 1, 0},
	} {
		asked.Store(0)
		tc.options.Address = address
		got, err := load.Run(t.Context(), tc.options)
		if err != nil || got.Requests != tc.requests || got.Errors != tc.errors || asked.Load() != int64(tc.requests) || (got.Problem != "") != (tc.errors > 0) {
			t.Errorf("%s: %v, %q, %v", name, got, got.Problem, err)
		}
	}
	start := time.Now()
	got, err := load.Run(t.Context(), load.Options{Address: address, Targets: []load.Target{{Path: "/"}}, Connections: 2, Rate: 100, Duration: time.Second})
	if err != nil || got.Errors > 0 || got.Requests < 10 || got.Requests > 110 || time.Since(start) > 30*time.Second {
		t.Errorf("for a time: %v, %v", got, err)
	}
}

func TestRunIsBounded(t *testing.T) {
	for name, o := range map[string]load.Options{
		"no bound":      {Targets: []load.Target{{Path: "/"}}, Connections: 1},
		"no target":     {Connections: 1, Requests: 1},
		"no connection": {Targets: []load.Target{{Path: "/"}}, Requests: 1},
		"rate":          {Targets: []load.Target{{Path: "/"}}, Connections: 1, Requests: 1, Rate: -1},
	} {
		if _, err := load.Run(t.Context(), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
