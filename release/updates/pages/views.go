package pages

import (
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/slipway-release/slipway/release/inspect"
	"github.com/slipway-release/slipway/release/inspect/changelog"
	"github.com/slipway-release/slipway/release/inspect/compare"
	"github.com/slipway-release/slipway/release/updates/catalog"
)

type overviewView struct {
	Streams  []streamSummary
	Channels []channelSummary
	Problems []string
	Read     time.Time
}

type streamSummary struct {
	*catalog.Stream
	Last   *catalog.Payload // accepted
	Recent []*catalog.Payload
}

type channelSummary struct {
	*catalog.Channel
	Head *catalog.Payload // nil when it is empty, or its newest version is not of this catalog
	// Newest is the name of its newest version.
	Newest string
}

// recent is how many payloads of a stream the overview shows.
const recent = 12

func (p *Pages) overview(r *request) (page, error) {
	v := overviewView{Problems: r.catalog.Problems, Read: r.catalog.Read}
	for _, hidden := range []bool{false, true} {
		for _, s := range r.catalog.Streams {
			if s.EndOfLife || s.Hidden != hidden {
				continue
			}
			v.Streams = append(v.Streams, streamSummary{s, s.LastAccepted(), s.Payloads[:min(recent, len(s.Payloads))]})
		}
	}
	for _, c := range r.catalog.Channels {
		sum := channelSummary{Channel: c}
		if n := len(c.Versions); n > 0 {
			sum.Newest = c.Versions[n-1].Version.String()
			sum.Head = r.catalog.Payload(sum.Newest)
		}
		v.Channels = append(v.Channels, sum)
	}
	return page{template: "overview.html", title: "Releases", content: v}, nil
}

type streamView struct {
	*catalog.Stream
	Part     part
	Shown    []*catalog.Payload
	Accepted *catalog.Payload
	Share    int // of a hundred payloads with a verdict, how many were accepted
	Judged   int
}

func (p *Pages) stream(r *request) (page, error) {
	s, err := r.streamOf()
	if err != nil {
		return page{}, err
	}
	at, err := r.partOf(len(s.Payloads), p.perPage())
	if err != nil {
		return page{}, err
	}
	v := streamView{Stream: s, Part: at, Accepted: s.LastAccepted()}
	if at.To > 0 {
		v.Shown = s.Payloads[at.From-1 : at.To]
	}
	accepted := 0
	for _, p := range s.Payloads {
		if p.Phase == catalog.Accepted {
			accepted++
		}
		if p.Phase.Final() {
			v.Judged++
		}
	}
	if v.Judged > 0 {
		v.Share = (100*accepted + v.Judged/2) / v.Judged
	}
	return page{template: "stream.html", title: s.Policy.Name, content: v}, nil
}

func (p *Pages) latest(r *request) (page, error) {
	s, err := r.streamOf()
	if err != nil {
		return page{}, err
	}
	last := s.LastAccepted()
	if last == nil {
		return page{}, missing("No payload of this stream was accepted yet.")
	}
	return page{redirect: "/releasetag/" + url.PathEscape(last.Version.String())}, nil
}

type payloadView struct {
	*catalog.Payload
	Info       *inspect.Info
	InfoNote   string
	Sizes      map[string]int64 // by component
	From       *catalog.Payload // that changes are told since
	Changes    *changelog.Changelog
	ChangeNote string
	// Agrees says that today's evidence and policy give what was decided.
	Agrees bool
	// Source is where commands find the payload.
	Source string
}

// maxCommits is how many commits of a component the page lists.
const maxCommits = 15

// Some are the first commits of an update.
func (payloadView) Some(u changelog.Update) []changelog.Commit {
	return u.Commits[:min(maxCommits, len(u.Commits))]
}

// More is how many commits are not listed.
func (payloadView) More(u changelog.Update) int {
	return len(u.Commits) - min(maxCommits, len(u.Commits)) + u.Elided
}

func (p *Pages) payload(r *request) (page, error) {
	shown, err := r.payloadOf()
	if err != nil {
		return page{}, err
	}
	v := payloadView{Payload: shown, From: shown.Previous, Source: shown.Version.String()}
	if name := r.query.Get("from"); name != "" {
		if v.From = r.catalog.Payload(name); v.From == nil {
			return page{}, missing("There is no such payload to compare with.")
		}
	}
	v.Agrees = shown.Decision != nil && shown.Decision.Outcome == shown.Now
	what := page{template: "payload.html", title: shown.Version.String()}
	if shown.Digest == "" || p.Details == nil {
		v.InfoNote = "It has no image yet."
		what.content = v
		return what, nil
	}
	if v.Info, err = p.Details.Info(r.Context(), shown); err != nil {
		v.InfoNote, what.again = notice(err)
	} else if v.Info.Sizes != nil {
		v.Sizes = map[string]int64{}
		for _, s := range v.Info.Sizes.Images {
			v.Sizes[s.Name] = s.Bytes
		}
	}
	if v.From != nil && v.From.Digest != "" {
		if v.Changes, err = p.Details.Changelog(r.Context(), v.From, shown); err != nil {
			text, again := notice(err)
			v.ChangeNote, what.again = text, what.again || again
		}
	}
	what.content = v
	return what, nil
}

