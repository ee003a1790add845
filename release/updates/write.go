package updates

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Action is what somebody with a token asks for.
type Action struct {
	Verb   Verb   `json:"verb"`
	Stream string `json:"stream,omitempty"`
	// Release is a version or a digest.
	Release string `json:"release,omitempty"`
	Reason  string `json:"reason,omitempty"`
	DryRun  bool   `json:"dryRun,omitempty"`
	// Actor is the name of the token's bearer.
	Actor string `json:"actor"`
}

// Outcome is what an action did.
type Outcome struct {
	// Changed is false when there was nothing left to do.
	Changed bool     `json:"changed"`
	Changes []string `json:"changes,omitempty"`
	// Evidence is the digest of the statement that records it.
	Evidence string `json:"evidence,omitempty"`
}

// The ways an action fails that are no failure of the server. Errors of Actions wrap
// them.
var (
	ErrNotFound = errors.New("does not exist")
	ErrConflict = errors.New("somebody else changed it at the same time")
	// ErrRefused says that a rule forbids it.
	ErrRefused = errors.New("is refused")
	// ErrUnsupported says that this server does not do such a thing.
	ErrUnsupported = errors.New("is not done by this server")
)

// Actions does what the write API is asked for. Who asked and why is recorded as
// evidence beside the release. Doing a thing twice changes nothing the second time.
type Actions interface {
	Act(ctx context.Context, a Action) (Outcome, error)
}

// WriteAPI lets those who bear a token change something:
//
//	POST /api/v1/releasestream/{stream}/release/{release}/accept, …/reject, …/promote
//	POST /api/v1/releasestream/{stream}/cut
//	POST /-/refresh
//
// The body is empty or {"reason":"…","dryRun":false}. Accepting and rejecting need a
// reason.
type WriteAPI struct {
	// Identify says whose token it is.
	Identify func(token string, now time.Time) (Identity, bool, error)
	Actions  Actions
	Audit    Audit
	// Refresh reads the source of the update graph.
	Refresh func(ctx context.Context) error
	Metrics *Metrics
	Log     *slog.Logger
	// PerMinute is how many requests a client and a token may make; zero means 60.
	PerMinute int

	once    sync.Once
	limiter *limiter
}

const (
	maxAction     = 64 << 10 // bytes of a body
	maxReason     = 4 << 10
	actionTimeout = 2 * time.Minute
)

// actionOf reads a path; ok is false when it is none of the write API's.
func actionOf(path string) (a Action, ok bool) {
	if path == "/-/refresh" {
		return Action{Verb: Refresh}, true
	}
	rest, ok := strings.CutPrefix(path, "/api/v1/releasestream/")
	if !ok {
		return a, false
	}
	switch parts := strings.Split(rest, "/"); {
	case len(parts) == 2 && parts[1] == "cut":
		a = Action{Verb: Cut, Stream: parts[0]}
	case len(parts) == 4 && parts[1] == "release":
		a = Action{Verb: Verb(parts[3]), Stream: parts[0], Release: parts[2]}
	}
	switch a.Verb {
	case Accept, Reject, Promote:
		return a, nameLike(a.Stream) && nameLike(a.Release)
	case Cut:
		return a, nameLike(a.Stream)
	}
	return a, false
}

// nameLike is what streams, versions and digests look like, and nothing that would
// lead elsewhere.
func nameLike(s string) bool {
	if s == "" || len(s) > 160 || s[0] == '.' {
		return false
	}
	return !strings.ContainsFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-:+", c))
	})
}

func (api *WriteAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, ok := actionOf(r.URL.Path)
	var outcome Outcome
	var problem *apiError
	switch {
	case !ok:
		a = Action{} // what it is not must not name a metric
		problem = notFound(r.URL.Path)
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", "POST")
		problem = &apiError{http.StatusMethodNotAllowed, kindMethod, "method " + clip(r.Method) + " is not allowed; use POST"}
	default:
		outcome, problem = api.handle(w, r, a)
	}
	if problem != nil {
		problem.write(w, r)
		api.Metrics.wrote(string(a.Verb), problem.code)
		return
	}
	data, err := json.Marshal(outcome)
	if err != nil {
		(&apiError{http.StatusInternalServerError, kindInternal, err.Error()}).write(w, r)
		return
	}
	w.Header()["Content-Type"] = headerJSON
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data)
	api.Metrics.wrote(string(a.Verb), http.StatusOK)
}

// handle lets nothing through that is too much, unknown, not allowed or not recorded.
func (api *WriteAPI) handle(w http.ResponseWriter, r *http.Request, a Action) (Outcome, *apiError) {
	api.once.Do(func() {
		api.limiter = newLimiter(cmpOr(api.PerMinute, 60), max(1, cmpOr(api.PerMinute, 60)/3))
	})
	now := time.Now()
	if delay := api.limiter.wait("address "+clientOf(r), now); delay > 0 {
		return Outcome{}, tooMany(w, delay)
	}
	who, problem := api.authenticate(w, r, now)
	if problem != nil {
		return Outcome{}, problem
	}
	if delay := api.limiter.wait("token "+who.Name, now); delay > 0 {
		return Outcome{}, tooMany(w, delay)
	}
	a.Actor = who.Name
	entry := Entry{ID: rand.Text(), Time: now, Action: a, Remote: clientOf(r)}
	if !who.May(a.Verb) {
		return Outcome{}, api.deny(r.Context(), entry)
	}
	if problem := readAction(w, r, &entry.Action); problem != nil {
		return Outcome{}, problem
	}
	return api.act(w, r, entry)
}

