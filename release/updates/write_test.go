package updates_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release/updates"
)

// acts does what a test says, and remembers what it was asked for.
type acts struct {
	asked []updates.Action
	err   error
}

func (a *acts) Act(_ context.Context, action updates.Action) (updates.Outcome, error) {
	a.asked = append(a.asked, action)
	return updates.Outcome{Changed: true, Changes: []string{"stable: added"}, Evidence: "sha256:e"}, a.err
}

// failing is an audit that records nothing.
type failing struct{}

func (failing) Record(context.Context, updates.Entry) error { return errors.New("disk full") }

type desk struct {
	api       *updates.WriteAPI
	acts      *acts
	refreshes int
	token     map[string]string
	audit     string
}

func newDesk(t *testing.T) *desk {
	d := &desk{acts: &acts{}, token: map[string]string{}, audit: filepath.Join(t.TempDir(), "audit", "audit.jsonl")}
	var file strings.Builder
	add := func(name string, expires time.Time, roles ...updates.Verb) {
		token, line, err := updates.NewToken(name, roles, expires)
		if err != nil {
			t.Fatal(err)
		}
		d.token[name] = token
		fmt.Fprintln(&file, line)
	}
	add("jo", time.Time{}, updates.Accept, updates.Reject)
	add("bot", time.Now().AddDate(1, 0, 0), updates.Promote, updates.Cut, updates.Refresh)
	add("gone", time.Now().AddDate(0, 0, -1), updates.Verbs...)
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte("# who may\n\n"+file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	d.api = &updates.WriteAPI{Identify: updates.TokenFile(path).Identify, Actions: d.acts, Audit: &updates.AuditFile{Path: d.audit}, PerMinute: 600,
		Refresh: func(context.Context) error { d.refreshes++; return nil }}
	return d
}

func (d *desk) post(target, who, body string) (code int, answer string, header http.Header) {
	method, path, ok := strings.Cut(target, " ")
	if !ok {
		method, path = http.MethodPost, target
	}
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if token := d.token[who]; token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	} else if who != "" {
		r.Header.Set("Authorization", who)
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	w := httptest.NewRecorder()
	d.api.ServeHTTP(w, r)
	return w.Code, w.Body.String(), w.Header()
}

func (d *desk) entries(t *testing.T) []updates.Entry {
	t.Helper()
	f, err := os.Open(d.audit)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []updates.Entry
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e updates.Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

const tag = "1.36.3-0.nightly-2026-11-20-101500"

func TestWriteAPI(t *testing.T) {
	big := `{"reason":"` + strings.Repeat("x", 70_000) + `"}`
	release := "/api/v1/releasestream/nightly/release/" + tag
	for _, tc := range []struct {
		name, target, who, body string
		code                    int
		want                    string
		asked                   *updates.Action
	}{
		{"accept", release + "/accept", "jo", `{"reason":"known flake"}`, 200, `"evidence":"sha256:e"`, &updates.Action{Verb: updates.Accept, Stream: "nightly", Release: tag, Reason: "known flake", Actor: "jo"}},
		{"reject", release + "/reject", "jo", `{"reason":" bad ","dryRun":true}`, 200, `"changed":true`, &updates.Action{Verb: updates.Reject, Stream: "nightly", Release: tag, Reason: "bad", DryRun: true, Actor: "jo"}},
		{"promote", release + "/promote", "bot", "", 200, `"changes":["stable: added"]`, &updates.Action{Verb: updates.Promote, Stream: "nightly", Release: tag, Actor: "bot"}},
		{"by digest", "/api/v1/releasestream/nightly/release/sha256:" + strings.Repeat("a", 64) + "/promote", "bot", "{}", 200, "", &updates.Action{Verb: updates.Promote, Stream: "nightly", Release: "sha256:" + strings.Repeat("a", 64), Actor: "bot"}},
		{"cut", "/api/v1/releasestream/nightly/cut", "bot", "", 200, "", &updates.Action{Verb: updates.Cut, Stream: "nightly", Actor: "bot"}},
		{"refresh", "/-/refresh", "bot", "", 200, `"changed":true`, nil},
		{"without a token", release + "/promote", "", "", 401, "Bearer TOKEN", nil},
		{"with a wrong token", release + "/promote", "Bearer slipway_AAAA", "", 401, "unauthorized", nil},
		{"with another scheme", release + "/promote", "Basic YTpi", "", 401, "unauthorized", nil},
		{"with an expired token", release + "/promote", "gone", "", 401, "unauthorized", nil},
		{"without the role", release + "/promote", "jo", "", 403, `jo\" does not have the role promote`, nil},
		{"refresh without the role", "/-/refresh", "jo", "", 403, "forbidden", nil},
		{"without a reason", release + "/accept", "jo", "{}", 400, "needs a reason", nil},
		{"no JSON", release + "/accept", "jo", "reason=x", 400, "the body is not", nil},
		{"unknown field", release + "/accept", "jo", `{"reason":"x","force":true}`, 400, "force", nil},
		{"two bodies", release + "/accept", "jo", `{"reason":"x"}{}`, 400, "behind", nil},
		{"long reason", release + "/accept", "jo", `{"reason":"` + strings.Repeat("x", 5000) + `"}`, 400, "4096", nil},
		{"large body", release + "/accept", "jo", big, 413, "65536", nil},
		{"GET", "GET " + release + "/accept", "jo", "", 405, "use POST", nil},
		{"other verb", release + "/delete", "jo", "", 404, "does_not_exist", nil},
		{"a path as the stream", "/api/v1/releasestream/../release/" + tag + "/accept", "jo", "", 404, "does_not_exist", nil},
		{"a space in the tag", "/api/v1/releasestream/nightly/release/a%20b/accept", "jo", "", 404, "does_not_exist", nil},
		{"no tag", "/api/v1/releasestream/nightly/release//accept", "jo", "", 404, "does_not_exist", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDesk(t)
			code, answer, header := d.post(tc.target, tc.who, tc.body)
			if code != tc.code || !strings.Contains(answer, tc.want) || !json.Valid([]byte(answer)) {
				t.Errorf("got %d %s, want %d with %q", code, answer, tc.code, tc.want)
			}
			if code == 401 && header.Get("WWW-Authenticate") == "" || code == 405 && header.Get("Allow") != "POST" {
				t.Errorf("headers %v", header)
			}
			var asked []updates.Action
			if tc.asked != nil {
				asked = []updates.Action{*tc.asked}
			}
			if diff := cmp.Diff(asked, d.acts.asked); diff != "" {
				t.Error(diff)
			}
			checkEntries(t, code, d.entries(t))
		})
	}
}

// checkEntries checks that what was done is recorded before and after, what was denied
// once, and what nobody with a token asked for not at all.
func checkEntries(t *testing.T, code int, entries []updates.Entry) {
	t.Helper()
	switch {
	case code == 200:
		if len(entries) != 2 || entries[0].Phase != updates.Begun || entries[1].Phase != updates.Done || entries[0].ID != entries[1].ID || entries[1].Outcome == nil {
			t.Errorf("entries %+v", entries)
		}
	case code == 403:
		if len(entries) != 1 || entries[0].Phase != updates.Denied || entries[0].Actor != "jo" {
			t.Errorf("entries %+v", entries)
		}
	case len(entries) != 0:
		t.Errorf("entries %+v", entries)
	}
}

func TestWriteAPIErrors(t *testing.T) {
	for _, tc := range []struct {
		err  error
		code int
		kind string
	}{
		{fmt.Errorf("release %q: %w", tag, updates.ErrNotFound), 404, "does_not_exist"},
		{updates.ErrConflict, 409, "conflict"},
		{updates.ErrRefused, 422, "refused"},
		{updates.ErrUnsupported, 501, "not_implemented"},
		{errors.New("the registry is down"), 500, "internal"},
	} {
		d := newDesk(t)
		d.acts.err = tc.err
		code, answer, _ := d.post("/api/v1/releasestream/nightly/cut", "bot", "")
		if code != tc.code || !strings.Contains(answer, tc.kind) || d.refreshes != 0 {
			t.Errorf("%v: %d %s, %d refreshes", tc.err, code, answer, d.refreshes)
		}
		if e := d.entries(t); len(e) != 2 || e[1].Phase != updates.Failed || e[1].Error != tc.err.Error() {
			t.Errorf("%v: entries %+v", tc.err, e)
		}
	}
	d := newDesk(t)
	d.api.Actions = nil
	if code, _, _ := d.post("/api/v1/releasestream/nightly/cut", "bot", ""); code != 501 {
		t.Errorf("without actions: %d", code)
	}
	d = newDesk(t)
	d.api.Audit = updates.Audits{d.api.Audit, failing{}}
	if code, _, _ := d.post("/api/v1/releasestream/nightly/cut", "bot", ""); code != 503 || len(d.acts.asked) != 0 {
		t.Errorf("what cannot be recorded: %d, done %v", code, d.acts.asked)
	}
	d = newDesk(t)
	d.api.Identify = updates.TokenFile("/nonexistent").Identify
	if code, answer, _ := d.post("/api/v1/releasestream/nightly/cut", "bot", ""); code != 503 || strings.Contains(answer, "/nonexistent") {
		t.Errorf("without a list of tokens: %d %s", code, answer)
	}
}

func TestChangesAreServedAtOnce(t *testing.T) {
	d := newDesk(t)
	d.post("/api/v1/releasestream/nightly/cut", "bot", "")
	d.post("/api/v1/releasestream/nightly/cut", "bot", `{"dryRun":true}`)
	if d.refreshes != 1 {
		t.Errorf("%d refreshes for a change and a dry run", d.refreshes)
	}
}

func TestRateLimit(t *testing.T) {
	d := newDesk(t)
	d.api.PerMinute = 30
	codes := map[int]int{}
	var header http.Header
	for range 20 {
		code, _, h := d.post("/api/v1/releasestream/nightly/cut", "Bearer guess", "")
		codes[code]++
		if code == 429 {
			header = h
		}
	}
	if codes[401] != 10 || codes[429] != 10 || header.Get("Retry-After") != "2" {
		t.Errorf("codes %v, headers %v", codes, header)
	}
}

func TestTokens(t *testing.T) {
	hash := "sha256:" + strings.Repeat("0a", 32)
	for text, problem := range map[string]string{
		"jo accept " + hash: "",
		"# none\n\n  jo  accept,cut " + hash + " expires=2027-01-31 ": "",
		"jo accept":                                     "tokens:1: a line is",
		"jo accept " + hash + " x y":                    "a line is",
		"../jo accept " + hash:                          "the name",
		"jo admin " + hash:                              "the roles",
		"jo accept, " + hash:                            "the roles",
		"jo accept sha256:00":                           "the hash",
		"jo accept " + hash[7:]:                         "the hash",
		"jo accept " + hash + " until=2027-01-31":       "the end",
		"jo accept " + hash + " expires=soon":           "the end",
		"\n# x\njo accept " + hash + "\njo cut " + hash: `tokens:4: "jo" stands there twice`,
		strings.Repeat("x", 100_000):                    "token too long",
	} {
		_, err := updates.ParseTokens("tokens", []byte(text))
		if problem == "" && err != nil || problem != "" && (err == nil || !strings.Contains(err.Error(), problem)) {
			t.Errorf("%.80q: %v, want %q", text, err, problem)
		}
		if err != nil && strings.Contains(err.Error(), strings.Repeat("0a", 32)) {
			t.Errorf("the error shows a hash: %v", err)
		}
	}
	_, err := updates.ParseTokens("tokens", []byte("a\nb"))
	if err == nil || !strings.Contains(err.Error(), "tokens:1:") || !strings.Contains(err.Error(), "tokens:2:") {
		t.Errorf("not all at once: %v", err)
	}
	if _, _, err := updates.NewToken("j o", nil, time.Time{}); err == nil {
		t.Error("a token for a name that cannot stand in the file")
	}
}

func FuzzTokens(f *testing.F) {
	f.Add([]byte("jo accept sha256:"+strings.Repeat("0a", 32)+" expires=2027-01-31\n# x\n"), "slipway_x")
	f.Fuzz(func(t *testing.T, data []byte, token string) {
		tokens, err := updates.ParseTokens("tokens", data)
		if err != nil {
			return
		}
		if who, ok := tokens.Identify(token, time.Now()); ok && (who.Name == "" || len(who.Roles) == 0) {
			t.Errorf("somebody without a name or role: %+v", who)
		}
	})
}

func FuzzWriteAPI(f *testing.F) {
	f.Add("/api/v1/releasestream/nightly/release/"+tag+"/accept", `{"reason":"x"}`)
	f.Add("/-/refresh", "")
	f.Fuzz(func(t *testing.T, path, body string) {
		recorded := &acts{}
		api := &updates.WriteAPI{Actions: recorded, Audit: updates.Audits{}, PerMinute: 1 << 20, Refresh: func(context.Context) error { return nil },
			Identify: func(string, time.Time) (updates.Identity, bool, error) {
				return updates.Identity{Name: "jo", Roles: updates.Verbs}, true, nil
			}}
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.URL.Path = path
		r.Header.Set("Authorization", "Bearer x")
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		for _, a := range recorded.asked {
			if strings.ContainsAny(a.Stream+a.Release, "/\\ \x00\n") || strings.HasPrefix(a.Release, ".") || a.Stream == "" {
				t.Errorf("asked for %+v", a)
			}
		}
		if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}
