package updates

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// The kinds of errors that clients of the protocol know, and those for what it answers
// with an empty body.
const (
	kindMissingParams  = "missing_params"
	kindInvalidParams  = "invalid_params"
	kindInvalidType    = "invalid_content_type"
	kindDoesNotExist   = "does_not_exist"
	kindUpstream       = "failed_upstream_fetch"
	kindFailedJSON     = "failed_json_out"
	kindMethod         = "method_not_allowed"
	kindUnauthorized   = "unauthorized"
	kindForbidden      = "forbidden"
	kindTooMany        = "too_many_requests"
	kindTooLarge       = "too_large"
	kindConflict       = "conflict"
	kindRefused        = "refused"
	kindInternal       = "internal"
	kindNotImplemented = "not_implemented"
)

// apiError is an error as clients get it.
type apiError struct {
	code  int
	kind  string
	value string
}

func (e *apiError) Error() string { return e.value }

func invalidParams(format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, kindInvalidParams, "invalid client parameters: " + fmt.Sprintf(format, args...)}
}

// write sends the error as {"kind":…,"value":…}.
func (e *apiError) write(w http.ResponseWriter, r *http.Request) {
	data, err := json.Marshal(struct {
		Kind  string `json:"kind"`
		Value string `json:"value"`
	}{e.kind, e.value})
	if err != nil { // of two strings: cannot fail
		data = []byte("{}")
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(data)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(e.code)
	if r.Method != http.MethodHead {
		_, _ = w.Write(data) // the client may be gone
	}
}
