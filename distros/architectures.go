package distros

import (
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/internal/spelling"
)

// architectures are those that images of Linux are made for, by the names that Go and
// image indexes give them.
var architectures = []string{"386", "amd64", "arm", "arm64", "loong64", "mips64le", "ppc64le", "riscv64", "s390x"}

// otherNames are those of the kernel and of package systems.
var otherNames = map[string]string{
	"x86_64": "amd64", "x86-64": "amd64", "x64": "amd64", "i386": "386", "i686": "386", "x86": "386",
	"aarch64": "arm64", "armhf": "arm", "ppc64el": "ppc64le", "loongarch64": "loong64",
}

// Architecture is that of the distribution's platform, which its components are built for.
func (d *Distribution) Architecture() string { return architectureOf(d.Platform) }

func architectureOf(platform string) string {
	parts := strings.Split(platform, "/")
	if len(parts) < 2 {
		return ""
	}
	return parts[1]
}

// ArchitecturesOf are those that a stream's payloads are for, in order.
func (d *Distribution) ArchitecturesOf(s *Stream) []string {
	if len(s.Architectures) == 0 {
		return []string{d.Architecture()}
	}
	return slices.Sorted(slices.Values(s.Architectures))
}

// checkArchitectures checks the names, and that what the stream is made of may be there for
// all of them: what is built here is built for one.
func (l *loader) checkArchitectures(field string, s *Stream) {
	own := architectureOf(l.doc.Platform)
	for i, a := range s.Architectures {
		field := fmt.Sprintf("%s[%d]", field, i)
		switch {
		case a == "multi":
			l.bad(field, "must list the architectures of the manifest list, such as [amd64, arm64], not %q", a)
		case !slices.Contains(architectures, a):
			l.bad(field, "there is no architecture %q%s", a, didYouMean(a))
		case slices.Contains(s.Architectures[:i], a):
			l.bad(field, "architecture %q stands here twice", a)
		}
	}
	if s.Stable || len(s.Architectures) == 0 || (len(s.Architectures) == 1 && s.Architectures[0] == own) {
		return
	}
	switch {
	case len(s.Inputs.Components) > 0:
		for _, c := range l.doc.Components {
			if s.Inputs.Components[c] == "" {
				l.bad(field, "component %q is not among inputs.components, and is built here for %s alone; name a repository for it", c, own)
			}
		}
	case s.Inputs.Stream != "":
		l.checkFed(field, s)
	default:
		l.bad(field, "need inputs.components or inputs.stream: components that are built here are built for %s alone", own)
	}
}

// checkFed checks that the stream that another is made of has all its architectures.
func (l *loader) checkFed(field string, s *Stream) {
	i := slices.IndexFunc(l.doc.Streams, func(o Stream) bool { return o.Name == s.Inputs.Stream })
	if i < 0 || l.feedsItself(s.Name, s.Inputs.Stream) {
		return // said elsewhere
	}
	have := l.doc.Streams[i].Architectures
	if len(have) == 0 {
		have = []string{architectureOf(l.doc.Platform)}
	}
	for _, a := range s.Architectures {
		if slices.Contains(architectures, a) && !slices.Contains(have, a) {
			l.bad(field, "stream %q, of which it is made, is not cut for %q, but for %s", s.Inputs.Stream, a, strings.Join(have, ", "))
		}
	}
}

// didYouMean suggests an architecture that a name may stand for.
func didYouMean(name string) string {
	lower := strings.ToLower(name)
	near, best := otherNames[lower], min(3, len(lower))
	for _, a := range architectures {
		if d := spelling.Distance(lower, a); otherNames[lower] == "" && d < best {
			near, best = a, d
		}
	}
	if near == "" {
		return "; there are " + strings.Join(architectures, ", ")
	}
	return "; did you mean " + near + "?"
}
