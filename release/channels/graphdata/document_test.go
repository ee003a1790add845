package graphdata_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/slipway-release/slipway/internal/golden"
	"github.com/slipway-release/slipway/release/channels/graphdata"
)

const documentFile = "../../../docs/graph-data.md"

func TestDocumentIsCurrent(t *testing.T) {
	var b bytes.Buffer
	graphdata.Document(&b)
	golden.Check(t, documentFile, b.Bytes())
}

// examples are the blocks of a kind in the document, without their fences.
func examples(t *testing.T, kind string) []string {
	t.Helper()
	var found []string
	for i, part := range strings.Split(readFile(t, documentFile), "\n```") {
		if rest, ok := strings.CutPrefix(part, kind+"\n"); ok && i%2 == 1 {
			found = append(found, rest+"\n")
		}
	}
	return found
}

// What the document shows can be read, and what it says of it is what is printed.
func TestDocumentTellsTheTruth(t *testing.T) {
	given, printed := examples(t, "yaml"), examples(t, "")
	if len(given) != 5 || len(printed) != 2 {
		t.Fatalf("%d and %d examples", len(given), len(printed))
	}
	d := folder{"channels/stable-4.17.yaml": given[0], "blocked-edges/4.17.3-SlowEtcdMigration.yaml": given[1], "risks/SlowEtcdMigration.yaml": given[2], "build-suggestions/4.16.yaml": given[3]}.load(t)
	if got, err := d.Previous("4.16.9", "amd64"); err != nil || len(got) != 1 || !got[0].Taken {
		t.Errorf("%v, %v", got, err)
	}
	if len(d.Channels[0].Versions) != 3 || !d.Blocks[0].Conditional() || d.Risks[0].FixedIn != "4.17.5" {
		t.Errorf("%+v", d)
	}
	const file = "blocked-edges/4.13.33-HighNodeStatusReportFrequency.yaml"
	files := folder{"channels/stable-4.13.yaml": "name: stable-4.13\nversions: [4.12.49, 4.12.50, 4.13.33]\n", file: given[4]}
	for i, text := range []string{given[4], strings.Replace(given[4], "^4[.](12[.](48|49|50])|13[.].*)[+].*", "^4[.](12", 1)} {
		dir := files.with(folder{file: text}).write(t)
		report, err := graphdata.Lint(dir)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		report.Text(&b)
		if got := strings.ReplaceAll(b.String(), dir+string(os.PathSeparator), ""); got != printed[i] {
			t.Errorf("the document says\n%s\nand this is printed:\n%s", printed[i], got)
		}
	}
}
