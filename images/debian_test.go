package images_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/images"
)

// TestDebian installs real packages twice, in two places that share nothing but
// the lock.
func TestDebian(t *testing.T) {
	if testing.Short() {
		t.Skip("installs packages from a Debian mirror")
	}
	for _, program := range []string{"mmdebstrap", "apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed", program)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("making a root file system needs root")
	}
	r := recipe("os", images.Layer{Debian: &images.DebianLayer{
		Suite: "bookworm", Variant: "essential", Packages: []string{"ca-certificates"},
		Remove: []string{"/usr/share/doc/*", "/usr/share/man/*"}, Commands: []string{`echo 'a b' >"/etc/it's"`, "test -x /bin/sh"},
	}})
	recipes := []*images.Recipe{r}
	a, b := newPlace(t, t.TempDir()), newPlace(t, t.TempDir())
	lock := a.lock(t, recipes)
	var first, second map[string]images.Result
	g, ctx := errgroup.WithContext(t.Context())
	g.Go(func() (err error) { first, err = a.build(ctx, recipes, lock); return err })
	g.Go(func() (err error) { second, err = b.build(ctx, recipes, lock); return err })
	check(t, g.Wait())
	if first["os"].Digest != second["os"].Digest {
		t.Errorf("%s in one place, %s in the other", first["os"].Digest, second["os"].Digest)
	}
	if n := len(first["os"].Packages); n != len(lock.Debian[0].Closure) || n < 40 {
		t.Errorf("%d packages, want the %d of the lock", n, len(lock.Debian[0].Closure))
	}
	img, err := a.registry.Image(t.Context(), first["os"].Reference)
	check(t, err)
	headers, contents := files(t, img)
	if got := contents["etc/it's"]; got != "a b\n" {
		t.Errorf("the command wrote %q", got)
	}
	if headers["usr/bin/bash"] == nil || headers["etc/ssl/certs/ca-certificates.crt"] == nil || headers["var/lib/dpkg/status"] == nil {
		t.Error("bash, the certificates or dpkg's status are missing")
	}
	for name := range headers {
		if strings.HasPrefix(name, "usr/share/doc/") || strings.HasPrefix(name, "dev/") || name == "etc/hostname" {
			t.Errorf("%s is in the image", name)
		}
	}
}

func TestDebianPackageThatDoesNotExist(t *testing.T) {
	if testing.Short() {
		t.Skip("reads the package lists of a Debian mirror")
	}
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		t.Skip("mmdebstrap is not installed")
	}
	p := newPlace(t, t.TempDir())
	r := recipe("os", images.Layer{Debian: &images.DebianLayer{Suite: "bookworm", Packages: []string{"no-such-package-here"}}})
	_, err := p.tryLock(t.Context(), []*images.Recipe{r}, nil)
	if !errors.Is(err, images.ErrInput) || !strings.Contains(err.Error(), "no-such-package-here") {
		t.Errorf("error %v, want one that wraps ErrInput and names the package", err)
	}
}
