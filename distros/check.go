package distros

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/slipway-release/slipway/images"
)

var (
	dnsLabel   = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	repository = regexp.MustCompile(`^[a-z0-9]+([.-][a-z0-9]+)*(:[0-9]+)?(/[a-z0-9]+([._-][a-z0-9]+)*)+$`)
	platform   = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$`)
)

// checkNames checks distro.yaml itself.
func (l *loader) checkNames() {
	doc := &l.doc
	if doc.APIVersion != images.APIVersion {
		l.bad("apiVersion", "must be %q, not %q", images.APIVersion, doc.APIVersion)
	}
	if doc.Kind != "Distribution" {
		l.bad("kind", `must be "Distribution", not %q`, doc.Kind)
	}
	if !dnsLabel.MatchString(doc.Metadata.Name) {
		l.bad("metadata.name", "must be a DNS label such as skiff, not %q", doc.Metadata.Name)
	}
	if !repository.MatchString(doc.Repository) {
		l.bad("repository", "must be HOST/PATH such as registry.example.com/skiff, not %q", doc.Repository)
	}
	if !semver.IsValid("v"+doc.Version) || semver.Canonical("v"+doc.Version) != "v"+doc.Version {
		l.bad("version", "must be a version such as 1.36.3, not %q", doc.Version)
	}
	if !platform.MatchString(doc.Platform) {
		l.bad("platform", "must be OS/ARCHITECTURE such as linux/amd64, not %q", doc.Platform)
	}
	if len(doc.Components) == 0 {
		l.bad("components", "is missing; it lists the components")
	}
	if !slices.Contains(doc.Components, doc.PayloadBase) {
		l.bad("payloadBase", "must be one of the components, not %q", doc.PayloadBase)
	}
	for _, name := range slices.Sorted(maps.Keys(doc.Versions)) {
		if doc.Versions[name] == "" && !l.distro.reported("versions."+name) {
			l.bad("versions."+name, "is empty")
		}
	}
	l.checkModules()
	l.checkStreams()
	l.checkTools()
}

func (l *loader) checkModules() {
	for _, d := range l.decoders {
		if len(d.problems) > 0 {
			return // what could not be read may use any of them
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.doc.Modules)) {
		used := func(r *images.Recipe) bool {
			return slices.ContainsFunc(r.Layers, func(layer images.Layer) bool {
				return (layer.Go != nil && layer.Go.Module == name) || (layer.C != nil && layer.C.Module == name) ||
					(layer.ModuleFiles != nil && layer.ModuleFiles.Module == name)
			})
		}
		if !slices.ContainsFunc(l.recipes, used) {
			l.bad("modules."+name, "no component is made of this module")
		}
	}
}

func (l *loader) checkStreams() {
	channels := map[string]bool{}
	for i, c := range l.doc.Channels {
		field := fmt.Sprintf("channels[%d].name", i)
		if !dnsLabel.MatchString(c.Name) {
			l.bad(field, "must be a DNS label such as candidate, not %q", c.Name)
		} else if channels[c.Name] {
			l.bad(field, "channel %q stands here twice", c.Name)
		}
		channels[c.Name] = true
	}
	streams := map[string]bool{}
	for i, s := range l.doc.Streams {
		field := fmt.Sprintf("streams[%d]", i)
		if !dnsLabel.MatchString(s.Name) {
			l.bad(field+".name", "must be a DNS label such as nightly, not %q", s.Name)
		} else if streams[s.Name] {
			l.bad(field+".name", "stream %q stands here twice", s.Name)
		}
		streams[s.Name] = true
		for k, c := range s.Channels {
			if !channels[c] {
				l.bad(fmt.Sprintf("%s.channels[%d]", field, k), "there is no channel %q", c)
			}
		}
		l.checkStream(field, &s)
	}
}

// checks are the names of all tests there are.
var checks = []string{"conformance", "upgrade"}

func (l *loader) checkStream(field string, s *Stream) {
	for list, names := range map[string][]string{"blocking": s.Checks.Blocking, "informing": s.Checks.Informing} {
		for i, name := range names {
			at := fmt.Sprintf("%s.checks.%s[%d]", field, list, i)
			switch {
			case !slices.Contains(checks, name):
				l.bad(at, "must be one of %s, not %q", strings.Join(checks, ", "), name)
			case slices.Index(names, name) < i:
				l.bad(at, "check %q stands here twice", name)
			case list == "informing" && slices.Contains(s.Checks.Blocking, name):
				l.bad(at, "check %q is blocking already", name)
			}
		}
	}
	for name, p := range s.Upgrade.Profiles {
		at := field + ".upgrade.profiles." + name
		if name != "single" && name != "ha" {
			l.bad(at, "must be single or ha, not %q", name)
		}
		for key, value := range map[string]string{"apiGap": p.APIGap, "serviceGap": p.ServiceGap, "dnsGap": p.DNSGap} {
			if value != "" && value != "report" && value != "forbid" {
				l.bad(at+"."+key, "must be report or forbid, not %q", value)
			}
		}
	}
}

var toolPlatform = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9]+$`)

// checkTools checks the table of client tools as far as it is about the
// distribution; whoever extracts them checks the rest.
func (l *loader) checkTools() {
	for i, t := range l.doc.Tools {
		at := fmt.Sprintf("tools[%d]", i)
		if t.Name == "" {
			l.bad(at+".name", "is missing")
		}
		if !slices.Contains(l.doc.Components, t.Component) {
			l.bad(at+".component", "must be one of the components, not %q", t.Component)
		}
		if !strings.HasPrefix(t.Path, "/") {
			l.bad(at+".path", "must be an absolute path in the component's image, not %q", t.Path)
		}
		if len(t.Platforms) == 0 {
			l.bad(at+".platforms", "is missing; it lists OS/ARCH")
		}
		for k, p := range t.Platforms {
			if !toolPlatform.MatchString(p) {
				l.bad(fmt.Sprintf("%s.platforms[%d]", at, k), "must be OS/ARCH such as linux/amd64, not %q", p)
			}
		}
		if !strings.HasSuffix(t.Archive, ".tar.gz") && !strings.HasSuffix(t.Archive, ".zip") {
			l.bad(at+".archive", "must end in .tar.gz or .zip, not %q", t.Archive)
		}
	}
}
