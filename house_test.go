package slipway_test

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/slipway-release/slipway/"

// floors orders the packages of the house from the roof down. A package may
// import those of lower floors, and of its own where the table below says so.
var floors = map[string]int{
	"cmd": 4, "pipelines": 3, "ci-operator": 3,
	"distros": 2, "release": 2, "images": 2, "e2e": 2, "upgradetest": 2,
	"internal": 1,
}

// beside lists the imports allowed within one floor, each for a reason.
var beside = map[string][]string{
	"distros": {"images"}, // a distribution is a list of recipes
	"release": {"release"},
	// Upper packages are made of several of their own.
	"cmd": {"cmd"}, "pipelines": {"pipelines"}, "internal": {"internal"},
	"images": {"images"}, "e2e": {"e2e"}, "upgradetest": {"upgradetest"},
}

func TestImportsFollowTheHouse(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{$p := .ImportPath}}{{range .Imports}}{{$p}} {{.}}{{"\n"}}{{end}}`, "./...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	seen := 0
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		from, to, ok := strings.Cut(line, " ")
		if !ok || !strings.HasPrefix(from, module) || !strings.HasPrefix(to, module) {
			continue
		}
		seen++
		if reason := forbidden(strings.TrimPrefix(from, module), strings.TrimPrefix(to, module)); reason != "" {
			t.Errorf("%s imports %s: %s", from, to, reason)
		}
	}
	if seen == 0 {
		t.Fatal("no import between packages of this module was seen; the test looks at nothing")
	}
}

func forbidden(from, to string) string {
	if from == "release" && strings.HasPrefix(to, "release/") {
		return "the root package of release imports none of its children"
	}
	fromTop, _, _ := strings.Cut(from, "/")
	toTop, _, _ := strings.Cut(to, "/")
	fromFloor, known := floors[fromTop]
	if !known {
		return "it stands on no floor of the house"
	}
	toFloor, known := floors[toTop]
	if !known {
		return "what it imports stands on no floor of the house"
	}
	if toFloor < fromFloor {
		return ""
	}
	for _, allowed := range beside[fromTop] {
		if allowed == toTop {
			return ""
		}
	}
	return "it is not on a lower floor"
}
