package golden

import (
	"os"
	"path/filepath"
	"testing"
)

// recorder is a test that may fail without failing this one.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Errorf(string, ...any) { r.failed = true }

func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "testdata", "file")
	defer func() { *update = false }()
	*update = true
	Check(t, path, "as it was")
	*update = false
	for got, want := range map[string]bool{"as it was": false, "as it is": true} {
		r := &recorder{TB: t}
		Check(r, path, []byte(got))
		if r.failed != want {
			t.Errorf("%q: failed %v", got, r.failed)
		}
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "as it was" {
		t.Errorf("%q, %v", data, err)
	}
}
