package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// The kinds of errors, as the update service names them.
const (
	KindNotFound   = "not_found"
	KindInvalid    = "invalid_params"
	KindNotAllowed = "method_not_allowed"
	KindNotReady   = "not_ready"
	KindInternal   = "internal_error"
)

// maxQuery bounds what follows the ? of a request, in bytes.
const maxQuery = 4096

// apiError is an answer that is no answer.
type apiError struct {
	code  int
	Kind  string `json:"kind"`
	Value string `json:"value"`
	retry int    // seconds after which it may be asked again, or 0
}

func (e *apiError) Error() string { return e.Value }

func notFound(format string, args ...any) error {
	return &apiError{code: http.StatusNotFound, Kind: KindNotFound, Value: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error {
	return &apiError{code: http.StatusBadRequest, Kind: KindInvalid, Value: fmt.Sprintf(format, args...)}
}

// Problem says how an error of this package is answered: with which code, in which
// kind of error, and after how many seconds it makes sense to ask again (0: never).
func Problem(err error) (code int, kind string, retryAfter int) {
	var e *apiError
	switch {
	case errors.As(err, &e):
		return e.code, e.Kind, e.retry
	case errors.Is(err, ErrNotYet):
		return http.StatusAccepted, KindNotReady, 3
	case errors.Is(err, ErrBusy):
		return http.StatusServiceUnavailable, KindNotReady, 10
	case errors.Is(err, ErrTooLarge):
		return http.StatusNotFound, KindNotFound, 0
	}
	return http.StatusInternalServerError, KindInternal, 60
}

// answer is what is sent.
type answer struct {
	contentType string
	body        []byte
	header      map[string]string
}

func jsonAnswer(v any) (answer, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return answer{}, err
	}
	return answer{contentType: "application/json", body: out.Bytes()}, nil
}

func textAnswer(text string) (answer, error) {
	return answer{contentType: "text/plain; charset=utf-8", body: []byte(text + "\n")}, nil
}

func send(w http.ResponseWriter, r *http.Request, a answer) {
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	Send(w, r, a.contentType, a.body)
}

// Send answers with a body and its ETag, or with 304 when the client has it already.
func Send(w http.ResponseWriter, r *http.Request, contentType string, body []byte) {
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	h := w.Header()
	h.Set("ETag", tag)
	h.Set("Cache-Control", "no-cache") // keep it, and ask whether it is still so
	h.Set("X-Content-Type-Options", "nosniff")
	if matches(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // nobody is left to tell
}

// matches compares weakly, as RFC 9110 demands for If-None-Match.
func matches(header, tag string) bool {
	if header == "*" {
		return true
	}
	for one := range strings.SplitSeq(header, ",") {
		if strings.TrimPrefix(strings.TrimSpace(one), "W/") == tag {
			return true
		}
	}
	return false
}

func sendError(w http.ResponseWriter, err error) {
	code, kind, retry := Problem(err)
	text := err.Error()
	if code == http.StatusInternalServerError {
		// Causes from a registry name places that are nobody's business.
		text = "it cannot be read at the moment"
	}
	data, _ := json.Marshal(apiError{Kind: kind, Value: clip(text)}) // of two strings
	h := w.Header()
	if retry > 0 {
		h.Set("Retry-After", strconv.Itoa(retry))
	}
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write(append(data, '\n'))
}
