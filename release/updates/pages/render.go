package pages

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/channels/graph/picture"
	"github.com/slipway-release/slipway/release/updates/catalog"
)

//go:embed templates style.css
var files embed.FS

var (
	style     = picture.Style + mustRead("style.css")
	policy    = contentPolicy(style)
	templates = parse()
)

func mustRead(name string) string {
	data, err := files.ReadFile(name)
	if err != nil {
		panic(err) // it is compiled in
	}
	return string(data)
}

// contentPolicy lets in one style sheet, by its hash, and nothing else.
func contentPolicy(style string) string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}

func parse() *template.Template {
	return template.Must(template.New("pages").Funcs(template.FuncMap{
		"style": func() template.CSS { return template.CSS(style) },
		"tone":  tone, "mark": mark, "short": short, "age": catalog.Age, "bytes": byteSize, "stamp": stamp, "day": day,
		"lower": strings.ToLower, "brief": brief, "count": count, "kind": kindOf, "arrow": imageOf, "percent": picture.Percent, "web": picture.Web,
	}).ParseFS(files, "templates/*.html"))
}

// frame is what every page has.
type frame struct {
	Name, Title string
	Again       bool
	Stale       string
	Streams     []*catalog.Stream
	Content     any
	Now         time.Time
}

// Since is how long ago something was, in words.
func (f frame) Since(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return catalog.Age(f.Now.Sub(t)) + " ago"
}

func (p *Pages) send(w http.ResponseWriter, r *http.Request, code int, what page) {
	f := frame{Name: p.Name, Title: what.title, Again: what.again, Content: what.content, Now: time.Now()}
	if p.Now != nil {
		f.Now = p.Now()
	}
	if c := p.Catalog(); c != nil {
		f.Streams = c.Streams
	}
	if p.Failure != nil {
		if at, err := p.Failure(); err != nil {
			f.Stale = fmt.Sprintf("The registry could not be read at %s. What is shown was read before.", stamp(at))
		}
	}
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, what.template, f); err != nil {
		http.Error(w, "The page could not be made.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "same-origin")
	if code == http.StatusOK {
		catalog.Send(w, r, "text/html; charset=utf-8", out.Bytes())
		return
	}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(out.Len()))
	w.WriteHeader(code)
	_, _ = w.Write(out.Bytes()) // nobody is left to tell
}

func (p *Pages) sendProblem(w http.ResponseWriter, r *http.Request, err error) {
	what := page{template: "problem.html", title: "Not shown"}
	var known *problem
	code := http.StatusInternalServerError
	if errors.As(err, &known) {
		code, what.content = known.code, known.text
	} else {
		code, _, _ = catalog.Problem(err)
		what.content = "This cannot be read at the moment."
	}
	switch code {
	case http.StatusServiceUnavailable, http.StatusAccepted:
		w.Header().Set("Retry-After", "3")
		what.again = true
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", "GET, HEAD")
	}
	p.send(w, r, code, what)
}

// notice is said in place of something that cannot be shown now; again tells whether
// it may come by itself.
func notice(err error) (text string, again bool) {
	switch {
	case errors.Is(err, catalog.ErrNotYet):
		return "It is being read. This page comes back by itself in a few seconds.", true
	case errors.Is(err, catalog.ErrBusy):
		return "Too much is being read at the moment. This page comes back by itself.", true
	case errors.Is(err, catalog.ErrTooLarge):
		return "It is too large to be shown here.", false
	}
	return "It cannot be read at the moment.", false
}

// tone is the class of a phase, a state or a verdict.
func tone(word any) string {
	switch fmt.Sprint(word) {
	case "Accepted", "Passed", "Tested", "PASSED":
		return "good"
	case "Rejected", "Failed", "FAILED":
		return "bad"
	case "Inconclusive", "Unclear", "Missing", "Conditional", "WARNED":
		return "doubt"
	case "Ready", "Pending", "Running", "Untested":
		return "busy"
	}
	return "soft"
}

// mark stands before the word, for those who see no colours.
func mark(word any) string {
	return map[string]string{"good": "✓", "bad": "✕", "doubt": "?", "busy": "…", "soft": "–"}[tone(word)]
}

// short cuts a digest to what people compare by eye.
func short(digest string) string {
	if at := strings.IndexByte(digest, ':'); at >= 0 && len(digest) > at+13 {
		return digest[:at+13]
	}
	return digest
}

// brief is what tells a version from its neighbours: the date, for those that have one.
func brief(version string) string {
	v, err := release.Parse(version)
	if err != nil {
		return version
	}
	if t, ok := v.Time(); ok {
		return t.Format("Jan 2 15:04")
	}
	return version
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "unknown"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func byteSize(n int64) string {
	value, unit := float64(n), 0
	for units := 4; value >= 1000 && unit < units; unit++ {
		value /= 1000
	}
	return fmt.Sprintf("%.3g %s", value, []string{"B", "kB", "MB", "GB", "TB"}[unit])
}

// count writes a number with a noun in the right form.
func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

func kindOf(s catalog.Statement) string {
	if s.Kind != "" {
		return s.Kind
	}
	return s.PredicateType
}
