package host

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"
)

func TestPrepareWithoutPermissionNamesTheCommand(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // nothing is installed as far as PATH tells
	err := Prepare(context.Background(), Options{Needs: Needs{Engine: true}, Log: io.Discard})
	if err == nil {
		t.Fatal("Prepare: no error although gcc and podman are not in PATH")
	}
	for _, want := range []string{"apt-get install -y --no-install-recommends", "gcc", "podman"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error is more than one line: %q", err)
	}
}

func TestMissingLooksAtPath(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	before := len(Missing(Needs{}))
	if err := os.WriteFile(bin+"/gcc", []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if after := len(Missing(Needs{})); after != before-1 {
		t.Errorf("with gcc in PATH %d requirements are missing, want %d", after, before-1)
	}
}

func TestEveryRequirementSaysWhy(t *testing.T) {
	for _, r := range (Needs{Engine: true, Tests: true}).requirements() {
		if r.Why == "" || len(r.Present) == 0 {
			t.Errorf("requirement %q has no reason or no way to see it", r.Package)
		}
	}
}
