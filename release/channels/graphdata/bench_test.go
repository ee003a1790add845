package graphdata_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/channels/graphdata"
)

// The scale of the graph-data that there is: 20 minor versions of 70, 76 channels, 1,700
// files of blocked edges, and five architectures.
const (
	scaleMinors   = 20
	scalePatches  = 70
	scaleChannels = 76
	scaleBlocks   = 1700
	scalePlain    = 116 // of them, without a risk
)

var scaleArchs = []string{"amd64", "arm64", "ppc64le", "s390x", "multi"}

func scaleVersions() []string {
	var all []string
	for minor := range scaleMinors {
		for pre := range 10 {
			all = append(all, fmt.Sprintf("4.%d.0-%s.%d", minor+1, []string{"ec", "rc"}[pre/5], pre%5))
		}
		for patch := range scalePatches - 10 {
			all = append(all, fmt.Sprintf("4.%d.%d", minor+1, patch))
		}
	}
	return all
}

// scaleReleases may each be upgraded from all before them in their minor version, and from
// the last 30 of the one before.
func scaleReleases() []graph.Release {
	versions := scaleVersions()
	var all []graph.Release
	for _, arch := range scaleArchs {
		for i, v := range versions {
			first := i / scalePatches * scalePatches
			all = append(all, graph.Release{
				Version: v, Arch: arch, Payload: fmt.Sprintf("quay.io/openshift-release-dev/ocp-release@sha256:%064x", i*10+len(arch)),
				Previous: versions[max(0, first-30):i], Metadata: map[string]string{"url": "https://access.redhat.com/errata/RHBA-2026:" + strconv.Itoa(i)},
			})
		}
	}
	return all
}

// scaleFolder writes the folder.
func scaleFolder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	versions := scaleVersions()
	writeFile(t, dir+"/version", "1.1.0\n")
	for n := range scaleChannels {
		minor := n / 4
		name := fmt.Sprintf("%s-4.%d", []string{"candidate", "fast", "stable", "eus"}[n%4], minor+2)
		writeFile(t, dir+"/channels/"+name+".yaml", "name: "+name+"\nversions:\n- "+strings.Join(versions[minor*scalePatches+n%4*20:(minor+2)*scalePatches], "\n- ")+"\n")
	}
	for n := range scaleBlocks {
		// Of the newest versions that have any, three or four each.
		to := len(versions) - 1 - n*530/scaleBlocks
		minor := to/scalePatches + 1
		from := []string{".*", fmt.Sprintf("^4[.](%d|%d)[.].*[+].*$", minor-1, minor), fmt.Sprintf("^4[.]%d[.](0-.*|[0-9]|[12][0-9])[+](amd64|arm64|multi)$", minor), fmt.Sprintf("^4[.]%d[.].*[+].*$", minor-1)}[n%4]
		name := fmt.Sprintf("Risk%d", n%124)
		if n < scalePlain {
			to -= 700
			writeFile(t, fmt.Sprintf("%s/blocked-edges/%s-plain%d.yaml", dir, versions[to], n), "to: "+versions[to]+"\nfrom: ^4[.]"+strconv.Itoa(to/scalePatches+1)+"[.][0-3]-?[^+]*[+].*$\n")
			continue
		}
		text := conditional(versions[to], "'"+from+"'", name)
		if n%3 > 0 {
			text = strings.Replace(text, always, fmt.Sprintf("matchingRules:\n- type: PromQL\n  promql:\n    promql: |\n      topk(1,\n        label_replace(group by (type) (cluster_infrastructure_provider{_id=\"\",type=~\"Azure|AWS%d\"}), \"x\", \"yes\", \"\", \"\")\n        or\n        0 * group by (type) (cluster_infrastructure_provider)\n      )\n", n%124), 1)
		}
		writeFile(t, fmt.Sprintf("%s/blocked-edges/%s-%s-%d.yaml", dir, versions[to], name, n), text)
	}
	return dir
}

// loadLintCompile does what a server does when the folder has changed.
func loadLintCompile(t testing.TB, dir string, releases []graph.Release) (graphdata.Report, *graph.Snapshot) {
	t.Helper()
	d, err := graphdata.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	report := d.Lint()
	s, err := d.Compile(releases)
	if err != nil {
		t.Fatal(err)
	}
	return report, s
}

const scaleIn = "GRAPHDATA_TEST_SCALE_IN"

// TestScale is the process whose memory BenchmarkLoadLintCompile measures.
func TestScale(t *testing.T) {
	dir := os.Getenv(scaleIn)
	if dir == "" {
		t.Skip("it is started by BenchmarkLoadLintCompile")
	}
	loadLintCompile(t, dir, scaleReleases())
	peak := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindStringSubmatch(readFile(t, "/proc/self/status"))
	if peak == nil {
		t.Fatal("the kernel does not say how much memory was in use")
	}
	writeFile(t, filepath.Join(dir, ".peak"), peak[1])
}

// BenchmarkLoadLintCompile: less than 3 s and 500 MB are wanted on two cores.
func BenchmarkLoadLintCompile(b *testing.B) {
	dir := scaleFolder(b)
	releases := scaleReleases()
	var spent [3]time.Duration
	for b.Loop() {
		begun := time.Now()
		d, err := graphdata.Load(dir)
		if err != nil {
			b.Fatal(err)
		}
		loaded := time.Now()
		d.Lint()
		judged := time.Now()
		s, err := d.Compile(releases)
		if err != nil {
			b.Fatal(err)
		}
		spent[0] += loaded.Sub(begun)
		spent[1] += judged.Sub(loaded)
		spent[2] += time.Since(judged)
		g := s.Graphs["amd64"]
		conditional := 0
		for _, group := range g.ConditionalEdges {
			conditional += len(group.Edges)
		}
		b.ReportMetric(float64(len(g.Nodes)), "nodes")
		b.ReportMetric(float64(len(g.Edges)+conditional), "edges")
		b.ReportMetric(float64(conditional), "conditional")
	}
	for i, what := range []string{"load-s/op", "lint-s/op", "compile-s/op"} {
		b.ReportMetric(spent[i].Seconds()/float64(b.N), what)
	}
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run", "^TestScale$")
	cmd.Env = append(os.Environ(), scaleIn+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	kB, err := strconv.Atoi(readFile(b, filepath.Join(dir, ".peak")))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(kB)/1000, "peak-MB")
}
