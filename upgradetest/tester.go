package upgradetest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// controlServer answers on loopback from within the tester. What it suffers, the
// tester suffers.
type controlServer struct {
	server *http.Server
	url    *url.URL
}

func serveControl() (*controlServer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	c := &controlServer{server: &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}, url: &url.URL{Scheme: "http", Host: listener.Addr().String(), Path: "/"}}
	go func() { _ = c.server.Serve(listener) }() // ends with close
	return c, nil
}

func (c *controlServer) backends(hertz float64) []Backend {
	var out []Backend
	for _, connection := range []string{New, Reused} {
		prober := &httpProber{url: c.url, rt: onConnection{}, keep: connection == Reused}
		out = append(out, Backend{Name: "control", Connection: connection, Hertz: hertz, Prober: prober})
	}
	return out
}

func (c *controlServer) close() { _ = c.server.Close() }

// watchHost records every second how much CPU time the host took away.
func (m *Monitor) watchHost() {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	lastSteal, lastTotal, err := cpuTimes()
	if err != nil {
		return // not Linux, or /proc is hidden: steal stays unknown
	}
	for {
		select {
		case <-ticker.C:
		case <-m.stop:
			return
		}
		m.keepPriority() // for threads that were started since
		steal, total, err := cpuTimes()
		if err != nil {
			continue
		}
		m.recorder.host(hostFrame{At: time.Since(m.start), Steal: steal - lastSteal, Total: total - lastTotal})
		lastSteal, lastTotal = steal, total
	}
}

// cpuTimes reads the first line of /proc/stat (proc(5)): jiffies of all CPUs as user, nice,
// system, idle, iowait, irq, softirq, steal; guest times are part of user.
func cpuTimes() (steal, total uint64, err error) {
	file, err := os.Open("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	defer file.Close()
	line, err := bufio.NewReader(file).ReadString('\n')
	if err != nil {
		return 0, 0, err
	}
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, 0, errors.New("reading /proc/stat: no line of all CPUs")
	}
	for i, field := range fields[1:9] {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return 0, 0, err
		}
		total += n
		if i == 7 {
			steal = n
		}
	}
	return steal, total, nil
}
