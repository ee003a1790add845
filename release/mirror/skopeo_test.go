package mirror_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release/mirror"
)

// skopeo runs the program, with a policy that lets it copy.
func skopeo(t *testing.T, args ...string) {
	t.Helper()
	policy := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(policy, []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("skopeo", append([]string{"--policy", policy, "--tmpdir", t.TempDir()}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("skopeo %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestSkopeoCopiesWhatWeWriteAndWeReadWhatItWrites takes a payload through our
// layout, our archive and skopeo's own, from registry to registry.
func TestSkopeoCopiesWhatWeWriteAndWeReadWhatItWrites(t *testing.T) {
	if _, err := exec.LookPath("skopeo"); err != nil {
		t.Skip("skopeo is not installed; slipway host prepare --tests installs it")
	}
	w := newOrigin(t, few)
	// skopeo keeps to OCI's media types in a layout.
	img := mutate.MediaType(mutate.ConfigMediaType(w.payload().Image(t), types.OCIConfigJSON), types.OCIManifestSchema1)
	digest, err := w.registry.Push(t.Context(), w.repository()+":oci", img)
	if err != nil {
		t.Fatal(err)
	}
	w.reference = w.repository() + "@" + digest.String()

	dir, file := filepath.Join(t.TempDir(), "layout"), filepath.Join(t.TempDir(), "archive.tar")
	l, err := oci.CreateLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	run(t, w.options(mirror.ToLayout(l)))
	a, err := oci.CreateArchive(t.Context(), file, 0)
	if err != nil {
		t.Fatal(err)
	}
	run(t, w.options(mirror.ToArchive(a)))
	a.Close()

	target := ocitest.Registry(t)
	registry := client(t, target.Addr())
	theirs := filepath.Join(t.TempDir(), "theirs")
	for name, source := range map[string]string{
		"layout":  "oci:" + dir + ":" + version + "-x86_64",
		"archive": "oci-archive:" + file + ":" + version + "-x86_64",
	} {
		to := target.Addr() + "/" + name + ":1"
		skopeo(t, "copy", "--all", "--preserve-digests", "--dest-tls-verify=false", source, "docker://"+to)
		if got, err := registry.Resolve(t.Context(), to); err != nil || got != digest {
			t.Errorf("what skopeo copied out of our %s is %s, %v; want %s", name, got, err, digest)
		}
		skopeo(t, "copy", "--all", "--preserve-digests", source, "oci:"+theirs+":"+name)
		skopeo(t, "copy", "--all", "--preserve-digests", source, "oci-archive:"+theirs+"-"+name+".tar:"+name)
	}
	for _, path := range []string{theirs, theirs + "-layout.tar", theirs + "-archive.tar"} {
		read, err := oci.OpenLayout(path)
		if err != nil {
			t.Fatal(err)
		}
		defer read.Close()
		readAll(t, read, "any.example/repository@"+digest.String())
		entries, err := read.Entries()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range entries {
			if d.Digest != digest {
				t.Errorf("%s lists %s", path, d.Digest)
			}
		}
	}
}
