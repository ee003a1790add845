package upgradetest

import (
	"context"
	"net/http"
	"strconv"
	"strings"
)

// Paths of the store that a stateful workload serves: POST adds a line and answers
// when it is on the disk; GET returns all lines.
const (
	AppendPath  = "/append"
	EntriesPath = "/entries"
)

// storeProber appends the numbers of a sequence to a store.
type storeProber struct {
	*httpProber
	seq    *sequence
	prefix string // of this prober's lines
}

// Store returns a prober that appends lines to the store at url (http://host:port).
// Afterwards all that were acknowledged must be there. Lines bear a prefix, without
// spaces, that is this prober's own.
func Store(connection, url, prefix string) (Prober, error) {
	p, err := HTTP(connection, HTTPTarget{URL: url})
	if err != nil {
		return nil, err
	}
	s := &storeProber{httpProber: p.(*httpProber), seq: newSequence(), prefix: prefix}
	s.talk = func(ctx context.Context, send sender, p *Probe) error {
		n := s.seq.take()
		_, err := send(ctx, request{method: http.MethodPost, path: AppendPath, contentType: "text/plain", body: []byte(s.prefix + " " + strconv.FormatInt(n, 10) + "\n")})
		if err != nil || p.Class != OK {
			s.seq.fail()
			return err
		}
		s.seq.acknowledge(n)
		return nil
	}
	return s, nil
}

// settle implements keeper.
func (s *storeProber) settle(ctx context.Context) Ledger {
	body, err := s.fetch(ctx, EntriesPath)
	if err != nil {
		l := s.seq.written(nil)
		l.Missing, l.Numbers, l.Unverified = 0, nil, err.Error()
		return l
	}
	there := map[int64]bool{}
	for line := range strings.Lines(string(body)) {
		prefix, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil && prefix == s.prefix {
			there[n] = true
		}
	}
	return s.seq.written(there)
}
