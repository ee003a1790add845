package ocitest_test

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	. "github.com/slipway-release/slipway/internal/oci/ocitest"
)

// pushed is a registry with one image of two layers of 100,000 bytes.
func pushed(t *testing.T) (*Server, v1.Image) {
	t.Helper()
	s := Registry(t)
	img, err := random.Image(100_000, 2)
	if err != nil {
		t.Fatal(err)
	}
	push(t, s, img)
	s.Forget()
	return s, img
}

func push(t *testing.T, s *Server, img v1.Image) {
	t.Helper()
	ref, err := name.ParseReference(s.Addr() + "/skiff/etcd:v1")
	if err == nil {
		err = remote.Write(ref, img)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// layer returns the digest of the image's first layer and its bytes.
func layer(t *testing.T, img v1.Image) (string, []byte) {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	rc, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	data, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	return digest.String(), data
}

// do sends one request on a connection of its own.
func do(t *testing.T, method, url string, body io.Reader, header ...string) (*http.Response, []byte, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp, data, err
}

func TestEffectsOnReads(t *testing.T) {
	s, img := pushed(t)
	digest, want := layer(t, img)
	url := "http://" + s.Addr() + "/v2/skiff/etcd/blobs/" + digest
	get := Match{Method: "GET", Kind: Blob}
	for name, test := range map[string]struct {
		do    Effect
		check func(t *testing.T, resp *http.Response, data []byte, err error, took time.Duration)
	}{
		"sound": {func(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(w, r) },
			func(t *testing.T, _ *http.Response, data []byte, err error, _ time.Duration) {
				if err != nil || !bytes.Equal(data, want) {
					t.Errorf("%d bytes, %v", len(data), err)
				}
			}},
		"429": {RetryAfter(429, 7), func(t *testing.T, resp *http.Response, data []byte, _ error, _ time.Duration) {
			if resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "7" || !strings.Contains(string(data), "TOOMANYREQUESTS") {
				t.Errorf("%v %s", resp, data)
			}
		}},
		"429 with a date": {RetryAt(429, 5*time.Second), func(t *testing.T, resp *http.Response, _ []byte, _ error, took time.Duration) {
			at, err := http.ParseTime(resp.Header.Get("Retry-After"))
			if in := time.Until(at); err != nil || in+took < 4*time.Second || in > 6*time.Second {
				t.Errorf("%v, in %s", err, in)
			}
		}},
		"502": {Status(502), func(t *testing.T, resp *http.Response, _ []byte, _ error, _ time.Duration) {
			if resp.StatusCode != 502 {
				t.Error(resp.Status)
			}
		}},
		"cut in the middle": {CutAfter(50_000), func(t *testing.T, _ *http.Response, data []byte, err error, _ time.Duration) {
			if err == nil || !bytes.Equal(data, want[:50_000]) {
				t.Errorf("%d bytes, %v", len(data), err)
			}
		}},
		"cut before the answer": {CutAfter(0), func(t *testing.T, resp *http.Response, _ []byte, err error, _ time.Duration) {
			if err == nil {
				t.Error(resp.Status)
			}
		}},
		"cut behind its end": {CutAfter(1 << 20), func(t *testing.T, _ *http.Response, data []byte, err error, _ time.Duration) {
			if err != nil || !bytes.Equal(data, want) {
				t.Errorf("%d bytes, %v", len(data), err)
			}
		}},
		"wrong bytes": {WrongBytes(), func(t *testing.T, _ *http.Response, data []byte, err error, _ time.Duration) {
			differ := 0
			for i := range data {
				if data[i] != want[i] {
					differ++
				}
			}
			if err != nil || len(data) != len(want) || differ != 1 {
				t.Errorf("%d bytes, %d differ, %v", len(data), differ, err)
			}
		}},
		"slow": {Slow(200_000), func(t *testing.T, _ *http.Response, data []byte, err error, took time.Duration) {
			if err != nil || !bytes.Equal(data, want) || took < 400*time.Millisecond || took > 30*time.Second {
				t.Errorf("%d bytes, %v, %s", len(data), err, took)
			}
		}},
		"latency": {Latency(100 * time.Millisecond), func(t *testing.T, _ *http.Response, data []byte, err error, took time.Duration) {
			if err != nil || !bytes.Equal(data, want) || took < 100*time.Millisecond {
				t.Errorf("%d bytes, %v, %s", len(data), err, took)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s.Heal()
			s.Inject(Fault{On: get, Do: test.do})
			begun := time.Now()
			resp, data, err := do(t, "GET", url, nil)
			test.check(t, resp, data, err, time.Since(begun))
		})
	}
}

func TestCutUpload(t *testing.T) {
	s := Registry(t, Fault{On: Match{Method: "PATCH", Kind: Upload}, Times: 1, Do: CutUpload(1000)})
	resp, _, err := do(t, "POST", "http://"+s.Addr()+"/v2/skiff/etcd/blobs/uploads/", nil)
	if err != nil || resp.StatusCode != http.StatusAccepted {
		t.Fatal(resp, err)
	}
	url := "http://" + s.Addr() + resp.Header.Get("Location")
	body := strings.Repeat("x", 5000)
	if resp, _, err := do(t, "PATCH", url, strings.NewReader(body)); err == nil {
		t.Errorf("the upload went through: %s", resp.Status)
	}
	if got := s.Total(Match{Method: "PATCH"}); got.Requests != 1 || got.Received < 1000 {
		t.Errorf("%+v", got)
	}
}

func TestRefuse(t *testing.T) {
	s, _ := pushed(t)
	s.Inject(Fault{On: Match{Kind: TagList}, Times: 1, Do: Refuse(2 * time.Second)})
	url := "http://" + s.Addr() + "/v2/skiff/etcd/tags/list"
	asked := time.Now()
	if _, _, err := do(t, "GET", url, nil); err == nil {
		t.Error("the request that begins it was answered")
	}
	_, _, err := do(t, "GET", "http://"+s.Addr()+"/v2/", nil)
	// On a busy host the second request may come when it is up again.
	if time.Since(asked) < 2*time.Second && (err == nil || !strings.Contains(err.Error(), "refused")) {
		t.Errorf("while it is down: %v", err)
	}
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		resp, data, err := do(t, "GET", url, nil)
		if err == nil {
			if resp.StatusCode != 200 || !strings.Contains(string(data), "v1") {
				t.Errorf("%s %s", resp.Status, data)
			}
			break
		}
		if time.Since(begun) > time.Minute {
			t.Fatal(err)
		}
	}
}

func TestExpire(t *testing.T) {
	s, _ := pushed(t)
	s.Inject(Fault{Do: Expire(2)})
	url := "http://" + s.Addr() + "/v2/skiff/etcd/manifests/v1"
	resp, _, err := do(t, "GET", url, nil)
	if err != nil || resp.StatusCode != 401 {
		t.Fatal(resp, err)
	}
	challenge := resp.Header.Get("WWW-Authenticate")
	if !strings.Contains(challenge, s.Addr()+"/token") || !strings.Contains(challenge, "repository:skiff/etcd:pull,push") {
		t.Errorf("challenge %q", challenge)
	}
	_, data, err := do(t, "GET", "http://"+s.Addr()+"/token", nil)
	if err != nil {
		t.Fatal(err)
	}
	token := strings.Split(string(data), `"token":"`)[1]
	token, _, _ = strings.Cut(token, `"`)
	for i, want := range []int{200, 200, 401} {
		resp, _, err := do(t, "GET", url, nil, "Authorization", "Bearer "+token)
		if err != nil || resp.StatusCode != want {
			t.Errorf("use %d: %v, %v, want %d", i+1, resp, err, want)
		}
	}
}

func TestHowOften(t *testing.T) {
	for name, test := range map[string]struct {
		fault Fault
		want  []int // answers to a, b, a, b, a, b
	}{
		"always":        {Fault{}, []int{500, 500, 500, 500, 500, 500}},
		"twice":         {Fault{Times: 2}, []int{500, 500, 200, 200, 200, 200}},
		"the third":     {Fault{Skip: 2, Times: 1}, []int{200, 200, 500, 200, 200, 200}},
		"each once":     {Fault{Times: 1, Each: true}, []int{500, 500, 200, 200, 200, 200}},
		"each's second": {Fault{Skip: 1, Times: 1, Each: true}, []int{200, 200, 500, 500, 200, 200}},
		"one path":      {Fault{On: Match{Path: "/manifests/v1"}}, []int{500, 200, 500, 200, 500, 200}},
		"one kind":      {Fault{On: Match{Kind: TagList | Referrers}}, []int{200, 500, 200, 500, 200, 500}},
		"other method":  {Fault{On: Match{Method: "HEAD PUT"}}, []int{200, 200, 200, 200, 200, 200}},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := pushed(t)
			test.fault.Do = Status(500)
			s.Inject(test.fault)
			var got []int
			for i := range 6 {
				resp, _, err := do(t, "GET", "http://"+s.Addr()+"/v2/skiff/etcd/"+[]string{"manifests/v1", "tags/list"}[i%2], nil)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, resp.StatusCode)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestCounts(t *testing.T) {
	s := Registry(t)
	img, err := random.Image(100_000, 2)
	if err != nil {
		t.Fatal(err)
	}
	push(t, s, img)
	if got := s.Total(Match{Method: Writes, Kind: Upload}); got.Received < 200_000 {
		t.Errorf("uploads: %+v", got)
	}
	if got := s.Total(Match{Method: "PUT", Kind: Tag}); got.Requests != 1 || got.Received == 0 {
		t.Errorf("tags: %+v", got)
	}
	if got := s.Total(Match{Method: "GET", Kind: Blob}); got != (Total{}) {
		t.Errorf("blobs read by a push: %+v", got)
	}
	if twice := s.Twice(); len(twice) > 0 {
		t.Errorf("copied twice by a push: %v", twice)
	}
	digest, want := layer(t, img)
	url := "http://" + s.Addr() + "/v2/skiff/etcd/blobs/" + digest
	for _, header := range [][]string{nil, {"Range", "bytes=10-"}} {
		if _, _, err := do(t, "GET", url, nil, header...); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Total(Match{Method: "GET", Kind: Blob}); got.Requests != 2 || got.Sent != int64(2*len(want)-10) {
		t.Errorf("blobs: %+v", got)
	}
	if twice := s.Twice(); len(twice) > 0 {
		t.Errorf("a resumed read counts as a second: %v", twice)
	}
	if _, _, err := do(t, "GET", url, nil); err != nil {
		t.Fatal(err)
	}
	if got := s.Twice(); !slices.Equal(got, []string{"GET skiff/etcd " + digest}) {
		t.Errorf("read twice: %v", got)
	}
	s.Forget()
	if got := s.Total(Match{}); got != (Total{}) {
		t.Errorf("forgotten: %+v", got)
	}
}
