package upgradetest

import (
	"bytes"
	"testing"
)

// FuzzLogLines reads any bytes as the log of the pod that counts. No number may
// be counted in a way that makes the ledger lose more than it holds.
func FuzzLogLines(f *testing.F) {
	f.Add([]byte(TickPrefix + "1\n" + TickPrefix + "2\n" + TickPrefix + "5\n"))
	f.Add([]byte("7\n7\n3\n\x00\nnot a number\n" + TickPrefix + "-1\n"))
	f.Add([]byte(TickPrefix + "1\n" + TickPrefix + "9223372036854775807\n"))
	f.Fuzz(func(t *testing.T, log []byte) {
		l := &logProber{pod: "tick", changed: make(chan struct{})}
		_ = l.read(bytes.NewReader(log), "tick") // a line may be too long
		ledger := l.settle(t.Context())
		if ledger.Missing < 0 || ledger.Acknowledged < ledger.Missing {
			t.Errorf("%+v", ledger)
		}
		if before := l.lines; l.read(bytes.NewReader(log), "another") == nil && l.lines != before {
			t.Error("the lines of another pod were counted")
		}
	})
}

// FuzzWatchEvents reads any bytes as what a server sends on a watch.
func FuzzWatchEvents(f *testing.F) {
	f.Add([]byte(`{"type":"ADDED","object":{"metadata":{"resourceVersion":"5"},"data":{"last":"3"}}}{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}`))
	f.Add([]byte(`{"type":"ERROR","object":{"code":410}}`))
	f.Add([]byte(`{"type":"MODIFIED","object":null}` + "\n" + `{"type":"ADDED"}`))
	f.Fuzz(func(t *testing.T, events []byte) {
		w := newWatchProber(&writeProber{seq: newSequence()})
		if err := w.read(bytes.NewReader(events)); err == nil {
			t.Error("a watch that ended has an error to tell why")
		}
	})
}
