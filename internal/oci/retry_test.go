package oci_test

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/slipway-release/slipway/internal/oci"
	. "github.com/slipway-release/slipway/internal/oci/ocitest"
)

// forgotten is an upload that the registry knows no longer.
func forgotten(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(w, `{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"blob upload unknown to registry"}]}`)
}

// TestPushOverFaults pushes through a registry that fails each kind of request
// once or twice, and reads back what arrived.
func TestPushOverFaults(t *testing.T) {
	for name, fault := range map[string]Fault{
		"429 on everything, first time":    {Times: 1, Each: true, Do: Status(429)},
		"500 on every write, twice":        {On: Match{Method: Writes}, Times: 2, Each: true, Do: Status(500)},
		"502 on every write, twice":        {On: Match{Method: Writes}, Times: 2, Each: true, Do: Status(502)},
		"503 on every read, three times":   {On: Match{Method: "GET HEAD"}, Times: 3, Each: true, Do: Status(503)},
		"cut before the answer":            {Times: 1, Each: true, Do: CutAfter(0)},
		"cut in mid-upload":                {On: Match{Method: "PATCH"}, Times: 2, Do: CutUpload(100_000)},
		"upload forgotten before its end":  {On: Match{Method: "PUT", Kind: Upload}, Times: 1, Do: forgotten},
		"refused in mid-push":              {On: Match{Method: "PATCH"}, Skip: 1, Times: 1, Do: Refuse(50 * time.Millisecond)},
		"tokens that soon expire":          {Do: Expire(3)},
		"tokens good for two requests":     {Do: Expire(2)},
		"the tag is refused for some time": {On: Match{Method: "PUT", Kind: Tag}, Times: 3, Do: Status(503)},
	} {
		t.Run(name, func(t *testing.T) {
			s := Registry(t, fault)
			r := client(t, s.Addr(), oci.WithPatience(6, 30*time.Millisecond, 3*time.Second, 20*time.Second))
			img := newImage(t, 500_000, 0)
			if _, err := r.Push(t.Context(), canonical+"/etcd:v1", img); err != nil {
				t.Fatal(err)
			}
			got, err := r.Image(t.Context(), canonical+"/etcd:v1")
			if err != nil {
				t.Fatal(err)
			}
			if digestOf(t, got) != digestOf(t, img) {
				t.Error("another image arrived")
			}
			if err := readAll(got); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRetryAfter looks at when the client came back.
func TestRetryAfter(t *testing.T) {
	for name, test := range map[string]struct {
		on Match
		do Effect
	}{
		"reading, 429":           {Match{Method: "HEAD", Kind: Manifest}, RetryAfter(429, 1)},
		"reading, 429 to a date": {Match{Method: "HEAD", Kind: Manifest}, RetryAt(429, time.Second)},
		"sending a blob, 503":    {Match{Method: "PATCH"}, RetryAfter(503, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := Registry(t, Fault{On: test.on, Times: 1, Do: test.do})
			r := client(t, s.Addr(), oci.WithJobs(1))
			if _, err := r.Push(t.Context(), canonical+"/etcd:v1", newImage(t, 100)); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Resolve(t.Context(), canonical+"/etcd:v1"); err != nil {
				t.Fatal(err)
			}
			tries := s.Requests(test.on)
			if len(tries) < 2 {
				t.Fatalf("%d tries", len(tries))
			}
			if wait := tries[1].Begun.Sub(tries[0].Begun); wait < 950*time.Millisecond || wait > 20*time.Second {
				t.Errorf("came back after %s, asked for 1 s", wait)
			}
		})
	}
}

// TestGivesUp has a registry that never recovers: the client must end, say so in
// one sentence, and leave no tag.
func TestGivesUp(t *testing.T) {
	for name, test := range map[string]struct {
		fault Fault
		parts []string
	}{
		"503 on every write":   {Fault{On: Match{Method: Writes}, Do: Status(503)}, []string{"out of order (503)"}},
		"429 on every write":   {Fault{On: Match{Method: Writes}, Do: Status(429)}, []string{"slow down (429)", "try again later"}},
		"blobs are cut":        {Fault{On: Match{Method: "PATCH"}, Do: CutUpload(100)}, []string{"registry 127.0.0.1:"}},
		"last blob is refused": {Fault{On: Match{Method: "PUT", Kind: Upload}, Do: Status(403)}, []string{"denied"}},
		"no token is good":     {Fault{Do: Expire(0)}, []string{"401", "log in"}},
		"no token is to be had": {Fault{On: Match{Method: Writes + " HEAD GET", Kind: Blob | Upload | Ping | Token},
			Do: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if r.URL.Path == "/token" {
					Status(500)(w, r, next)
					return
				}
				Expire(0)(w, r, next)
			}}, []string{"out of order"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := Registry(t, test.fault)
			_, err := client(t, s.Addr()).Push(t.Context(), canonical+"/etcd:v1", newImage(t, 100_000))
			oneSentence(t, err, append(test.parts, `pushing image "`+canonical+`/etcd:v1" to registry `+s.Addr())...)
			if n := s.Total(Match{}).Requests; n > 200 {
				t.Errorf("%d requests were sent", n)
			}
			if puts := s.Requests(Match{Method: "PUT", Kind: Manifest}); len(puts) > 0 {
				t.Errorf("the manifest was sent: %+v", puts)
			}
			s.Heal()
			if _, err := client(t, s.Addr()).Resolve(t.Context(), canonical+"/etcd:v1"); !errors.Is(err, oci.ErrNotFound) {
				t.Errorf("the tag exists: %v", err)
			}
		})
	}
}

// TestTagLast looks at the order of a push that goes well.
func TestTagLast(t *testing.T) {
	s := Registry(t)
	if _, err := client(t, s.Addr()).Push(t.Context(), canonical+"/etcd:v1", newImage(t, 100_000, 0, 0, 0)); err != nil {
		t.Fatal(err)
	}
	puts := s.Requests(Match{Method: "PUT"})
	if len(puts) < 6 || puts[len(puts)-1].Kind != Tag {
		t.Errorf("the tag was not the last: %+v", puts)
	}
	if twice := s.Twice(); len(twice) > 0 {
		t.Errorf("sent twice: %v", twice)
	}
}

// TestBlobGoesOn cuts a layer in mid-read: the rest must be asked for, and not
// the whole again.
func TestBlobGoesOn(t *testing.T) {
	s := Registry(t)
	img := newImage(t, 9<<20)
	r := client(t, s.Addr())
	if _, err := r.Push(t.Context(), canonical+"/etcd:v1", img); err != nil {
		t.Fatal(err)
	}
	s.Inject(Fault{On: Match{Method: "GET", Kind: Blob}, Times: 4, Do: CutAfter(1 << 20)})
	got, err := r.Image(t.Context(), canonical+"/etcd:v1")
	if err == nil {
		err = readAll(got)
	}
	if err != nil {
		t.Fatal(err)
	}
	resumed := 0
	for _, q := range s.Requests(Match{Method: "GET", Kind: Blob}) {
		if q.Range != "" {
			resumed++
		}
	}
	if sent := s.Total(Match{Method: "GET", Kind: Blob}).Sent; resumed < 3 || sent > 10<<20 {
		t.Errorf("resumed %d times, %d bytes were sent", resumed, sent)
	}
}

// TestBlobGoesOnWithAnotherToken cuts a layer in mid-read when the token that it
// was asked for with has expired.
func TestBlobGoesOnWithAnotherToken(t *testing.T) {
	for _, uses := range []int{1, 2} {
		s := Registry(t)
		if _, err := client(t, s.Addr()).Push(t.Context(), canonical+"/etcd:v1", newImage(t, 5<<20)); err != nil {
			t.Fatal(err)
		}
		s.Inject(Fault{Do: Expire(uses)}, Fault{On: Match{Method: "GET", Kind: Blob}, Times: 4, Do: CutAfter(1 << 20)})
		s.Forget()
		got, err := client(t, s.Addr()).Image(t.Context(), canonical+"/etcd:v1")
		if err == nil {
			err = readAll(got)
		}
		if sent := s.Total(Match{Method: "GET", Kind: Blob}).Sent; err != nil || sent > 6<<20 {
			t.Errorf("tokens good for %d requests: %v, %d bytes were sent", uses, err, sent)
		}
	}
}

// TestShortAnswersAreReadAgain cuts manifests and configurations.
func TestShortAnswersAreReadAgain(t *testing.T) {
	s := Registry(t)
	r := client(t, s.Addr())
	if _, err := r.Push(t.Context(), canonical+"/etcd:v1", newImage(t, 10_000)); err != nil {
		t.Fatal(err)
	}
	s.Inject(Fault{On: Match{Method: "GET", Kind: Blob | Manifest}, Times: 1, Each: true, Do: CutAfter(100)})
	got, err := r.Image(t.Context(), canonical+"/etcd:v1")
	if err == nil {
		err = readAll(got)
	}
	if err != nil {
		t.Error(err)
	}
	if n := s.Total(Match{Method: "GET", Kind: Blob | Manifest}).Requests; n < 6 {
		t.Errorf("%d requests; nothing was cut", n)
	}
}

// TestWrongBytes has the line change what it carries.
func TestWrongBytes(t *testing.T) {
	s := Registry(t)
	r := client(t, s.Addr())
	img := newImage(t, 10_000)
	if _, err := r.Push(t.Context(), canonical+"/etcd:v1", img); err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]Kind{"blobs": Blob, "manifests": Manifest} {
		s.Heal()
		s.Inject(Fault{On: Match{Method: "GET", Kind: kind}, Do: WrongBytes()})
		got, err := r.Image(t.Context(), canonical+"/etcd@"+digestOf(t, img))
		if err == nil {
			err = readAll(got)
		}
		if err == nil {
			t.Errorf("%s: wrong bytes were accepted", name)
		}
	}
}

// TestStalled has a registry that takes requests and says nothing.
func TestStalled(t *testing.T) {
	s := Registry(t, Fault{On: Match{Kind: Manifest}, Do: Hang()})
	r := client(t, s.Addr(), oci.WithPatience(2, time.Millisecond, time.Millisecond, 200*time.Millisecond))
	begun := time.Now()
	_, err := r.Resolve(t.Context(), canonical+"/etcd:v1")
	oneSentence(t, err, "no data moved for 200ms", "tried 2 times")
	if took := time.Since(begun); took > time.Minute { // the client waits for two, if it is not told else
		t.Errorf("it took %s", took)
	}
}

// TestSlowIsNotStalled sends a layer so slowly that the whole takes longer than
// the idle time.
func TestSlowIsNotStalled(t *testing.T) {
	t.Parallel()
	s := Registry(t)
	img := newImage(t, 2<<20)
	if _, err := client(t, s.Addr()).Push(t.Context(), canonical+"/etcd:v1", img); err != nil {
		t.Fatal(err)
	}
	s.Inject(Fault{On: Match{Method: "GET", Kind: Blob}, Do: Slow(1 << 18)})
	const idle = 6 * time.Second
	r := client(t, s.Addr(), oci.WithPatience(1, time.Millisecond, time.Millisecond, idle))
	begun := time.Now()
	got, err := r.Image(t.Context(), canonical+"/etcd:v1")
	if err == nil {
		err = readAll(got)
	}
	if err != nil {
		t.Error(err)
	}
	if time.Since(begun) < idle {
		t.Error("the test was too fast to show anything")
	}
}

// TestRefusedForAWhile begins while nothing listens.
func TestRefusedForAWhile(t *testing.T) {
	s := Registry(t)
	s.Refuse(300 * time.Millisecond)
	r := client(t, s.Addr(), oci.WithPatience(8, 50*time.Millisecond, time.Second, time.Minute))
	if _, err := r.Push(t.Context(), canonical+"/etcd:v1", newImage(t, 100)); err != nil {
		t.Error(err)
	}
}
