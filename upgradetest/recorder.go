package upgradetest

import (
	"os"
	"sync"
	"time"
)

// flushEvery bounds what a killed monitor loses.
const flushEvery = 500 * time.Millisecond

// recorder collects samples and writes them in batches. After the first error of
// writing it drops what comes, and close returns that error.
type recorder struct {
	mu    sync.Mutex
	batch []sample

	fileMu sync.Mutex
	file   *os.File
	writer *writer
	err    error
	closed bool

	stop chan struct{}
	done chan struct{}
}

func record(dir string, s session) (*recorder, error) {
	file, err := create(dir)
	if err != nil {
		return nil, err
	}
	w, err := newWriter(file, s)
	if err != nil {
		file.Close()
		return nil, err
	}
	r := &recorder{file: file, writer: w, stop: make(chan struct{}), done: make(chan struct{})}
	go r.flushLoop()
	return r, nil
}

// maxBatch bounds a block; 5000 samples stay far below the limit of a frame.
const maxBatch = 5000

func (r *recorder) add(s sample) {
	r.mu.Lock()
	r.batch = append(r.batch, s)
	full := len(r.batch) >= maxBatch
	r.mu.Unlock()
	if full {
		r.flush()
	}
}

func (r *recorder) mark(m markFrame) { r.write(func() error { return r.writer.json(kindMark, m) }) }

func (r *recorder) event(e eventFrame) { r.write(func() error { return r.writer.json(kindEvent, e) }) }

func (r *recorder) ledger(l Ledger) { r.write(func() error { return r.writer.json(kindLedger, l) }) }

func (r *recorder) host(h hostFrame) { r.write(func() error { return r.writer.json(kindHost, h) }) }

func (r *recorder) flushLoop() {
	defer close(r.done)
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			r.flush()
		case <-r.stop:
			return
		}
	}
}

func (r *recorder) flush() {
	r.write(func() error {
		r.mu.Lock()
		batch := r.batch
		r.batch = make([]sample, 0, cap(batch))
		r.mu.Unlock()
		return r.writer.samples(batch)
	})
}

func (r *recorder) write(f func() error) {
	r.fileMu.Lock()
	defer r.fileMu.Unlock()
	if r.err == nil && !r.closed {
		r.err = f()
	}
}

// close writes what is left and the end. It is safe to call twice.
func (r *recorder) close(end endFrame) error {
	r.fileMu.Lock()
	closed := r.closed
	r.fileMu.Unlock()
	if closed {
		return r.err
	}
	close(r.stop)
	<-r.done
	r.flush()
	r.write(func() error { return r.writer.json(kindEnd, end) })
	r.write(r.file.Sync)
	r.fileMu.Lock()
	defer r.fileMu.Unlock()
	r.closed = true
	if err := r.file.Close(); r.err == nil {
		r.err = err
	}
	return r.err
}
