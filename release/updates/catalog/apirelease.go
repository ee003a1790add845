package catalog

import (
	"bytes"
	"errors"
	"slices"
	"strconv"

	"github.com/blang/semver/v4"

	"github.com/slipway-release/slipway/release/inspect/changelog"
)

// candidateShare is how many of a hundred upgrades must have passed for a version to
// be named as one that may upgrade to a candidate.
const candidateShare = 80

// candidate is the payload that would be promoted next: the newest accepted one, if it
// is newer than the last one that is in a channel beyond those the stream fills itself.
func (a *API) candidate(r request) (answer, error) {
	s, err := r.stream()
	if err != nil {
		return answer{}, err
	}
	var found *APICandidate
	if p := s.LastAccepted(); p != nil && !s.promoted(p) {
		found = &APICandidate{FromTag: p.Version.String(), Name: r.catalog.nextName(p), UpgradeFrom: []string{}}
		for _, u := range p.UpgradesTo {
			if total := len(u.Runs); total > 0 && 100*u.Success > candidateShare*total {
				found.UpgradeFrom = append(found.UpgradeFrom, u.From)
			}
		}
		slices.Sort(found.UpgradeFrom)
	}
	return jsonAnswer(map[string]*APICandidate{"candidate": found})
}

// promoted reports whether a payload or a newer one has left the stream's own channels.
func (s *Stream) promoted(p *Payload) bool {
	for _, newer := range s.Payloads {
		if slices.ContainsFunc(newer.Channels, func(c string) bool { return !slices.Contains(s.Policy.Channels, c) }) {
			return true
		}
		if newer == p {
			return false
		}
	}
	return false
}

// nextName is the version under which a payload would be released: the first one of its
// minor version that no channel has.
func (c *Catalog) nextName(p *Payload) string {
	base := p.Version.Semver()
	next := semver.Version{Major: base.Major, Minor: base.Minor, Patch: base.Patch}
	for _, ch := range c.Channels {
		for _, v := range ch.Versions {
			sv := v.Version.Semver()
			if len(sv.Pre) == 0 && sv.Major == next.Major && sv.Minor == next.Minor && sv.Patch >= next.Patch {
				next.Patch = sv.Patch + 1
			}
		}
	}
	return next.String()
}

// tagOf finds the payload that a path names.
func (r request) tagOf() (*Payload, error) {
	name := r.path("tag")
	if p := r.catalog.Payload(name); p != nil {
		return p, nil
	}
	return nil, notFound("there is no payload %q; it may have been deleted", clipName(name))
}

// release is all about a payload. Its changelog is left out when it is not asked for.
func (a *API) release(r request) (answer, error) {
	s, err := r.stream()
	if err != nil {
		return answer{}, err
	}
	p, err := r.tagOf()
	if err != nil {
		return answer{}, err
	}
	if p.Stream != s.Policy.Name {
		return answer{}, notFound("payload %q is not of stream %q", p.Version, s.Policy.Name)
	}
	info := APIReleaseInfo{Name: p.Version.String(), Phase: string(p.Phase), Results: resultsOf(p), UpgradesTo: historyOf(p.UpgradesTo), UpgradesFrom: historyOf(p.UpgradesFrom)}
	switch r.query.Get("format") {
	case "short":
		return jsonAnswer(info)
	case "", "json":
	default:
		return answer{}, invalid("?format must be json or short")
	}
	from := p.Previous
	if name := r.query.Get("from"); name != "" {
		if from = r.catalog.Payload(name); from == nil {
			return answer{}, notFound("there is no payload %q; it may have been deleted", clipName(name))
		}
	}
	var pending error
	if from != nil && from.Digest != "" && p.Digest != "" && a.Details != nil {
		pending = a.addChangelog(r, from, p, &info)
	}
	got, err := jsonAnswer(info)
	if pending != nil {
		// Their clients take what is there; ours see that more will come.
		_, _, retry := Problem(pending)
		got.header = map[string]string{"X-Changelog": "incomplete", "Retry-After": strconv.Itoa(retry)}
	}
	return got, err
}

