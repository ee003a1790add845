package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-release/slipway/internal/command"
	"github.com/slipway-release/slipway/internal/state"
)

// lockDebian resolves root file systems to closures of packages. What an
// existing lock has stays as it is: Debian's archives move on every day, and
// whether a locked package is still the same shows by its hash when it is
// downloaded.
func (l *locker) lockDebian(ctx context.Context) error {
	var problems []error
	for _, want := range l.requests.debian {
		if have := l.existingDebian(&want); have != nil {
			l.file.Debian = append(l.file.Debian, *have)
			continue
		}
		if l.opts.Existing != nil {
			problems = append(problems, &InputError{Input: want.input(), Found: "it in a recipe"})
			continue
		}
		if err := l.resolveDebian(ctx, &want); err != nil {
			problems = append(problems, err)
			continue
		}
		l.file.Debian = append(l.file.Debian, want)
	}
	return errors.Join(problems...)
}

func (l *locker) existingDebian(want *LockedDebian) *LockedDebian {
	if l.opts.Existing == nil {
		return nil
	}
	for i := range l.opts.Existing.Debian {
		if have := &l.opts.Existing.Debian[i]; have.sameRequest(want) {
			return have
		}
	}
	return nil
}

// resolveDebian asks apt what it would install on a system without any package.
func (l *locker) resolveDebian(ctx context.Context, want *LockedDebian) error {
	apt, err := l.openApt(ctx, want.Suite)
	if err != nil {
		return fmt.Errorf("resolving %s: %w", want.input(), err)
	}
	release, err := apt.releases()
	if err != nil {
		return fmt.Errorf("resolving %s: %w", want.input(), err)
	}
	question := struct {
		Want    *LockedDebian
		Release []string
		Format  int
	}{want, release, 1}
	cached := filepath.Join(l.opts.Cache, "lock", "apt-"+cacheKey(question)+".json")
	if data, err := os.ReadFile(cached); err == nil {
		var known []DebPackage
		if json.Unmarshal(data, &known) == nil && len(known) > 0 {
			want.Closure = known
			return nil
		}
	}
	l.opts.Progress.Log("lock", "resolving Debian packages: "+strings.Join(want.Packages, " "))
	if want.Closure, err = apt.closure(ctx, slices.Concat(variants[want.Variant], want.Packages)); err != nil {
		return fmt.Errorf("resolving %s: %w", want.input(), err)
	}
	data, err := json.Marshal(want.Closure)
	if err != nil {
		return err
	}
	return state.WriteFile(cached, data, 0o644)
}

// aptRoot is apt with package lists and a status of its own, so that what is
// installed on the host does not count.
type aptRoot struct {
	dir      string
	env      []string
	options  []string
	archives []string
}

