package engine

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/slipway-release/slipway/internal/command"
)

// realEngine is the engine of this host.
func realEngine(t *testing.T) *Engine {
	t.Helper()
	if os.Getenv("SLIPWAY_TEST_NO_CLUSTER") != "" {
		t.Skip("SLIPWAY_TEST_NO_CLUSTER is set: nothing was tried on a real engine")
	}
	e, err := Detect(context.Background(), Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// loadProbe puts the smallest image there is into the engine.
func loadProbe(t *testing.T, e *Engine) string {
	t.Helper()
	img, err := probeImage(runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	tag := "localhost/slipway-test:" + e.State()
	for range 2 { // the second time there is nothing to do
		if err := e.Load(context.Background(), img, tag); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := e.RemoveImages(context.Background(), tag); err != nil {
			t.Error(err)
		}
		if _, found, err := e.Image(context.Background(), tag); err != nil || found {
			t.Errorf("the image is still there: %v, %v", found, err)
		}
	})
	return tag
}

func TestIntegrationRun(t *testing.T) {
	e := realEngine(t)
	tag := loadProbe(t, e)
	ctx := context.Background()
	var out bytes.Buffer
	if err := e.Run(ctx, Container{Image: tag, Network: "none"}, Streams{Stdout: &out, Stderr: &out}); err != nil {
		t.Errorf("running: %v: %s", err, out.String())
	}
	err := e.Run(ctx, Container{Image: tag, Network: "none", Entrypoint: []string{"/missing"}}, Streams{})
	var failed *command.Error
	if !errors.As(err, &failed) || failed.ExitCode != 127 || !strings.Contains(err.Error(), "/missing") {
		t.Errorf("running what is not there: %v", err)
	}
	err = e.Run(ctx, Container{Image: "localhost/slipway-test:none", Network: "none"}, Streams{})
	if err == nil {
		t.Error("an image that does not exist was run")
	}
	nothingLeft(t, e)
}

// TestIntegrationCancel: a container does not outlive its caller's context.
func TestIntegrationCancel(t *testing.T) {
	e := realEngine(t)
	tag := loadProbe(t, e)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.Run(ctx, Container{Image: tag, Network: "none"}, Streams{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	nothingLeft(t, e)
}

func TestIntegrationNetwork(t *testing.T) {
	e := realEngine(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	name := "slipway-test-" + e.State()
	for range 2 { // made once, found the second time
		if err := e.CreateNetwork(ctx, name, map[string]string{"slipway.dev/cluster": "x"}); err != nil {
			t.Fatal(err)
		}
	}
	networks, err := e.Networks(ctx)
	if err != nil || len(networks) != 1 || networks[0].Name != name || networks[0].Labels["slipway.dev/cluster"] != "x" {
		t.Errorf("networks %v, %v", networks, err)
	}
	other := *e
	other.state = "another"
	if err := other.CreateNetwork(ctx, name, nil); err == nil || !strings.Contains(err.Error(), "not of this state directory") {
		t.Errorf("another's network was taken: %v", err)
	}
	for range 2 {
		if err := e.RemoveNetwork(ctx, name); err != nil {
			t.Error(err)
		}
	}
	nothingLeft(t, e)
}

func nothingLeft(t *testing.T, e *Engine) {
	t.Helper()
	left, err := e.Leftovers(context.Background())
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
