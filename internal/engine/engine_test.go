package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/internal/command"
	"github.com/slipway-release/slipway/internal/golden"
)

func TestContainersConf(t *testing.T) {
	for name, host := range map[string]Host{
		"hybrid-without-sys-resource": {OpenFiles: 20000, Processes: 32768, Runc: true, Root: true},
		"v2-ordinary":                 {CgroupV2: true, SysResource: true, OpenFiles: 1 << 20, Processes: 1 << 20, Runc: true, Root: true},
		"v2-limits-but-no-maximum":    {CgroupV2: true, Root: true},
		"v1-without-runc":             {SysResource: true, Root: true},
	} {
		t.Run(name, func(t *testing.T) { golden.Check(t, "testdata/"+name+".conf", containersConf(host)) })
	}
}

func TestHasCapability(t *testing.T) {
	for name, test := range map[string]struct {
		status string
		want   bool
	}{
		"all":                  {"Name:\tx\nCapEff:\t000001ffffffffff\n", true},
		"all but this one":     {"CapEff:\t000001fffeffffff\n", false},
		"only in other sets":   {"CapPrm:\t000001ffffffffff\nCapEff:\t0000000000000000\nCapBnd:\t000001ffffffffff\n", false},
		"no such line":         {"Name:\tx\n", false},
		"not a number":         {"CapEff:\tzzz\n", false},
		"this one and no more": {"CapEff:\t0000000001000000\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := hasCapability(test.status, capSysResource); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestAtLeast(t *testing.T) {
	for version, want := range map[string]bool{
		"4.6.0": true, "4.6.0-dev": true, "4.10.1": true, "5.0.0": true, "4.5.9": false, "4.3.1": false, "3.9.9": false, "": false, "x.y": false,
	} {
		if got := atLeast(version, 4, 6); got != want {
			t.Errorf("atLeast(%q, 4, 6) = %v, want %v", version, got, want)
		}
	}
}

// TestProbeProgram runs what would run in the container.
func TestProbeProgram(t *testing.T) {
	program, err := probeProgram(runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "probe")
	if err := os.WriteFile(path, program, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(path).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("probe ended with %v and said %q; want success and silence", err, out)
	}
	if _, err := probeProgram("mips"); err == nil {
		t.Error("a program for an unknown architecture was made")
	}
}

// fakeEngine puts a script into PATH under an engine's name. "$@" are the
// engine's arguments.
func fakeEngine(t *testing.T, dir, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
}

// works is an engine that does all that Detect asks; what it was asked goes to a file.
const works = `echo "$@" >>"$0.log"
case "$1" in
info) echo 9.9.9 ;;
image) echo "Error: x: image not known" >&2; exit 125 ;;
esac`

func TestDetect(t *testing.T) {
	refusesPrivileged := strings.Replace(works, `case "$1" in`, `case "$1" in
run) echo "warning: old" >&2; echo "Error: unable to apply caps: operation not permitted" >&2; exit 126 ;;`, 1)
	noDaemon := `echo "Cannot connect to the Docker daemon" >&2; exit 1`
	for name, test := range map[string]struct {
		engines map[string]string
		want    string
		choose  string
		reasons []string // of the error; empty: none
	}{
		"podman first":             {engines: map[string]string{Podman: works, Docker: works}, want: Podman},
		"docker when podman fails": {engines: map[string]string{Podman: refusesPrivileged, Docker: works}, want: Docker},
		"docker alone":             {engines: map[string]string{Docker: works}, want: Docker},
		"docker by choice":         {engines: map[string]string{Podman: works, Docker: works}, want: Docker, choose: Docker},
		"none":                     {reasons: []string{"podman: not installed", "docker: not installed", "apt-get install podman"}},
		"none can": {
			engines: map[string]string{Podman: refusesPrivileged, Docker: noDaemon},
			reasons: []string{"unable to apply caps: operation not permitted", "Cannot connect to the Docker daemon"},
		},
		"the chosen one cannot": {engines: map[string]string{Podman: refusesPrivileged, Docker: works}, choose: Podman, reasons: []string{"unable to apply caps"}},
		"unknown choice":        {engines: map[string]string{Podman: works}, choose: "lxc", reasons: []string{`"lxc"`, "podman and docker"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for engine, script := range test.engines {
				fakeEngine(t, dir, engine, script)
			}
			if err := os.Symlink("/bin/sh", filepath.Join(dir, "sh")); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", dir)
			e, err := Detect(context.Background(), Options{StateDir: t.TempDir(), Want: test.choose})
			if len(test.reasons) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				if e.Kind() != test.want || e.Version() != "9.9.9" {
					t.Errorf("got %s %s, want %s", e.Kind(), e.Version(), test.want)
				}
				return
			}
			if err == nil {
				t.Fatal("an engine was found")
			}
			for _, reason := range test.reasons {
				if !strings.Contains(err.Error(), reason) {
					t.Errorf("error %q does not say %q", err, reason)
				}
			}
			if test.choose != "lxc" && !errors.Is(err, ErrNone) {
				t.Errorf("error %v is not ErrNone", err)
			}
			if strings.Contains(err.Error(), "warning: old") {
				t.Errorf("error %q repeats warnings", err)
			}
		})
	}
}

// TestDetectRemembers: what was tried once is not tried again until something changed.
func TestDetectRemembers(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	fakeEngine(t, dir, Podman, works)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	tries := func() int {
		if _, err := Detect(context.Background(), Options{StateDir: state, Want: Podman}); err != nil {
			t.Fatal(err)
		}
		log, err := os.ReadFile(filepath.Join(dir, "podman.log"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(log), "run --rm")
	}
	if n := tries(); n != 1 {
		t.Fatalf("tried %d times at first, want 1", n)
	}
	if n := tries(); n != 1 {
		t.Errorf("tried %d times after the second call, want 1", n)
	}
	fakeEngine(t, dir, Podman, strings.Replace(works, "9.9.9", "9.9.10", 1))
	if n := tries(); n != 2 {
		t.Errorf("tried %d times after the engine changed, want 2", n)
	}
}

func TestRunArgs(t *testing.T) {
	e := &Engine{kind: Podman, state: "abc"}
	got := e.runArgs(Container{
		Name: "n", Image: "img", Entrypoint: []string{"/bin/sh", "-c"}, Args: []string{"true"},
		Env: map[string]string{"B": "2", "A": "1"}, Labels: map[string]string{"l": "v"},
		Mounts: []Mount{{Source: "/a", Target: "/b", ReadOnly: true}, {Source: "/c", Target: "/d"}},
		Tmpfs:  []string{"/tmp"}, Network: "none", Hostname: "h", User: "1", WorkDir: "/w", Privileged: true, Extra: []string{"--init"},
	}, true)
	want := "--name n --label slipway.dev/state=abc --pull=never --interactive --label l=v --env A=1 --env B=2" +
		" --volume /a:/b:ro --volume /c:/d --tmpfs /tmp --network none --hostname h --user 1 --workdir /w --privileged" +
		" --entrypoint /bin/sh --init img -c true"
	if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseInspect(t *testing.T) {
	// Podman gives names bare, Docker with a slash before them.
	got, err := parseInspect([]byte(`[
{"Name":"/b","State":{"Running":true},"Config":{"Labels":{"k":"v"}},"NetworkSettings":{"Networks":{"net":{"IPAddress":"10.0.0.2"}}}},
{"Name":"a","State":{"Running":false},"Config":{},"NetworkSettings":{}}]`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Info{
		{Name: "a", Addresses: map[string]string{}},
		{Name: "b", Running: true, Labels: map[string]string{"k": "v"}, Addresses: map[string]string{"net": "10.0.0.2"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, bad := range []string{"", "[]", "{", `[{"Name":1}]`} {
		if _, err := parseInspect([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestIsAbsent(t *testing.T) {
	for text, want := range map[string]bool{
		"Error: inspecting object: x: image not known":                       true,
		`Error: no such object: "x"`:                                         true,
		"Error: No such image: x":                                            true,
		"Error: no container with name or ID \"x\" found: no such container": true,
		"Error: unable to find network with name or ID x: network not found": true,
		"Error: cannot connect":                                              false,
		"Error: network is being used by the following containers: x":        false,
	} {
		if got := isAbsent(fmt.Errorf("removing: %w", &command.Error{Argv: []string{"x"}, Output: text})); got != want {
			t.Errorf("isAbsent(%q) = %v, want %v", text, got, want)
		}
	}
	if isAbsent(nil) || isAbsent(errors.New("no such thing")) {
		t.Error("what is no failed command counts as absent")
	}
}