func (a *API) addChangelog(r request, from, to *Payload, info *APIReleaseInfo) error {
	c, err := a.Details.Changelog(r.ctx, from, to)
	if err != nil {
		return err
	}
	var page bytes.Buffer
	if err := c.WriteHTML(&page); err != nil {
		return err
	}
	info.ChangeLog, info.ChangeLogJSON = page.Bytes(), c
	return nil
}

// config is a stream's configuration, or its checks of one kind.
func (a *API) config(r request) (answer, error) {
	s, err := r.stream()
	if err != nil {
		return answer{}, err
	}
	verify := verifications(s.Definition)
	var keep func(ReleaseVerification) bool
	switch r.query.Get("jobType") {
	case "":
		as := "Integration"
		if s.Stable {
			as = "Stable"
		}
		return jsonAnswer(ReleaseConfig{Name: s.Policy.Name, Message: s.Message, Hide: s.Hidden, EndOfLife: s.EndOfLife, As: as, To: "release",
			Verify: verify, Periodic: periodics(s.Definition)})
	case "periodic":
		return jsonAnswer(periodics(s.Definition))
	case "blocking":
		keep = func(v ReleaseVerification) bool { return !v.Disabled && !v.Optional }
	case "informing":
		keep = func(v ReleaseVerification) bool { return !v.Disabled && v.Optional }
	case "disabled":
		keep = func(v ReleaseVerification) bool { return v.Disabled }
	default:
		return answer{}, invalid("?jobType must be blocking, informing, disabled or periodic")
	}
	for name, v := range verify {
		if !keep(v) {
			delete(verify, name)
		}
	}
	return jsonAnswer(verify)
}

var errNoImage = errors.New("it has no image yet")

// info describes the payload as `slipway release info -o json` does.
func (a *API) info(r request) (answer, error) {
	p, err := r.tagOf()
	if err != nil {
		return answer{}, err
	}
	if a.Details == nil || p.Digest == "" {
		return answer{}, notFound("payload %q cannot be described: %v", p.Version, errNoImage)
	}
	info, err := a.Details.Info(r.ctx, p)
	if err != nil {
		return answer{}, err
	}
	return jsonAnswer(info)
}

// changes tells what came into a payload since another.
func (a *API) changes(r request) (answer, error) {
	format := r.query.Get("format")
	if !slices.Contains([]string{"", "markdown", "html", "json"}, format) {
		return answer{}, invalid("?format must be markdown, html or json")
	}
	var ends [2]*Payload
	for i, name := range []string{"from", "to"} {
		version := r.query.Get(name)
		if version == "" {
			return answer{}, invalid("?%s must name a payload", name)
		}
		if ends[i] = r.catalog.Payload(version); ends[i] == nil || ends[i].Digest == "" {
			return answer{}, notFound("there is no payload %q; it may have been deleted", clipName(version))
		}
	}
	if a.Details == nil {
		return answer{}, notFound("changelogs are not made here")
	}
	c, err := a.Details.Changelog(r.ctx, ends[0], ends[1])
	if err != nil {
		return answer{}, err
	}
	got, err := changesIn(c, format)
	if got.header == nil {
		got.header = map[string]string{}
	}
	got.header["Access-Control-Allow-Origin"] = "*"
	return got, err
}

func changesIn(c *changelog.Changelog, format string) (answer, error) {
	var out bytes.Buffer
	switch format {
	case "json":
		return jsonAnswer(c)
	case "html":
		err := c.WriteHTML(&out)
		return answer{contentType: "text/html; charset=utf-8", body: out.Bytes(), header: map[string]string{"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}}, err
	}
	err := c.WriteMarkdown(&out)
	return answer{contentType: "text/plain; charset=utf-8", body: out.Bytes()}, err
}
