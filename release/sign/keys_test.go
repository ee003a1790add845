package sign_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/slipway-release/slipway/release/sign"
)

func TestKeyFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if _, err := sign.LoadKeyDir(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before there are keys: %v", err)
	}
	made, err := sign.LoadOrCreateKey(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]fs.FileMode{"cosign.key": 0o600, "cosign.password": 0o600, "cosign.pub": 0o644} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want %v", name, info.Mode(), err, mode)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v", info.Mode(), err)
	}
	key, err := os.ReadFile(filepath.Join(dir, "cosign.key"))
	if err != nil || !bytes.Contains(key, []byte("ENCRYPTED SIGSTORE PRIVATE KEY")) {
		t.Errorf("the private key is stored as %.40s, %v", key, err)
	}
	again, err := sign.LoadOrCreateKey(dir, "")
	if err != nil || again.KeyID() != made.KeyID() {
		t.Errorf("the second time: %v", err)
	}
	if _, err := sign.LoadKeyDir(dir); err != nil {
		t.Error(err)
	}

	// Half of a crash: the public key was not written yet.
	if err := os.Remove(filepath.Join(dir, "cosign.pub")); err != nil {
		t.Fatal(err)
	}
	if again, err = sign.LoadOrCreateKey(dir, ""); err != nil || again.KeyID() != made.KeyID() {
		t.Errorf("without the public key: %v", err)
	}
	if _, err := sign.LoadKeyDir(dir); err != nil {
		t.Error(err)
	}
}

func TestPasswordOfTheCaller(t *testing.T) {
	dir := t.TempDir()
	made, err := sign.LoadOrCreateKey(dir, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "cosign.password")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the caller's password was stored: %v", err)
	}
	if again, err := sign.LoadOrCreateKey(dir, "correct horse"); err != nil || again.KeyID() != made.KeyID() {
		t.Errorf("the second time: %v", err)
	}
	for password, part := range map[string]string{"": "COSIGN_PASSWORD", "wrong battery": "cannot be decrypted"} {
		_, err := sign.LoadOrCreateKey(dir, password)
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("with %q: %v", password, err)
		} else if password != "" && strings.Contains(err.Error(), password) {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

func TestKeysThatDoNotFit(t *testing.T) {
	one, two := keyDir(t, 0), keyDir(t, 1)
	foreign, err := os.ReadFile(filepath.Join(two, "cosign.pub"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(one, "cosign.pub"), foreign, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sign.LoadOrCreateKey(one, ""); err == nil || !strings.Contains(err.Error(), "not the public half") {
		t.Errorf("a foreign public key: %v", err)
	}
	if err := os.Remove(filepath.Join(one, "cosign.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := sign.LoadOrCreateKey(one, ""); err == nil || !strings.Contains(err.Error(), "bring the private key back") {
		t.Errorf("a public key alone: %v", err)
	}
}

// TestKeysAtOnce has two processes make the first key.
func TestKeysAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	ids := make([]string, 2)
	var wait sync.WaitGroup
	for i := range ids {
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKeysHelper$", "-test.v")
		c.Env = append(os.Environ(), "SIGN_TEST_KEYS="+dir)
		wait.Go(func() {
			out, err := c.CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
			_, rest, _ := strings.Cut(string(out), "key id: ")
			ids[i], _, _ = strings.Cut(rest, "\n")
		})
	}
	wait.Wait()
	for _, id := range ids {
		if id == "" || id != ids[0] {
			t.Fatalf("the processes have the keys %q", ids)
		}
	}
}

// TestKeysHelper is what the processes of TestKeysAtOnce run.
func TestKeysHelper(t *testing.T) {
	dir := os.Getenv("SIGN_TEST_KEYS")
	if dir == "" {
		t.Skip("runs inside TestKeysAtOnce only")
	}
	s, err := sign.LoadOrCreateKey(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Log("key id: " + s.KeyID())
}
