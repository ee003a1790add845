package ocitest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Fault is something that goes wrong with some requests.
type Fault struct {
	On Match
	// Skip is the number of matching requests that go well first.
	Skip int
	// Times is the number of requests that then fail; 0 means all.
	Times int
	// Each counts Skip and Times for every method and path on its own. The ids of
	// uploads do not count, for every attempt has its own.
	Each bool
	Do   Effect
}

// Effect answers a request in place of the registry behind it, which is next, or
// meddles with what passes between the two. Tests may write their own.
type Effect func(w http.ResponseWriter, r *http.Request, next http.Handler)

// armed is a fault and how often it was met.
type armed struct {
	Fault
	met map[string]int
}

// due says whether a request fails. The server's lock is held.
func (a *armed) due(r *http.Request) bool {
	if !a.On.matches(r.Method, r.URL.Path) {
		return false
	}
	key := ""
	if a.Each {
		path, _, _ := strings.Cut(r.URL.Path, "/uploads/")
		key = r.Method + " " + path
	}
	a.met[key]++
	n := a.met[key] - a.Skip
	return n > 0 && (a.Times == 0 || n <= a.Times)
}

// Status answers with a status and an error in the registries' format.
func Status(code int) Effect { return answer(code, "") }

// RetryAfter answers with a status, such as 429, and the wish to be asked again
// after so many seconds.
func RetryAfter(code, seconds int) Effect { return answer(code, fmt.Sprint(seconds)) }

// RetryAt is RetryAfter with the time given as a date. Dates have whole seconds;
// this one is not before the wait is over.
func RetryAt(code int, wait time.Duration) Effect {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		at := time.Now().Add(wait + time.Second - 1).UTC().Truncate(time.Second)
		answer(code, at.Format(http.TimeFormat))(w, r, next)
	}
}

var messages = map[int]string{
	http.StatusUnauthorized:    `{"code":"UNAUTHORIZED","message":"authentication required"}`,
	http.StatusForbidden:       `{"code":"DENIED","message":"denied"}`,
	http.StatusNotFound:        `{"code":"NAME_UNKNOWN","message":"not known"}`,
	http.StatusTooManyRequests: `{"code":"TOOMANYREQUESTS","message":"slow down"}`,
}

func answer(code int, retryAfter string) Effect {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		message, ok := messages[code]
		if !ok {
			message = `{"code":"UNAVAILABLE","message":"out of order"}`
		}
		w.Header().Set("Content-Type", "application/json")
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, `{"errors":[`+message+`]}`)
	}
}

// Latency lets a request wait before the registry sees it.
func Latency(d time.Duration) Effect {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		select {
		case <-time.After(d):
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}
}

// Hang takes the request and says nothing.
func Hang() Effect {
	return func(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() }
}

// Refuse has the whole registry refuse connections for a while, beginning with
// this request, which is cut.
func Refuse(d time.Duration) Effect {
	return func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		if s, ok := r.Context().Value(serverKey{}).(*Server); ok {
			s.Refuse(d)
		}
		panic(http.ErrAbortHandler)
	}
}

// CutAfter sends so many bytes of the answer's body and then cuts the
// connection; with 0 there is no answer at all. A shorter answer arrives whole.
func CutAfter(bytes int64) Effect {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if bytes == 0 {
			panic(http.ErrAbortHandler)
		}
		limited := &limitedWriter{ResponseWriter: w, left: bytes}
		next.ServeHTTP(limited, r)
		if limited.full {
			_ = http.NewResponseController(w).Flush() // else the bytes before the cut would be lost as well
			panic(http.ErrAbortHandler)
		}
	}
}

// CutUpload cuts the connection when so many bytes of the request's body have
// reached the registry. A shorter request arrives whole.
func CutUpload(bytes int64) Effect {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		limited := &limitedBody{ReadCloser: r.Body, left: bytes}
		r.Body = limited
		next.ServeHTTP(&brokenOff{ResponseWriter: w, body: limited}, r)
		if limited.broken {
			panic(http.ErrAbortHandler)
		}
	}
}

// WrongBytes changes one bit in the middle of the answer's body.
func WrongBytes() Effect {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(&flippingWriter{ResponseWriter: w}, r)
	}
}

// Slow carries so many bytes a second, in both directions.
func Slow(bytesPerSecond int) Effect {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		r.Body = &slowBody{ReadCloser: r.Body, rate: bytesPerSecond, begun: time.Now()}
		next.ServeHTTP(&slowWriter{ResponseWriter: w, rate: bytesPerSecond, begun: time.Now()}, r)
	}
}
