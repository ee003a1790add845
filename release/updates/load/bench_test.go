package load_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/updates"
	"github.com/slipway-release/slipway/release/updates/load"
)

// serverVariable makes the test binary a server: the load must come from another
// process, for the server has one core.
const serverVariable = "SLIPWAY_UPDATES_LOAD_SERVER"

// nowhere in place of the file means that the graph is not kept.
const nowhere = "nowhere"

func TestMain(m *testing.M) {
	if os.Getenv(serverVariable) != "" {
		serve()
		return
	}
	os.Exit(m.Run())
}

// The scale of OpenShift's own graph: 23 minors of 61 patches in 76 channels, with
// 86,000 edges of which 31,000 bear risks, for five architectures.
const minors, patches = 23, 61

var archs = []string{"amd64", "arm64", "multi", "ppc64le", "s390x"}

func large(salt string) *graph.Snapshot {
	s := &graph.Snapshot{ID: "sha256:" + salt, Graphs: map[string]*graph.Graph{}}
	for _, arch := range archs {
		s.Graphs[arch] = largeGraph(arch, salt)
	}
	return s
}

func largeGraph(arch, salt string) *graph.Graph {
	g := &graph.Graph{}
	for minor := range minors {
		var channels []string
		for _, name := range []string{"candidate", "fast", "stable"} {
			channels = append(channels, fmt.Sprintf("%s-4.%d", name, minor))
			if minor+1 < minors {
				channels = append(channels, fmt.Sprintf("%s-4.%d", name, minor+1))
			}
		}
		if minor >= 8 && minor%2 == 0 {
			channels = append(channels, fmt.Sprintf("eus-4.%d", minor))
		}
		for patch := range patches {
			version := fmt.Sprintf("4.%d.%d", minor, patch)
			digest := fmt.Sprintf("%064x", len(arch)*1_000_000+minor*1000+patch)
			g.Nodes = append(g.Nodes, graph.Node{Version: version, Payload: "quay.example.com/ocp/release@sha256:" + digest, Channels: channels,
				Metadata: map[string]string{"url": "https://example.com/errata/" + salt + version, "io.openshift.upgrades.graph.release.channels": strings.Join(channels, ","),
					"io.openshift.upgrades.graph.release.manifestref": "sha256:" + digest}})
		}
	}
	largeEdges(g)
	return g
}

func largeEdges(g *graph.Graph) {
	groups := map[int]*graph.ConditionalEdges{}
	for to := range g.Nodes {
		minor := to / patches
		for from := max(0, (minor-1)*patches); from < to; from++ {
			if from/patches != minor && (from+to)%64 >= 35 {
				continue // not all patches of the minor before lead here
			}
			if (from*7+to)%100 >= 37 {
				g.Edges = append(g.Edges, [2]int{from, to})
				continue
			}
			risk := to / 5
			if groups[risk] == nil {
				groups[risk] = &graph.ConditionalEdges{Risks: []graph.Risk{{URL: "https://example.com/bug", Name: fmt.Sprint("Risk", risk), Message: "Clusters with this kind of network may lose connections while nodes restart. " + fmt.Sprint(risk),
					MatchingRules: []graph.MatchingRule{{Type: "PromQL", PromQL: &graph.PromQL{PromQL: `max(cluster_infrastructure_provider{type=~"AWS|Azure"}) or 0 * max(cluster_infrastructure_provider)`}}}}}}
			}
			groups[risk].Edges = append(groups[risk].Edges, graph.Edge{From: g.Nodes[from].Version, To: g.Nodes[to].Version})
		}
	}
	for risk := range len(g.Nodes) {
		if groups[risk] != nil {
			g.ConditionalEdges = append(g.ConditionalEdges, *groups[risk])
		}
	}
}

// changing is a source that has another graph every time, or the same.
type changing struct {
	snapshots []*graph.Snapshot
	n         atomic.Int64
}

func (c *changing) Snapshot(context.Context) (*graph.Snapshot, error) {
	return c.snapshots[int(c.n.Add(1))%len(c.snapshots)], nil
}

