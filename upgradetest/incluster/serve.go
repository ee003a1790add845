package incluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/slipway-release/slipway/upgradetest"
)

// ServeOptions say what to serve; empty fields serve nothing.
type ServeOptions struct {
	Lines    string        // address of a TCP server that sends every line back
	HTTP     string        // address of /readyz, and of the store
	Store    string        // folder of the store
	LogTicks time.Duration // how often a numbered line is written to Log
	Linger   time.Duration // how long to serve on after the end was asked for
	Log      io.Writer
}

// Serve serves until ctx ends, then leaves in good order: /readyz fails at once, new
// connections are taken for Linger, then lines end with upgradetest.Bye.
func Serve(ctx context.Context, o ServeOptions) error {
	s := &server{options: o, conns: map[net.Conn]bool{}}
	web, err := net.Listen("tcp", o.HTTP)
	if err != nil {
		return fmt.Errorf("serving on %q: %w", o.HTTP, err)
	}
	if o.Lines != "" {
		if s.lines, err = net.Listen("tcp", o.Lines); err != nil {
			return fmt.Errorf("serving lines on %q: %w", o.Lines, err)
		}
		go s.acceptLines()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if ctx.Err() != nil {
			http.Error(w, "leaving", http.StatusServiceUnavailable)
		}
	})
	if o.Store != "" {
		st, err := openStore(o.Store)
		if err != nil {
			return err
		}
		defer st.close()
		mux.HandleFunc("POST "+upgradetest.AppendPath, st.append)
		mux.HandleFunc("GET "+upgradetest.EntriesPath, st.entries)
	}
	httpServer := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- httpServer.Serve(web) }()
	ticks, stopTicks := context.WithCancel(context.Background())
	defer stopTicks()
	if o.LogTicks > 0 {
		go tick(ticks, o.LogTicks, o.Log)
	}
	select {
	case err := <-failed:
		return fmt.Errorf("serving on %q: %w", o.HTTP, err)
	case <-ctx.Done():
	}
	time.Sleep(o.Linger)
	s.leave()
	end, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return httpServer.Shutdown(end)
}

func tick(ctx context.Context, every time.Duration, w io.Writer) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for n := 1; ; n++ {
		select {
		case <-ticker.C:
			fmt.Fprintf(w, "%s%d\n", upgradetest.TickPrefix, n)
		case <-ctx.Done():
			return
		}
	}
}

type server struct {
	options ServeOptions
	lines   net.Listener

	mu    sync.Mutex
	conns map[net.Conn]bool
	users sync.WaitGroup
}

func (s *server) acceptLines() {
	for {
		c, err := s.lines.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.users.Go(func() { s.echo(c) })
	}
}

func (s *server) echo(c net.Conn) {
	defer func() {
		c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		if _, err := io.WriteString(c, lines.Text()+"\n"); err != nil {
			return
		}
	}
}

// goodbye is how long clients have to close their connections after Bye.
const goodbye = 10 * time.Second

func (s *server) leave() {
	if s.lines == nil {
		return
	}
	s.mu.Lock()
	for c := range s.conns {
		_, _ = io.WriteString(c, upgradetest.Bye+"\n") // a client that is gone needs none
	}
	s.mu.Unlock()
	s.lines.Close()
	done := make(chan struct{})
	go func() { s.users.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(goodbye):
	}
}

// store is a file of lines; what it acknowledges is on the disk.
type store struct {
	mu   sync.Mutex
	file *os.File
}

func openStore(dir string) (*store, error) {
	file, err := os.OpenFile(filepath.Join(dir, "entries"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the store in %q: %w", dir, err)
	}
	return &store{file: file}, nil
}

func (s *store) close() { s.file.Close() }

func (s *store) append(w http.ResponseWriter, r *http.Request) {
	line, err := io.ReadAll(io.LimitReader(r.Body, 1024))
	if err == nil {
		s.mu.Lock()
		_, err = s.file.Write(line)
		if err == nil {
			err = s.file.Sync()
		}
		s.mu.Unlock()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (s *store) entries(w http.ResponseWriter, _ *http.Request) {
	in, err := os.Open(s.file.Name())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer in.Close()
	_, _ = io.Copy(w, in) // a client that leaves asks again
}