type evidenceView struct {
	*catalog.Payload
	Statement catalog.Statement
	Text      string
	Note      string
}

func (p *Pages) evidence(r *request) (page, error) {
	about, err := r.payloadOf()
	if err != nil {
		return page{}, err
	}
	s, ok := about.Statement(r.PathValue("digest"))
	if !ok {
		return page{}, missing("There is no such statement about this payload.")
	}
	v := evidenceView{Payload: about, Statement: s}
	what := page{template: "evidence.html", title: kindOf(s) + " of " + about.Version.String()}
	if p.Details != nil {
		text, err := p.Details.Statement(r.Context(), about, s)
		if err != nil {
			v.Note, what.again = notice(err)
		}
		v.Text = string(text)
	}
	what.content = v
	return what, nil
}

type compareView struct {
	From, To *catalog.Payload
	Options  [2]choices
	Diff     *compare.Diff
	Gained   int // permissions
	Risky    int
	Note     string
	Upgrade  *catalog.Upgrade
}

// choices are what a list to choose from offers.
type choices struct {
	Streams []*catalog.Stream
	Chosen  string
}

// imageRow is one component that differs.
type imageRow struct {
	What, Tone string
	compare.ImageChange
}

func imageOf(what, tone string, c compare.ImageChange) imageRow { return imageRow{what, tone, c} }

func (p *Pages) compare(r *request) (page, error) {
	v := compareView{Options: [2]choices{{r.catalog.Streams, r.query.Get("from")}, {r.catalog.Streams, r.query.Get("to")}}}
	what := page{template: "compare.html", title: "Compare payloads"}
	for name, into := range map[string]**catalog.Payload{"from": &v.From, "to": &v.To} {
		version := r.query.Get(name)
		if version == "" {
			continue
		}
		if *into = r.catalog.Payload(version); *into == nil {
			return page{}, &problem{http.StatusNotFound, "There is no such payload to compare."}
		}
	}
	if v.From != nil && v.To != nil {
		v.Upgrade = r.catalog.Upgrade(v.From.Version.String(), v.To.Version.String())
		switch {
		case v.From.Digest == "" || v.To.Digest == "" || p.Details == nil:
			v.Note = "One of them has no image yet."
		default:
			var err error
			if v.Diff, err = p.Details.Diff(r.Context(), v.From, v.To); err != nil {
				v.Note, what.again = notice(err)
			} else {
				v.Gained, v.Risky = v.Diff.Permissions.Count()
			}
		}
	}
	what.content = v
	return what, nil
}

type matrixView struct {
	*catalog.Stream
	Part part
	To   []*catalog.Payload // columns, the newest first
	Rows []matrixRow
}

type matrixRow struct {
	From  string
	Known bool // it is a payload of the catalog
	Cells []*catalog.Upgrade
}

// columns is how many payloads one page of the matrix has.
const columns = 20

func (p *Pages) matrix(r *request) (page, error) {
	s, err := r.streamOf()
	if err != nil {
		return page{}, err
	}
	at, err := r.partOf(len(s.Payloads), columns)
	if err != nil {
		return page{}, err
	}
	v := matrixView{Stream: s, Part: at}
	if at.To > 0 {
		v.To = s.Payloads[at.From-1 : at.To]
	}
	var from []string
	for _, to := range v.To {
		for _, u := range to.UpgradesTo {
			if u.Verdict() != "" && !slices.Contains(from, u.From) {
				from = append(from, u.From)
			}
		}
	}
	slices.SortFunc(from, newestFirst)
	for _, name := range from {
		row := matrixRow{From: name, Known: r.catalog.Payload(name) != nil}
		for _, to := range v.To {
			row.Cells = append(row.Cells, r.catalog.Upgrade(name, to.Version.String()))
		}
		v.Rows = append(v.Rows, row)
	}
	return page{template: "matrix.html", title: "Upgrades of " + s.Policy.Name, content: v}, nil
}
