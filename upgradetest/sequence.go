package upgradetest

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// sequence is the numbers that one writer writes, each once, and what became of
// them. A watch of the same sequence notes what it was shown.
type sequence struct {
	mu      sync.Mutex
	next    int64
	acks    int64           // acknowledged so far
	acked   map[int64]int64 // every acknowledged number, with the count of acks then
	failed  int             // writes without an acknowledgement
	unseen  map[int64]int64 // acknowledged and not shown yet, with the count of acks then
	shown   map[int64]bool
	missing []int64 // given up
	twice   int
	relists int           // how often a client had to list anew, for the watch could not be resumed
	newest  int64         // count of acks of the latest number that was shown
	changed chan struct{} // closed at every change of unseen
}

func newSequence() *sequence {
	return &sequence{acked: map[int64]int64{}, unseen: map[int64]int64{}, shown: map[int64]bool{}, changed: make(chan struct{})}
}

// take returns the next number, from 1.
func (s *sequence) take() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	return s.next
}

func (s *sequence) acknowledge(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acks++
	s.acked[n] = s.acks
	if s.shown[n] {
		s.newest = max(s.newest, s.acks)
	} else {
		s.unseen[n] = s.acks
	}
}

func (s *sequence) fail() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed++
}

func (s *sequence) show(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown[n] {
		s.twice++
	}
	s.see(n)
}

// see is called with mu held.
func (s *sequence) see(n int64) {
	s.shown[n] = true
	s.newest = max(s.newest, s.acked[n])
	delete(s.unseen, n)
	s.wake()
}

// list takes in all numbers that are there, as a client does before it watches. One
// whose watch cannot be resumed does so again: it knows the state, and has missed how it
// came to be.
func (s *sequence) list(numbers map[int64]bool, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if again {
		s.relists++
	}
	for n := range numbers {
		if !s.shown[n] {
			s.see(n)
		}
	}
}

// wake is called with mu held.
func (s *sequence) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// upTo is the count of acknowledgements so far.
func (s *sequence) upTo() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acks
}

// allShown reports whether all of the first acks acknowledged numbers were shown
// or given up; if not, changed says when to ask again.
func (s *sequence) allShown(acks int64) (ok bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range s.unseen {
		if at <= acks {
			return false, s.changed
		}
	}
	return true, nil
}

// passedBy is how many later acknowledgements a watch must have shown before a number
// counts as left out: writes that overlap are acknowledged in any order.
const passedBy = 50

// passed is the count of acks before which nothing should be unseen any more.
func (s *sequence) passed() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest - passedBy
}

// giveUp counts those of the first acks acknowledged numbers that were not shown
// as missing, and reports how many they are.
func (s *sequence) giveUp(acks int64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	given := 0
	for n, at := range s.unseen {
		if at <= acks {
			s.missing = append(s.missing, n)
			delete(s.unseen, n)
			given++
		}
	}
	if given > 0 {
		s.wake()
	}
	return given
}

// written is the ledger of the writer: what of it is missing among there.
func (s *sequence) written(there map[int64]bool) Ledger {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := Ledger{Acknowledged: len(s.acked), Unacknowledged: s.failed}
	for _, n := range slices.Sorted(maps.Keys(s.acked)) {
		if !there[n] {
			l.lost(n)
		}
	}
	return l
}

// watched is the ledger of a watch, when it has shown all or ctx has ended.
func (s *sequence) watched(ctx context.Context) Ledger {
	acks := s.upTo()
	for {
		ok, changed := s.allShown(acks)
		if ok {
			break
		}
		select {
		case <-changed:
			continue
		case <-ctx.Done():
		}
		s.giveUp(acks)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := Ledger{Acknowledged: len(s.acked), Unacknowledged: s.failed, Duplicates: s.twice, Relists: s.relists}
	slices.Sort(s.missing)
	for _, n := range s.missing {
		if !s.shown[n] { // given up, and shown after all
			l.lost(n)
		}
	}
	return l
}
