// Package host knows what a Debian machine needs before Slipway can work on it,
// and installs what is missing. It decides nothing about engines or clusters;
// internal/engine looks at what is there and chooses.
package host

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/slipway-release/slipway/internal/command"
)

// Requirement is one Debian package and the reason for it.
type Requirement struct {
	Package string `json:"package"`
	Why     string `json:"why"`
	// Present are files of which one must exist; a name without a slash is
	// looked up in PATH.
	Present []string `json:"-"`
}

// requirements lists everything a run uses beyond Go, git and make.
var requirements = []Requirement{
	{"gcc", "compiles pause and runc", []string{"gcc"}},
	{"libc6-dev", "compiles pause and runc", []string{"/usr/include/stdio.h"}},
	{"libseccomp-dev", "runc's seccomp filters", []string{"/usr/include/seccomp.h"}},
	{"pkg-config", "finds libseccomp for runc", []string{"pkg-config"}},
	{"mmdebstrap", "makes root file systems from Debian packages", []string{"mmdebstrap"}},
	{"ca-certificates", "downloads over TLS", []string{"/etc/ssl/certs/ca-certificates.crt"}},
}

// engineRequirements are needed where no container engine works yet.
var engineRequirements = []Requirement{
	{"podman", "runs the nodes of test clusters", []string{"podman"}},
	{"runc", "runs containers on hosts with cgroup v1", []string{"runc"}},
	{"netavark", "Podman's networks", []string{"/usr/lib/podman/netavark"}},
	{"aardvark-dns", "lets cluster nodes find each other by name", []string{"/usr/lib/podman/aardvark-dns"}},
	{"iptables", "Podman's networks", []string{"iptables", "/usr/sbin/iptables"}},
}

// testRequirements are programs that the tests hold Slipway against.
var testRequirements = []Requirement{
	{"gnupg", "signs and verifies release claims in tests", []string{"gpg"}},
	{"skopeo", "copies payloads in tests", []string{"skopeo"}},
}

// Needs says what for a machine is looked at, besides what every run needs.
type Needs struct {
	Engine bool // a container engine
	Tests  bool // the tests of Slipway itself
}

func (n Needs) requirements() []Requirement {
	wanted := slices.Clone(requirements)
	if n.Engine {
		wanted = append(wanted, engineRequirements...)
	}
	if n.Tests {
		wanted = append(wanted, testRequirements...)
	}
	return wanted
}

// Missing returns what this machine lacks.
func Missing(n Needs) []Requirement {
	var missing []Requirement
	for _, r := range n.requirements() {
		if !present(r) {
			missing = append(missing, r)
		}
	}
	return missing
}

func present(r Requirement) bool {
	for _, p := range r.Present {
		if strings.Contains(p, "/") {
			if _, err := os.Stat(p); err == nil {
				return true
			}
			continue
		}
		if _, err := command.Find(p); err == nil {
			return true
		}
	}
	return false
}

// InstallCommand is what a person would type to install the packages.
func InstallCommand(missing []Requirement) string {
	return "apt-get update && apt-get install -y --no-install-recommends " + strings.Join(names(missing), " ")
}

// Options say how Prepare may change the machine.
type Options struct {
	Needs
	// MayInstall allows it to install packages.
	MayInstall bool
	// Log receives what is about to be installed and why, and apt's output.
	Log io.Writer
}

// Prepare installs what is missing, after it has said what and why. Where it
// may not or cannot, the error is one sentence with the command to run.
func Prepare(ctx context.Context, o Options) error {
	missing := Missing(o.Needs)
	if len(missing) == 0 {
		return nil
	}
	var why string
	switch {
	case !o.MayInstall:
		why = "installing was switched off"
	case os.Geteuid() != 0:
		why = "only root may install them"
	case !isDebian():
		why = "this host does not use Debian packages"
	default:
		return install(ctx, missing, o.Log)
	}
	return fmt.Errorf("preparing this host: packages are missing and %s; run: %s", why, InstallCommand(missing))
}

func install(ctx context.Context, missing []Requirement, log io.Writer) error {
	fmt.Fprintln(log, "installing Debian packages that this host lacks:")
	for _, r := range missing {
		fmt.Fprintf(log, "  %-18s %s\n", r.Package, r.Why)
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	env := []string{"DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"}
	// Another apt may hold its lock for a while on a machine that has just started.
	lock := []string{"-o", "DPkg::Lock::Timeout=300"}
	steps := [][]string{
		append(lock, "update"),
		append(append(lock, "install", "-y", "--no-install-recommends"), names(missing)...),
	}
	for _, args := range steps {
		if err := command.Run(ctx, command.Cmd{Path: "apt-get", Args: args, Env: env}); err != nil {
			return fmt.Errorf("preparing this host: %w; run: %s", err, InstallCommand(missing))
		}
	}
	return nil
}

func names(rs []Requirement) []string {
	out := make([]string, len(rs))
	for i, r := range rs {
		out[i] = r.Package
	}
	return out
}

func isDebian() bool {
	_, err := os.Stat(filepath.Join("/etc", "debian_version"))
	return err == nil
}