func (l *locker) openApt(ctx context.Context, suite string) (*aptRoot, error) {
	sources, err := aptSources(l.opts.AptDir, suite)
	if err != nil {
		return nil, err
	}
	text := renderSources(sources)
	arch := debianArch(l.opts.Platform)
	apt := &aptRoot{
		dir:      filepath.Join(l.opts.Cache, "apt", suite+"-"+arch+"-"+cacheKey(text)[:12]),
		env:      hostEnvironment(l.opts.Environ),
		archives: archives(sources),
	}
	if apt.dir, err = filepath.Abs(apt.dir); err != nil {
		return nil, err
	}
	for _, d := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(apt.dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	for name, content := range map[string]string{"host.sources": text, "status": "", "empty": ""} {
		if err := os.WriteFile(filepath.Join(apt.dir, name), []byte(content), 0o644); err != nil {
			return nil, err
		}
	}
	apt.options = aptOptions(apt.dir, arch)
	return apt, apt.refresh(ctx, l.opts)
}

func aptOptions(dir, arch string) []string {
	var args []string
	for _, o := range []string{
		"Dir::State::lists=" + dir + "/lists",
		"Dir::State::status=" + dir + "/status",
		"Dir::Cache=" + dir + "/cache",
		"Dir::Etc::SourceList=" + dir + "/host.sources",
		"Dir::Etc::SourceParts=/dev/null",
		"Dir::Etc::Preferences=" + dir + "/empty",
		"Dir::Etc::PreferencesParts=/dev/null",
		"APT::Architecture=" + arch,
		"APT::Architectures=" + arch,
		"APT::Install-Recommends=false",
		"APT::Install-Suggests=false",
		"APT::Sandbox::User=root", // the private folder need not be readable for _apt
		"APT::Update::Error-Mode=any",
		"Acquire::ForceHash=SHA256",
		"Acquire::Languages=none",
		"Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
		"Acquire::Retries=3",
		"Acquire::http::Timeout=30",
		"Acquire::https::Timeout=30",
	} {
		args = append(args, "-o", o)
	}
	return args
}

// refresh brings the package lists up to date when they are older than allowed.
// apt checks the archive's signature.
func (a *aptRoot) refresh(ctx context.Context, opts LockOptions) error {
	marker := filepath.Join(a.dir, "refreshed")
	if info, err := os.Stat(marker); err == nil && time.Since(info.ModTime()) < opts.ListsAge {
		return nil
	}
	opts.Progress.Log("lock", "refreshing Debian's package lists")
	if _, err := command.Output(ctx, clean(a.env, "apt-get", append(a.options, "-qq", "update")...)); err != nil {
		return fmt.Errorf("refreshing Debian's package lists: %s", said(err))
	}
	return state.WriteFile(marker, nil, 0o644)
}

// releases returns the digests of the signed indices that the lists belong to.
func (a *aptRoot) releases() ([]string, error) {
	names, err := filepath.Glob(filepath.Join(a.dir, "lists", "*Release"))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range names {
		digest, err := fileDigest(name)
		if err != nil {
			return nil, err
		}
		out = append(out, filepath.Base(name)+" "+digest)
	}
	return out, nil
}

func (a *aptRoot) closure(ctx context.Context, names []string) ([]DebPackage, error) {
	args := slices.Concat(a.options, []string{"-qq", "-y", "--print-uris", "install"}, names)
	out, err := command.Output(ctx, clean(a.env, "apt-get", args...))
	if err != nil {
		if strings.Contains(said(err), "Unable to locate package") || strings.Contains(said(err), "no installation candidate") {
			return nil, fmt.Errorf("%w: %s", ErrInput, said(err))
		}
		return nil, errors.New(said(err))
	}
	var closure []DebPackage
	for line := range strings.Lines(string(out)) {
		p, err := parsePrintURI(strings.TrimSpace(line), a.archives)
		if err != nil {
			return nil, err
		}
		closure = append(closure, p)
	}
	slices.SortFunc(closure, func(x, y DebPackage) int { return strings.Compare(x.Name+" "+x.Arch, y.Name+" "+y.Arch) })
	return closure, nil
}

// printURI is a line of `apt-get --print-uris`:
// 'http://host/debian/pool/main/b/bash/bash_5.2_amd64.deb' bash_5.2_amd64.deb 1234 SHA256:abcd
var printURI = regexp.MustCompile(`^'([^']+)' (\S+)\.deb ([0-9]+) SHA256:([0-9a-f]{64})$`)

func parsePrintURI(line string, archives []string) (DebPackage, error) {
	m := printURI.FindStringSubmatch(line)
	if m == nil {
		return DebPackage{}, fmt.Errorf("apt printed %q, which is not an address with size and SHA256", line)
	}
	parts := strings.Split(m[2], "_")
	if len(parts) != 3 {
		return DebPackage{}, fmt.Errorf("apt names a file %q, which is not name_version_architecture.deb", m[2])
	}
	version, err := url.PathUnescape(parts[1]) // the colon of an epoch is escaped
	if err != nil {
		return DebPackage{}, fmt.Errorf("apt names a file %q: %w", m[2], err)
	}
	size, err := strconv.ParseInt(m[3], 10, 64)
	if err != nil {
		return DebPackage{}, fmt.Errorf("apt printed %q: %w", line, err)
	}
	at := slices.IndexFunc(archives, func(a string) bool { return strings.HasPrefix(m[1], a+"/") })
	if at < 0 {
		return DebPackage{}, fmt.Errorf("apt would fetch %s, which is in none of its sources", m[1])
	}
	relative, err := url.PathUnescape(strings.TrimPrefix(m[1], archives[at]+"/"))
	if err != nil {
		return DebPackage{}, fmt.Errorf("apt printed %q: %w", line, err)
	}
	if !fs.ValidPath(relative) || parts[0] == "" {
		return DebPackage{}, fmt.Errorf("apt printed %q, which names no file of the archive", line)
	}
	return DebPackage{Name: parts[0], Version: version, Arch: parts[2], Path: relative, Size: size, SHA256: m[4]}, nil
}

// debianArch returns Debian's name of a platform's processor.
func debianArch(platform string) string {
	switch arch := architecture(platform); arch {
	case "386":
		return "i386"
	case "arm":
		return "armhf"
	case "ppc64le":
		return "ppc64el"
	default:
		return arch
	}
}