func serve() {
	file := os.Getenv(serverVariable)
	if file == nowhere {
		file = ""
	}
	metrics := updates.NewMetrics(prometheus.NewRegistry())
	source := &changing{snapshots: []*graph.Snapshot{large("a")}}
	if os.Getenv(serverVariable+"_CHANGES") != "" {
		source.snapshots = append(source.snapshots, large("b"))
	}
	r := &updates.Refresher{Source: source, File: file, Metrics: metrics, Poll: time.Second}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	generated := time.Now()
	r.Restore()
	if r.Current() != nil {
		fmt.Printf("restored %d\n", time.Since(generated).Microseconds())
	}
	if err := r.Refresh(context.Background()); err != nil {
		panic(err)
	}
	fmt.Printf("refreshed %d\n", time.Since(generated).Microseconds())
	if len(source.snapshots) > 1 {
		go r.Run(context.Background())
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() { // until the parent hangs up
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		stop()
	}()
	s := &updates.Server{Graph: &updates.Handler{Current: r.Current, Metrics: metrics}, Refresher: r, Metrics: metrics, Drain: time.Millisecond}
	fmt.Printf("listening %s\n", listener.Addr())
	if err := s.Serve(ctx, listener); err != nil {
		panic(err)
	}
}

// process is a server on one core.
type process struct {
	address             string
	restored, refreshed time.Duration
}

func start(tb testing.TB, file string, changes bool) process {
	tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverVariable+"="+file, "GOMAXPROCS=1")
	if changes {
		cmd.Env = append(cmd.Env, serverVariable+"_CHANGES=1")
	}
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	var p process
	for lines := bufio.NewScanner(stdout); p.address == "" && lines.Scan(); {
		var micros int64
		if n, _ := fmt.Sscanf(lines.Text(), "restored %d", &micros); n == 1 {
			p.restored = time.Duration(micros) * time.Microsecond
		} else if n, _ := fmt.Sscanf(lines.Text(), "refreshed %d", &micros); n == 1 {
			p.refreshed = time.Duration(micros) * time.Microsecond
		} else if rest, ok := strings.CutPrefix(lines.Text(), "listening "); ok {
			p.address = rest
		}
	}
	if p.address == "" {
		tb.Fatal("the server did not start")
	}
	return p
}

const path = "/api/upgrades_info/v1/graph?channel=stable-4.16&arch=amd64&version=4.16.3&id=2c4f9c39-1d6c-4b52-9d0a-6a9d4c0f2b1e"

// etag is the one of the compressed answer.
func etag(tb testing.TB, address string) string {
	tb.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.Header.Get("ETag")
}

func TestScale(t *testing.T) {
	g := largeGraph("amd64", "")
	conditional := 0
	for _, group := range g.ConditionalEdges {
		conditional += len(group.Edges)
	}
	e, err := updates.NewEdition(&graph.Snapshot{ID: "x", Graphs: map[string]*graph.Graph{"amd64": g}}, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d versions, %d edges, %d of them conditional, %d channels", len(g.Nodes), len(g.Edges)+conditional, conditional, len(e.Sizes()))
	if len(g.Nodes) < 1400 || len(g.Edges)+conditional < 86_000 || conditional < 31_000 || len(e.Sizes()) < 76 {
		t.Error("this is not the scale it must be")
	}
}

// BenchmarkServer measures a server on one core over loopback, with the large graph:
// how many requests a second it answers, and how long they take at half of that or of
// 20,000. Each part lasts a second; b.N only repeats it.
func BenchmarkServer(b *testing.B) {
	p := start(b, nowhere, false)
	known := etag(b, p.address)
	for name, target := range map[string]load.Target{
		"304":  {Path: path, Headers: []string{"Accept-Encoding: gzip", "If-None-Match: " + known}, Want: 304},
		"gzip": {Path: path, Headers: []string{"Accept-Encoding: gzip"}},
	} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				measure(b, load.Options{Address: p.address, Targets: []load.Target{target}, Connections: 32, Duration: time.Second})
			}
		})
	}
}

func measure(b *testing.B, o load.Options) {
	full, err := load.Run(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	o.Rate = min(10_000, int(full.PerSecond()/2))
	half, err := load.Run(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(full.PerSecond(), "requests/s")
	b.ReportMetric(float64(half.P50.Microseconds())/1e3, "p50-half-ms")
	b.ReportMetric(float64(half.P99.Microseconds())/1e3, "p99-half-ms")
	b.ReportMetric(float64(full.Errors+half.Errors), "errors")
	b.Log(full, "| at half:", half, full.Problem, half.Problem)
}

// BenchmarkRefresh measures the same while the server makes a whole other graph every
// second.
func BenchmarkRefresh(b *testing.B) {
	p := start(b, nowhere, true)
	b.ReportMetric(float64(p.refreshed.Milliseconds()), "refresh-ms")
	for range b.N {
		measure(b, load.Options{Address: p.address, Targets: []load.Target{{Path: path, Headers: []string{"Accept-Encoding: gzip"}}}, Connections: 32, Duration: 5 * time.Second})
	}
}

// BenchmarkRestore measures a start from the graph kept on disk.
func BenchmarkRestore(b *testing.B) {
	file := b.TempDir() + "/graph"
	start(b, file, false)
	for range b.N {
		p := start(b, file, false)
		if p.restored == 0 {
			b.Fatal("nothing was restored")
		}
		b.ReportMetric(float64(p.restored.Milliseconds()), "restore-ms")
	}
}
