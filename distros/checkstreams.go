package distros

import (
	"fmt"
	"maps"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/blang/semver/v4"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/robfig/cron/v3"
)

var (
	taggedImage = regexp.MustCompile(`^[a-z0-9]+([.-][a-z0-9]+)*(:[0-9]+)?(/[a-z0-9]+([._-][a-z0-9]+)*)+:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	threePart   = regexp.MustCompile(`^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$`)
)

func hasPipeline(s *Stream, check string) bool {
	_, ok := s.Checks.Pipelines[check]
	return ok
}

// checkRules checks what a stream says about when and of what it is cut, and what
// becomes of its payloads.
func (l *loader) checkRules(field string, s *Stream) {
	if s.Stable {
		l.checkStable(field, s)
	}
	if s.Tag != "" && !dnsLabel.MatchString(s.Tag) {
		l.bad(field+".tag", "must be a DNS label such as latest, not %q", s.Tag)
	}
	l.checkPublish(field+".publish", s.Publish)
	if s.Base != "" && !threePart.MatchString(s.Base) {
		l.bad(field+".base", "must be three numbers such as 1.36.3, not %q", s.Base)
	}
	l.checkInputs(field+".inputs", s)
	l.checkArchitectures(field+".architectures", s)
	l.checkCut(field+".cut", s.Cut)
	l.checkPipelineName(field+".run.pipeline", s.Run.Pipeline, true)
	for _, name := range slices.Sorted(maps.Keys(s.Checks.Pipelines)) {
		l.checkPipeline(field+".checks.pipelines."+name, name, s)
	}
	if s.Retries.Limit < -1 {
		l.bad(field+".retries.limit", "must be -1 for none, or more, not %d", s.Retries.Limit)
	}
	l.checkDuration(field+".retries.backoff", s.Retries.Backoff)
	l.checkDuration(field+".retries.max", s.Retries.Max)
	l.checkCount(field+".retain.accepted", s.Retain.Accepted)
	l.checkCount(field+".retain.others", s.Retain.Others)
	l.checkDuration(field+".retain.age", s.Retain.Age)
}

// checkPublish checks where payloads are copied to.
func (l *loader) checkPublish(field string, all []Publication) {
	seen := map[string]bool{}
	for i, p := range all {
		field := fmt.Sprintf("%s[%d]", field, i)
		_, err := name.NewRepository(p.Mirror, name.StrictValidation)
		switch {
		case p.Mirror == "":
			l.bad(field+".mirror", "is missing; it is a repository such as registry.example.com/skiff/release")
		case err != nil:
			l.bad(field+".mirror", "must be a repository without a tag such as registry.example.com/skiff/release, not %q", p.Mirror)
		case p.Mirror == l.doc.Repository || strings.HasPrefix(p.Mirror, l.doc.Repository+"/"):
			l.bad(field+".mirror", "must lie outside the distribution's own repository %q, not be %q", l.doc.Repository, p.Mirror)
		case seen[p.Mirror]:
			l.bad(field+".mirror", "repository %q stands here twice", p.Mirror)
		}
		seen[p.Mirror] = true
		if p.Tag != "" && !dnsLabel.MatchString(p.Tag) {
			l.bad(field+".tag", "must be a DNS label such as latest, not %q", p.Tag)
		}
	}
}

// checkStable refuses what says how a stream is cut, of one that is not.
func (l *loader) checkStable(field string, s *Stream) {
	for _, set := range []struct {
		name  string
		given bool
	}{
		{"base", s.Base != ""},
		{"architectures", len(s.Architectures) > 0},
		{"inputs", !reflect.DeepEqual(s.Inputs, Inputs{})},
		{"cut", s.Cut != Cut{}},
		{"run", s.Run.Pipeline != "" || len(s.Run.Params) > 0},
		{"checks.pipelines", len(s.Checks.Pipelines) > 0},
		{"retries", s.Retries != Retries{}},
		{"retain", s.Retain != Retain{}},
		{"frozen", s.Frozen != ""},
	} {
		if set.given {
			l.bad(field+"."+set.name, "must be left out of a stable stream: nothing is cut of it, and nothing of it deleted")
		}
	}
}

func (l *loader) checkInputs(field string, s *Stream) {
	in := s.Inputs
	given := 0
	for _, is := range []bool{in.Lock != "", len(in.Components) > 0, in.Stream != ""} {
		if is {
			given++
		}
	}
	if given > 1 {
		l.bad(field, "must be one of lock, components and stream, not several")
	}
	if in.Lock != "" && (path.IsAbs(in.Lock) || path.Clean(in.Lock) != in.Lock || strings.HasPrefix(in.Lock, "..")) {
		l.bad(field+".lock", "must be a file below this folder such as distro.lock, not %q", in.Lock)
	}
	for _, name := range slices.Sorted(maps.Keys(in.Components)) {
		if !slices.Contains(l.doc.Components, name) {
			l.bad(field+".components."+name, "there is no component %q", name)
		}
		if !taggedImage.MatchString(in.Components[name]) {
			l.bad(field+".components."+name, "must be a repository with a tag such as registry.example.com/ci/etcd:main, not %q", in.Components[name])
		}
	}
	if in.Stream == "" {
		return
	}
	if in.Stream == s.Name {
		l.bad(field+".stream", "a stream cannot be made of itself")
	} else if !slices.ContainsFunc(l.doc.Streams, func(o Stream) bool { return o.Name == in.Stream }) {
		l.bad(field+".stream", "there is no stream %q", in.Stream)
	} else if l.feedsItself(s.Name, in.Stream) {
		l.bad(field+".stream", "stream %q is made of %q itself", in.Stream, s.Name)
	}
}

// feedsItself says whether following the inputs from a stream leads back to name.
func (l *loader) feedsItself(name, from string) bool {
	for range l.doc.Streams {
		i := slices.IndexFunc(l.doc.Streams, func(s Stream) bool { return s.Name == from })
		if i < 0 {
			return false
		}
		if from = l.doc.Streams[i].Inputs.Stream; from == name {
			return true
		}
	}
	return false
}

func (l *loader) checkCut(field string, c Cut) {
	whens := []string{WhenChanged, WhenSchedule, WhenAlways, WhenManual}
	if c.When != "" && !slices.Contains(whens, c.When) {
		l.bad(field+".when", "must be one of %s, not %q", strings.Join(whens, ", "), c.When)
	}
	switch {
	case c.Schedule == "" && c.When == WhenSchedule:
		l.bad(field+".schedule", "is missing; it says when, as cron does: 0 2 * * *")
	case c.Schedule != "" && c.When != WhenSchedule && c.When != WhenChanged:
		l.bad(field+".schedule", "has no meaning unless when is schedule or changed")
	case strings.Contains(c.Schedule, "TZ="): // cron takes it, and panics when nothing follows
		l.bad(field+".schedule", "is in UTC and takes no time zone; write five fields of cron such as 0 2 * * *, not %q", c.Schedule)
	case c.Schedule != "":
		if _, err := cron.ParseStandard(c.Schedule); err != nil {
			l.bad(field+".schedule", "must be five fields of cron such as 0 2 * * *, not %q: %v", c.Schedule, err)
		}
	}
	l.checkDuration(field+".cooldown", c.Cooldown)
	l.checkCount(field+".maxUnfinished", c.MaxUnfinished)
}

func (l *loader) checkPipeline(field, name string, s *Stream) {
	p := s.Checks.Pipelines[name]
	if !dnsLabel.MatchString(name) || slices.Contains(checks, name) {
		l.bad(field, "must be a DNS label other than %s", strings.Join(checks, " and "))
	}
	if !slices.Contains(s.Checks.Blocking, name) && !slices.Contains(s.Checks.Informing, name) {
		l.bad(field, "check %q is neither blocking nor informing", name)
	}
	l.checkPipelineName(field+".pipeline", p.Pipeline, false)
	if reason := badSelector(p.From); reason != "" {
		l.bad(field+".from", "%s", reason)
	}
	if channel, ok := strings.CutPrefix(p.From, "channel:"); ok {
		known := func(c Channel) bool { return c.Name == strings.TrimSpace(channel) }
		if !slices.ContainsFunc(l.doc.Channels, known) {
			l.bad(field+".from", "there is no channel %q", strings.TrimSpace(channel))
		}
	}
	if p.None != "" && p.None != "allow" && p.None != "reject" {
		l.bad(field+".none", "must be allow or reject, not %q", p.None)
	}
	for _, param := range slices.Sorted(maps.Keys(p.Params)) {
		if p.From == "" && strings.Contains(p.Params[param], "{source.") {
			l.bad(field+".params."+param, "speaks of a source, and there is no from")
		}
	}
}

// badSelector says what is wrong with the selector of an upgrade's source.
func badSelector(s string) string {
	kind, arg, _ := strings.Cut(s, ":")
	arg = strings.TrimSpace(arg)
	switch kind {
	case "", "previous", "previous-1", "previous-patch", "previous-minor":
		if kind == s {
			return ""
		}
	case "range":
		if _, err := semver.ParseRange(arg); err != nil {
			return "must have a range such as range: >=1.35.0 <1.36.0, not \"" + arg + "\": " + err.Error()
		}
		return ""
	case "channel", "payload":
		if arg != "" {
			return ""
		}
	}
	return `must be previous, previous-1, previous-patch, previous-minor, range: RANGE, channel: NAME or payload: VERSION, not "` + s + `"`
}

func (l *loader) checkPipelineName(field, name string, optional bool) {
	if name == "" && optional {
		return
	}
	if !dnsLabel.MatchString(name) {
		l.bad(field, "must be the name of a pipeline such as nightly, not %q", name)
	}
}

func (l *loader) checkDuration(field, text string) {
	if text == "" {
		return
	}
	if d, err := time.ParseDuration(text); err != nil || d < 0 {
		l.bad(field, "must be a length of time such as 90m or 12h, not %q", text)
	}
}

func (l *loader) checkCount(field string, n int) {
	if n < 0 {
		l.bad(field, "must not be negative")
	}
}
