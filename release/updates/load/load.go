// Package load asks an HTTP server for the same few things as often as it can or is
// told to, for a bounded time, and says how long the answers took. It speaks plain
// HTTP/1.1 itself and reads only as much of an answer as it must, so that one core of
// it keeps more than one core of a server busy.
package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Target is a request that is made again and again.
type Target struct {
	// Path is the path with the query.
	Path string
	// Headers are whole lines, such as "Accept-Encoding: gzip".
	Headers []string
	// Want is the code of a good answer; zero means 200.
	Want int
}

// Options bound a run. One of Duration and Requests must be given.
type Options struct {
	Address string // HOST:PORT
	Targets []Target
	// Connections are open at once, each for one request at a time.
	Connections int
	// Rate is how many requests a second are begun, whether or not the server keeps up;
	// zero means as many as it answers.
	Rate     int
	Duration time.Duration
	Requests int
}

// maxDuration bounds a run whatever it is told.
const maxDuration = 10 * time.Minute

// Result is what came of a run. How long a request took is counted from when it was due,
// so that a server that stops answering for a while does not look fast.
type Result struct {
	Requests, Errors int
	// Problem is the first error.
	Problem       string
	Bytes         int64
	Took          time.Duration
	P50, P99, Max time.Duration
}

// PerSecond is how many requests were answered as wanted in a second.
func (r Result) PerSecond() float64 {
	return float64(r.Requests-r.Errors) / r.Took.Seconds()
}

func (r Result) String() string {
	return fmt.Sprintf("%d requests in %.2f s: %.0f/s, %d errors, p50 %v, p99 %v, max %v, %.1f MB/s",
		r.Requests, r.Took.Seconds(), r.PerSecond(), r.Errors, r.P50, r.P99, r.Max, float64(r.Bytes)/1e6/r.Took.Seconds())
}

// Run makes requests until the time is over, all are made, or ctx ends. What is under
// way then is finished. It fails only when it is told nonsense.
func Run(ctx context.Context, o Options) (Result, error) {
	switch {
	case len(o.Targets) == 0 || o.Connections < 1 || o.Rate < 0:
		return Result{}, errors.New("making load: it needs a target, at least one connection, and a rate that is not negative")
	case o.Duration <= 0 && o.Requests <= 0:
		return Result{}, errors.New("making load: bound it by a duration or a number of requests")
	case o.Duration <= 0 || o.Duration > maxDuration:
		o.Duration = maxDuration
	}
	ctx, cancel := context.WithTimeout(ctx, o.Duration)
	defer cancel()
	run := &run{Options: o, start: time.Now()}
	workers := make([]*worker, o.Connections)
	var all sync.WaitGroup
	for i := range workers {
		workers[i] = &worker{run: run, number: i}
		all.Go(func() { workers[i].work(ctx) })
	}
	all.Wait()
	return run.result(workers), nil
}

type run struct {
	Options
	start time.Time
	begun atomic.Int64
}

func (r *run) result(workers []*worker) Result {
	out := Result{Took: time.Since(r.start)}
	var times []time.Duration
	for _, w := range workers {
		times = append(times, w.times...)
		out.Errors += w.errors
		out.Bytes += w.bytes
		if out.Problem == "" {
			out.Problem = w.problem
		}
	}
	out.Requests = len(times)
	if len(times) > 0 {
		slices.Sort(times)
		out.P50, out.P99, out.Max = times[len(times)/2], times[len(times)*99/100], times[len(times)-1]
	}
	return out
}

// worker is one connection after the other.
type worker struct {
	*run
	number  int
	conn    net.Conn
	in      *bufio.Reader
	times   []time.Duration
	errors  int
	bytes   int64
	problem string
}

func (w *worker) work(ctx context.Context) {
	defer w.hangUp()
	requests := make([][]byte, len(w.Targets))
	for i, t := range w.Targets {
		lines := append([]string{"GET " + t.Path + " HTTP/1.1", "Host: " + w.Address}, t.Headers...)
		requests[i] = []byte(strings.Join(lines, "\r\n") + "\r\n\r\n")
	}
	for n := 0; ; n++ {
		due := time.Now()
		if w.Rate > 0 {
			due = w.start.Add(time.Duration(n*w.Connections+w.number) * time.Second / time.Duration(w.Rate))
			if !sleepUntil(ctx, due) {
				return
			}
		}
		if ctx.Err() != nil || w.Requests > 0 && w.begun.Add(1) > int64(w.Requests) {
			return
		}
		at := (n + w.number) % len(requests)
		if err := w.ask(requests[at], w.Targets[at].Want); err != nil {
			w.errors++
			if w.problem == "" {
				w.problem = fmt.Sprintf("%s: %v", w.Targets[at].Path, err)
			}
			w.hangUp()
		}
		w.times = append(w.times, time.Since(due))
	}
}

func sleepUntil(ctx context.Context, due time.Time) bool {
	wait := time.Until(due)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (w *worker) hangUp() {
	if w.conn != nil {
		w.conn.Close()
		w.conn = nil
	}
}

// answerTime is how long an answer may take before it counts as none.
const answerTime = 10 * time.Second

func (w *worker) ask(request []byte, want int) error {
	if w.conn == nil {
		conn, err := net.DialTimeout("tcp", w.Address, answerTime)
		if err != nil {
			return err
		}
		w.conn = conn
		if w.in == nil {
			w.in = bufio.NewReaderSize(conn, 64<<10)
		}
		w.in.Reset(conn)
	}
	if err := w.conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	if _, err := w.conn.Write(request); err != nil {
		return err
	}
	code, length, last, err := readHead(w.in)
	if err != nil {
		return err
	}
	n, err := io.CopyN(io.Discard, w.in, length)
	w.bytes += n
	if err != nil {
		return err
	}
	if last {
		w.hangUp()
	}
	if want == 0 {
		want = 200
	}
	if code != want {
		return fmt.Errorf("the answer is %d, not %d", code, want)
	}
	return nil
}

// readHead reads an answer up to its body.
func readHead(in *bufio.Reader) (code int, length int64, last bool, err error) {
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, 0, false, fmt.Errorf("reading the answer: %w", err)
		}
		line = line[:len(line)-1]
		if len(line) > 0 && line[len(line)-1] == '\r' {
			line = line[:len(line)-1]
		}
		switch {
		case first:
			if len(line) < 12 {
				return 0, 0, false, errors.New("reading the answer: it is no HTTP")
			}
			if code, err = strconv.Atoi(string(line[9:12])); err != nil {
				return 0, 0, false, errors.New("reading the answer: it has no code")
			}
		case len(line) == 0:
			return code, length, last, nil
		default:
			if err := readField(line, &length, &last); err != nil {
				return 0, 0, false, err
			}
		}
	}
}

func readField(line []byte, length *int64, last *bool) (err error) {
	const contentLength, connection = "content-length:", "connection: close"
	switch {
	case len(line) > len(contentLength) && strings.EqualFold(string(line[:len(contentLength)]), contentLength):
		if *length, err = strconv.ParseInt(strings.TrimSpace(string(line[len(contentLength):])), 10, 64); err != nil || *length < 0 {
			return errors.New("reading the answer: its length is no number")
		}
	case strings.EqualFold(string(line), connection):
		*last = true
	case len(line) > 18 && strings.EqualFold(string(line[:18]), "transfer-encoding:"):
		return errors.New("reading the answer: its length is not known beforehand")
	}
	return nil
}
