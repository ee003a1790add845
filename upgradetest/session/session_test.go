package session_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/upgradetest"
	"github.com/slipway-release/slipway/upgradetest/driver/drivertest"
	"github.com/slipway-release/slipway/upgradetest/session"
)

// A recording that is evaluated again says what it said at first, with what the caller
// knew about it.
func TestEvaluateAgain(t *testing.T) {
	_, address := drivertest.Serve(t, nil)
	dir := t.TempDir()
	samples := filepath.Join(dir, "samples")
	s, err := session.Start(t.Context(), &rest.Config{Host: address}, session.Options{
		Selected: upgradetest.Selection{upgradetest.BackendAPI}, Monitor: upgradetest.Options{SamplesDir: samples},
	})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	first, err := s.Stop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first.From, first.To = upgradetest.Release{Version: "1"}, upgradetest.Release{Version: "2", Digest: "sha256:b"}
	first.SelfTest = &upgradetest.SelfTest{Injections: []upgradetest.Injection{{Name: "refused", Found: true}}, Hertz: 20}
	if err := session.Write(dir, samples, first); err != nil {
		t.Fatal(err)
	}
	again, err := session.Evaluate(samples)
	if err != nil {
		t.Fatal(err)
	}
	if again.To != first.To || cmp.Diff(first.SelfTest, again.SelfTest) != "" || len(again.Backends) != len(first.Backends) {
		t.Errorf("evaluated again: %+v", again)
	}
	// A result of another recording says nothing about this one.
	first.Started = first.Started.Add(time.Hour)
	if err := session.Write(dir, samples, first); err != nil {
		t.Fatal(err)
	}
	if again, err = session.Evaluate(samples); err != nil || again.To.Version != "" {
		t.Errorf("to %v, %v", again.To, err)
	}
	if err := os.Remove(filepath.Join(dir, "upgrade.json")); err != nil {
		t.Fatal(err)
	}
	if again, err = session.Evaluate(samples); err != nil || len(again.Backends) == 0 {
		t.Errorf("%+v, %v", again, err)
	}
}
