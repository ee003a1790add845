package graphdata_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release/channels/graphdata"
)

func TestPrevious(t *testing.T) {
	d := folder{
		"channels/a.yaml": "name: a\nversions:\n- 4.14.9\n- 4.15.0-rc.1\n- 4.15.17\n- 4.15.18\n- 4.15.19+arm64\n- 4.15.20\n- 4.16.0-rc.0\n- 4.16.0\n- 4.16.1\n- 4.16.2+amd64\n- 4.16.3\n- 4.16.4\n",
		"build-suggestions/4.16.yaml": "default: {minor_min: 4.15.18, minor_max: 4.15.9999, minor_block_list: [4.15.20], z_min: 4.16.0, z_max: 4.16.9999, z_block_list: [4.16.1]}\n" +
			"arm64: {z_min: 4.16.3}\n",
		"build-suggestions/4.17.yaml": "arm64: {z_min: 4.17.0}\n",
		"build-suggestions/5.0.yaml":  "default: {minor_min: 4.16.0, z_min: 5.0.0-ec.0}\n",
		"build-suggestions/4.18.yaml": "default: {minor_min: 4.x.0}\n",
	}.load(t)
	for name, c := range map[string]struct {
		version, arch string
		want          []string // with "error: ", what stands in the message
	}{
		"both minors": {"4.16.3", "amd64", []string{
			"- 4.15.0-rc.1 it is older than minor_min, 4.15.18", "- 4.15.17 it is older than minor_min, 4.15.18", "+ 4.15.18 it is not older than minor_min, 4.15.18",
			"- 4.15.20 minor_block_list names it", "- 4.16.0-rc.0 it is older than z_min, 4.16.0", "+ 4.16.0 it is not older than z_min, 4.16.0",
			"- 4.16.1 z_block_list names it", "+ 4.16.2 it is not older than z_min, 4.16.0"}},
		"an architecture of its own": {"4.16.4", "arm64", []string{
			"- 4.16.0-rc.0 it is older than z_min, 4.16.3", "- 4.16.0 it is older than z_min, 4.16.3", "- 4.16.1 it is older than z_min, 4.16.3", "+ 4.16.3 it is not older than z_min, 4.16.3"}},
		"another major version": {"5.0.0", "amd64", []string{
			"- 4.16.0-rc.0 it is older than minor_min, 4.16.0", "+ 4.16.0 it is not older than minor_min, 4.16.0", "+ 4.16.1 it is not older than minor_min, 4.16.0",
			"+ 4.16.2 it is not older than minor_min, 4.16.0", "+ 4.16.3 it is not older than minor_min, 4.16.0", "+ 4.16.4 it is not older than minor_min, 4.16.0"}},
		"no version":      {"4.16", "amd64", []string{`error: looking for what "4.16" may be upgraded from`}},
		"no file":         {"4.19.0", "amd64", []string{"error: has no build-suggestions/4.19.yaml"}},
		"no architecture": {"4.17.0", "amd64", []string{`error: build-suggestions/4.17.yaml says nothing of architecture "amd64"`}},
		"no range":        {"4.18.0", "amd64", []string{`error: build-suggestions/4.18.yaml: "4.x.0" is no version`}},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := d.Previous(c.version, c.arch)
			if text, ok := strings.CutPrefix(c.want[0], "error: "); ok {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("%v, want %q", err, text)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, told(all)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func told(all []graphdata.Suggested) (lines []string) {
	for _, s := range all {
		lines = append(lines, map[bool]string{true: "+ ", false: "- "}[s.Taken]+s.Version+" "+s.Why)
	}
	return lines
}
