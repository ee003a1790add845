package controller

import (
	"maps"
	"sync"
	"time"

	"github.com/slipway-release/slipway/release/streams"
	"github.com/slipway-release/slipway/release/streams/journal"
)

// Metrics are the figures of a controller; any goroutine may read them.
type Metrics struct {
	mu   sync.Mutex
	snap Snapshot
}

// Snapshot is the figures at one moment. Counters begin with the process.
type Snapshot struct {
	Holder  string                   `json:"holder"`
	Leading bool                     `json:"leading"`
	Streams map[string]StreamMetrics `json:"streams"`
}

// StreamMetrics are those of one stream.
type StreamMetrics struct {
	Cuts         int `json:"cuts"`
	Deleted      int `json:"deleted"`
	HostFailures int `json:"hostFailures"`
	// Finished counts payloads by the phase they ended in, Seconds the time from cut to end.
	Finished map[streams.Phase]int     `json:"finished,omitempty"`
	Seconds  map[streams.Phase]float64 `json:"seconds,omitempty"`
	// Checks are those with a pipeline of their own that were run, by name.
	Checks map[string]CheckMetrics `json:"checks,omitempty"`
	// What follows is from the journal, whoever did it.
	Unfinished       int       `json:"unfinished"`
	OldestUnfinished time.Time `json:"oldestUnfinished,omitzero"`
	LastCut          time.Time `json:"lastCut,omitzero"`
	LastAccepted     time.Time `json:"lastAccepted,omitzero"` // when it was cut
	Frozen           bool      `json:"frozen"`
	// Next is when to look again at the latest, Waiting why nothing was cut.
	Next    time.Time `json:"next,omitzero"`
	Waiting string    `json:"waiting,omitempty"`
}

// CheckMetrics are those of one check, by how its runs ended.
type CheckMetrics struct {
	Runs    map[streams.Status]int     `json:"runs"`
	Seconds map[streams.Status]float64 `json:"seconds"`
}

func newMetrics(holder string) *Metrics {
	return &Metrics{snap: Snapshot{Holder: holder, Streams: map[string]StreamMetrics{}}}
}

// Snapshot copies the figures.
func (m *Metrics) Snapshot() Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.snap
	out.Streams = map[string]StreamMetrics{}
	for name, s := range m.snap.Streams {
		s.Finished, s.Seconds = maps.Clone(s.Finished), maps.Clone(s.Seconds)
		s.Checks = maps.Clone(s.Checks)
		for check, c := range s.Checks {
			s.Checks[check] = CheckMetrics{Runs: maps.Clone(c.Runs), Seconds: maps.Clone(c.Seconds)}
		}
		out.Streams[name] = s
	}
	return out
}

func (m *Metrics) lead(leading bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.snap.Leading = leading
}

func (m *Metrics) note(stream string, edit func(*StreamMetrics)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.snap.Streams[stream]
	edit(&s)
	m.snap.Streams[stream] = s
}

func (m *Metrics) finish(stream string, phase streams.Phase, took time.Duration) {
	m.note(stream, func(s *StreamMetrics) {
		if s.Finished == nil {
			s.Finished, s.Seconds = map[streams.Phase]int{}, map[streams.Phase]float64{}
		}
		s.Finished[phase]++
		s.Seconds[phase] += took.Seconds()
	})
}

func (m *Metrics) checked(stream, check string, status streams.Status, took time.Duration) {
	m.note(stream, func(s *StreamMetrics) {
		if s.Checks == nil {
			s.Checks = map[string]CheckMetrics{}
		}
		c, known := s.Checks[check]
		if !known {
			c = CheckMetrics{Runs: map[streams.Status]int{}, Seconds: map[streams.Status]float64{}}
			s.Checks[check] = c
		}
		c.Runs[status]++
		c.Seconds[status] += took.Seconds()
	})
}

// journal takes over what the journal says.
func (m *Metrics) journal(stream string, state *journal.State) {
	m.note(stream, func(s *StreamMetrics) {
		s.Unfinished, s.OldestUnfinished, s.Frozen = 0, time.Time{}, state.Frozen != nil
		for _, c := range state.Cuts {
			s.LastCut = c.At
			if c.Phase() == streams.PhaseAccepted {
				s.LastAccepted = c.At
			}
			if !c.Unfinished() {
				continue
			}
			if s.Unfinished++; s.OldestUnfinished.IsZero() {
				s.OldestUnfinished = c.At
			}
		}
	})
}