func cmpOr(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}

func (api *WriteAPI) authenticate(w http.ResponseWriter, r *http.Request, now time.Time) (Identity, *apiError) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") && token != "" {
		who, ok, err := api.Identify(strings.TrimSpace(token), now)
		if err != nil {
			api.log().Error("nobody can be let in", "error", err)
			return who, &apiError{http.StatusServiceUnavailable, kindInternal, "the list of tokens cannot be read; ask who runs this server"}
		}
		if ok {
			return who, nil
		}
	}
	api.log().Warn("a request to change something was turned away", "path", clip(r.URL.Path), "remote", clientOf(r))
	w.Header().Set("WWW-Authenticate", `Bearer realm="slipway"`)
	return Identity{}, &apiError{http.StatusUnauthorized, kindUnauthorized, "this needs a token: Authorization: Bearer TOKEN"}
}

func (api *WriteAPI) deny(ctx context.Context, entry Entry) *apiError {
	entry.Phase, entry.Error = Denied, "the token does not have the role"
	if err := api.Audit.Record(ctx, entry); err != nil {
		api.log().Error("recording a denied action", "error", err)
	}
	return &apiError{http.StatusForbidden, kindForbidden, strconv.Quote(entry.Actor) + " does not have the role " + string(entry.Verb)}
}

// readAction adds what the body says.
func readAction(w http.ResponseWriter, r *http.Request, a *Action) *apiError {
	bad := func(why string) *apiError { return invalidParams("%s", why) }
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAction))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return &apiError{http.StatusRequestEntityTooLarge, kindTooLarge, "the body has more than " + strconv.Itoa(maxAction) + " bytes"}
	}
	if err != nil {
		return bad("the body could not be read")
	}
	if len(bytes.TrimSpace(data)) > 0 {
		if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != typeJSON {
			return bad("the body must be application/json")
		}
		said := struct {
			Reason *string `json:"reason"`
			DryRun *bool   `json:"dryRun"`
		}{&a.Reason, &a.DryRun}
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&said); err != nil {
			return bad("the body is not {\"reason\":…,\"dryRun\":…}: " + err.Error())
		}
		if dec.More() {
			return bad("something stands behind the body's end")
		}
	}
	a.Reason = strings.TrimSpace(a.Reason)
	switch {
	case len(a.Reason) > maxReason:
		return bad("the reason has more than " + strconv.Itoa(maxReason) + " bytes")
	case a.Reason == "" && (a.Verb == Accept || a.Verb == Reject):
		return bad(string(a.Verb) + " needs a reason, which is recorded")
	}
	return nil
}

// act records that an action begins, does it, and records how it ended. A client that
// goes away does not stop it half way.
func (api *WriteAPI) act(w http.ResponseWriter, r *http.Request, entry Entry) (Outcome, *apiError) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), actionTimeout)
	defer cancel()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(actionTimeout + 10*time.Second)) // not every writer has one
	entry.Phase = Begun
	if err := api.Audit.Record(ctx, entry); err != nil {
		api.log().Error("nothing is done that cannot be recorded", "error", err)
		return Outcome{}, &apiError{http.StatusServiceUnavailable, kindInternal, "the action cannot be recorded, and was not done"}
	}
	outcome, err := api.do(ctx, entry.Action)
	entry.Phase, entry.Time, entry.Outcome = Done, time.Now(), &outcome
	if err != nil {
		entry.Phase, entry.Error, entry.Outcome = Failed, err.Error(), nil
	}
	if err := api.Audit.Record(ctx, entry); err != nil {
		api.log().Error("recording how an action ended", "id", entry.ID, "phase", entry.Phase, "error", err)
	}
	return outcome, problemOf(err)
}

func (api *WriteAPI) do(ctx context.Context, a Action) (Outcome, error) {
	if a.Verb == Refresh {
		return Outcome{Changed: true}, api.Refresh(ctx)
	}
	if api.Actions == nil {
		return Outcome{}, ErrUnsupported
	}
	outcome, err := api.Actions.Act(ctx, a)
	if err == nil && outcome.Changed && !a.DryRun {
		if err := api.Refresh(ctx); err != nil {
			api.log().Warn("the change is done and not served yet", "error", err)
		}
	}
	return outcome, err
}

// problemOf is how an action's error is answered.
func problemOf(err error) *apiError {
	if err == nil {
		return nil
	}
	for _, known := range []struct {
		err  error
		code int
		kind string
	}{
		{ErrNotFound, http.StatusNotFound, kindDoesNotExist},
		{ErrConflict, http.StatusConflict, kindConflict},
		{ErrRefused, http.StatusUnprocessableEntity, kindRefused},
		{ErrUnsupported, http.StatusNotImplemented, kindNotImplemented},
	} {
		if errors.Is(err, known.err) {
			return &apiError{known.code, known.kind, err.Error()}
		}
	}
	return &apiError{http.StatusInternalServerError, kindInternal, err.Error()}
}

func (api *WriteAPI) log() *slog.Logger {
	if api.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return api.Log
}
