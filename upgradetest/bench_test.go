package upgradetest

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// BenchmarkMonitor runs the monitor with 10 backends on new and reused connections at
// 20 Hz against servers on loopback, and gives its share of one core and its memory.
// The servers are in this process, so the share is that of both ends.
func BenchmarkMonitor(b *testing.B) {
	for b.Loop() {
		var backends []Backend
		for i := range 10 {
			f := serveFaulty(b, false)
			for _, connection := range []string{New, Reused} {
				prober, err := HTTP(connection, f.target())
				if err != nil {
					b.Fatal(err)
				}
				backends = append(backends, Backend{Name: fmt.Sprintf("server-%d", i), Connection: connection, Prober: prober})
			}
		}
		before, at := cpuOfThisProcess(b), time.Now()
		m, err := Start(b.Context(), Options{Backends: backends, SamplesDir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		<-time.After(10 * time.Second)
		used, passed := cpuOfThisProcess(b)-before, time.Since(at)
		r, err := m.Stop(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		b.ReportMetric(100*used.Seconds()/passed.Seconds(), "%core")
		b.ReportMetric(float64(memory.Sys)/(1<<20), "MB")
		b.ReportMetric(100*r.Tester.Lateness.Within5ms, "%within5ms")
	}
}

func cpuOfThisProcess(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
