package distros

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

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
		if doc.Versions[name] == "" && !l.distro.Reported("versions."+name) {
			l.bad("versions."+name, "is empty")
		}
	}
	l.checkModules()
	l.checkStreams()
	l.checkTools()
}

func (l *loader) checkModules() {
	for _, d := range l.decoders {
		if len(d.Problems) > 0 {
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
	streams := map[string]bool{}
	stable := ""
	for i, s := range l.doc.Streams {
		field := fmt.Sprintf("streams[%d]", i)
		if s.Stable && stable != "" {
			l.bad(field+".stable", "stream %q holds the releases whose versions name no stream already", stable)
		} else if s.Stable {
			stable = s.Name
		}
		if !dnsLabel.MatchString(s.Name) {
			l.bad(field+".name", "must be a DNS label such as nightly, not %q", s.Name)
		} else if streams[s.Name] {
			l.bad(field+".name", "stream %q stands here twice", s.Name)
		}
		streams[s.Name] = true
		for k, c := range s.Channels {
			if l.channel(c) == nil {
				l.bad(fmt.Sprintf("%s.channels[%d]", field, k), "there is no channel %q", c)
			}
		}
		l.checkStream(field, &s)
	}
}

// checks are the names of the tests that the pipeline nightly runs.
var checks = []string{"conformance", "upgrade"}

func (l *loader) checkStream(field string, s *Stream) {
	l.checkRules(field, s)
	for list, names := range map[string][]string{"blocking": s.Checks.Blocking, "informing": s.Checks.Informing} {
		for i, name := range names {
			at := fmt.Sprintf("%s.checks.%s[%d]", field, list, i)
			switch {
			case !slices.Contains(checks, name) && !hasPipeline(s, name):
				known := append(slices.Clone(checks), slices.Sorted(maps.Keys(s.Checks.Pipelines))...)
				l.bad(at, "must be one of %s, not %q", strings.Join(known, ", "), name)
			case slices.Index(names, name) < i:
				l.bad(at, "check %q stands here twice", name)
			case list == "informing" && slices.Contains(s.Checks.Blocking, name):
				l.bad(at, "check %q is blocking already", name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Upgrade.Profiles)) {
		at := field + ".upgrade.profiles." + name
		if name != "single" && name != "ha" {
			l.bad(at, "must be single or ha, not %q", name)
		}
		l.checkUpgrade(at, s.Upgrade.Profiles[name])
	}
}

// dashed is what names of backends and ids of rules look like.
var dashed = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func (l *loader) checkUpgrade(at string, p UpgradeProfile) {
	for _, s := range p.shortGaps() {
		l.checkTolerance(at+"."+s.field, s.value)
		if _, twice := p.Gaps[s.backend]; twice && s.value != "" {
			l.bad(at+"."+s.field, "gaps.%s says the same; leave one of them out", s.backend)
		}
	}
	l.checkTolerances(at+".gaps", p.Gaps)
	l.checkTolerances(at+".findings.rules", p.Findings.Rules)
	for i, e := range p.Findings.Exceptions {
		field := fmt.Sprintf("%s.findings.exceptions[%d]", at, i)
		if !dashed.MatchString(e.Rule) {
			l.bad(field+".rule", "must be the id of a rule such as node-not-ready, not %q", e.Rule)
		}
		if strings.TrimSpace(e.Reason) == "" {
			l.bad(field+".reason", "is missing; it says why the finding is borne with")
		}
		if _, err := time.Parse(time.DateOnly, e.Until); err != nil {
			l.bad(field+".until", "must be the last day of the exception such as 2027-01-31, not %q", e.Until)
		}
	}
}

func (l *loader) checkTolerances(at string, table map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(table)) {
		field := at + "." + name
		if !dashed.MatchString(name) {
			l.bad(field, "must be words of lower case letters and digits with dashes between them, such as kube-api, not %q", name)
		}
		l.checkTolerance(field, table[name])
	}
}

func (l *loader) checkTolerance(field, value string) {
	if value != "" && value != "report" && value != "forbid" {
		l.bad(field, "must be report or forbid, not %q", value)
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
