package ocitest

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

// countingWriter notes what is really sent.
type countingWriter struct {
	http.ResponseWriter
	server *Server
	entry  *Request
}

func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *countingWriter) WriteHeader(code int) {
	w.server.mu.Lock()
	// The registry reports a transfer that broke off once more.
	twice := w.entry.Status >= http.StatusOK
	if !twice {
		w.entry.Status = code
	}
	w.server.mu.Unlock()
	if !twice {
		w.ResponseWriter.WriteHeader(code)
	}
}

func (w *countingWriter) Write(p []byte) (int, error) {
	// Counted before it is sent: a client that has it all may look at the count at once.
	w.count(len(p))
	n, err := w.ResponseWriter.Write(p)
	w.count(n - len(p))
	return n, err
}

func (w *countingWriter) count(n int) {
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	if w.entry.Status == 0 {
		w.entry.Status = http.StatusOK
	}
	w.entry.Sent += int64(n)
}

type countingBody struct {
	io.ReadCloser
	server *Server
	entry  *Request
}

func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	b.entry.Received += int64(n)
	return n, err
}

var errCut = errors.New("the connection is cut")

// limitedWriter takes so many bytes and no more.
type limitedWriter struct {
	http.ResponseWriter
	left int64
	full bool
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	if w.full {
		return 0, errCut
	}
	if int64(len(p)) <= w.left {
		n, err := w.ResponseWriter.Write(p)
		w.left -= int64(n)
		return n, err
	}
	w.full = true
	n, err := w.ResponseWriter.Write(p[:w.left])
	if err == nil {
		err = errCut
	}
	return n, err
}

// limitedBody gives so many bytes and then breaks.
type limitedBody struct {
	io.ReadCloser
	left   int64
	broken bool
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		// Whether there is more decides whether anything is cut.
		n, err := b.ReadCloser.Read(p[:min(1, len(p))])
		if n == 0 {
			return 0, err
		}
		b.broken = true
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// brokenOff says nothing once the request broke off.
type brokenOff struct {
	http.ResponseWriter
	body *limitedBody
}

func (w *brokenOff) WriteHeader(code int) {
	if !w.body.broken {
		w.ResponseWriter.WriteHeader(code)
	}
}

func (w *brokenOff) Write(p []byte) (int, error) {
	if w.body.broken {
		return 0, errCut
	}
	return w.ResponseWriter.Write(p)
}

// flippingWriter changes one bit in the middle of the body, or of its first
// byte when its length is not known.
type flippingWriter struct {
	http.ResponseWriter
	at   int64
	sent int64
}

func (w *flippingWriter) WriteHeader(code int) {
	length, _ := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64)
	w.at = length / 2
	w.ResponseWriter.WriteHeader(code)
}

func (w *flippingWriter) Write(p []byte) (int, error) {
	if i := w.at - w.sent; i >= 0 && i < int64(len(p)) {
		p = append([]byte(nil), p...) // it belongs to the caller
		p[i] ^= 1
	}
	n, err := w.ResponseWriter.Write(p)
	w.sent += int64(n)
	return n, err
}

// wait sleeps until moving so many bytes at the rate may have taken so long.
func wait(begun time.Time, moved int64, rate int) {
	time.Sleep(time.Until(begun.Add(time.Duration(moved) * time.Second / time.Duration(rate))))
}

// piece is how much is moved at once, twenty times a second.
func piece(length, rate int) int { return min(length, max(1, rate/20)) }

type slowWriter struct {
	http.ResponseWriter
	rate  int
	begun time.Time
	moved int64
}

func (w *slowWriter) Write(p []byte) (int, error) {
	written := 0
	for {
		n, err := w.ResponseWriter.Write(p[written : written+piece(len(p)-written, w.rate)])
		written += n
		w.moved += int64(n)
		if err == nil {
			err = http.NewResponseController(w.ResponseWriter).Flush()
		}
		wait(w.begun, w.moved, w.rate)
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

type slowBody struct {
	io.ReadCloser
	rate  int
	begun time.Time
	moved int64
}

func (b *slowBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:piece(len(p), b.rate)])
	b.moved += int64(n)
	wait(b.begun, b.moved, b.rate)
	return n, err
}
