package manifests

import (
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/release"
)

// DefaultRunLevel is the run level of manifests that name none.
const DefaultRunLevel = 50

// Unnumbered is the number of a RunLevel whose files name none, which happens in
// payloads that others made.
const Unnumbered = -1

// The cluster-version operator's pattern for the names of manifest files.
var runLevelPattern = regexp.MustCompile(`^0000_(\d+)_([a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*?)_`)

// Stricter for names we give or let pass: with two digits, the order of names is that of numbers.
var namePattern = regexp.MustCompile(`^0000_\d{2}_[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*_[A-Za-z0-9][A-Za-z0-9._-]*$`)

// RunLevel holds what may be applied side by side. A level begins when all of
// the one before it is done and ready.
type RunLevel struct {
	Number     int
	Components []Component // sorted by name
}

// Component is what one component brings into a run level, in the order in which
// it is applied: files by name, documents of a file from top to bottom.
type Component struct {
	Name    string
	Objects []Object
}

// FileName returns the name under which a component's file goes into the payload:
// its own when that begins with 0000_, otherwise 0000_50_<component>_<file>.
func FileName(component, file string) string {
	if strings.HasPrefix(file, "0000_") {
		return file
	}
	return "0000_" + strconv.Itoa(DefaultRunLevel) + "_" + component + "_" + file
}

// CheckFileName reports a name that does not follow 0000_NN_<component>_<file>.
func CheckFileName(file string) error {
	var problems Problems
	if !namePattern.MatchString(file) {
		problems.add(file, 0, "the name does not follow 0000_NN_<component>_<file> with two digits NN")
	}
	return problems.Err()
}

// RolloutSelection is the kind of cluster that Plan chooses manifests for: of any
// profile, with the default features and all capabilities.
func RolloutSelection() Selection {
	return Selection{FeatureSet: DefaultFeatureSet, FeatureGates: []string{}}
}

// Plan parses all manifests of a payload and orders them as the cluster-version
// operator does: files by name; run levels one after the other; components of a run level
// side by side; files of a component one after the other. A Job stands in a run level
// of its own, so that nothing overtakes it. What Included leaves out is not
// planned; of the variants of an object that is the one of the default feature set,
// with no feature gate on. Problems of all files come back together.
func Plan(files []release.File) ([]RunLevel, error) {
	objects, err := ParseAll(files)
	if err != nil {
		return nil, err
	}
	chosen := slices.DeleteFunc(objects, func(o Object) bool {
		included, _ := Included(o, RolloutSelection())
		return !included
	})
	// Variants for different profiles are left, and only one of them can be applied.
	together := func(Object, Object) bool { return false }
	if err := duplicates(chosen, together).Err(); err != nil {
		return nil, err
	}
	return Order(chosen), nil
}

// ParseAll parses those of the files that are manifests, by name, and reports
// objects that occur more than once, whichever file or component they stand in, and objects of
// the payload's own kinds that lack a namespace.
func ParseAll(files []release.File) ([]Object, error) {
	objects, problems := Read(files)
	problems = append(problems, Duplicates(objects)...)
	problems = append(problems, MissingNamespaces(objects)...)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return objects, nil
}

// Read parses those of the files that are manifests, several at once. The objects that are well come
// back in the order of their files' names, with all problems of the rest.
func Read(files []release.File) ([]Object, Problems) {
	sorted := slices.DeleteFunc(slices.Clone(files), func(f release.File) bool { return !IsManifest(f.Name) })
	slices.SortStableFunc(sorted, func(a, b release.File) int { return strings.Compare(a.Name, b.Name) })
	parsed := make([][]Object, len(sorted))
	failed := make([]Problems, len(sorted))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, f := range sorted {
		group.Go(func() error {
			var err error
			if parsed[i], err = Parse(f.Data, f.Name); err != nil {
				failed[i] = asProblems(f.Name, err)
			}
			return nil
		})
	}
	_ = group.Wait() // its functions return no error
	return slices.Concat(parsed...), slices.Concat(failed...)
}

// RunLevelOf takes the run level and the component out of the name of a file, as
// the cluster-version operator does. Files that do not follow its pattern have none.
func RunLevelOf(file string) (number int, component string, ok bool) {
	digits, component := runLevel(file)
	number, err := strconv.Atoi(digits)
	if err != nil {
		return Unnumbered, "", false
	}
	return number, component, true
}

func runLevel(file string) (digits, component string) {
	if m := runLevelPattern.FindStringSubmatch(file); m != nil {
		return m[1], m[2]
	}
	return "", ""
}

// Order groups objects, given in the order of their files' names, into run levels.
func Order(objects []Object) []RunLevel {
	var levels []RunLevel
	var last string // which files may join the last level
	for _, o := range objects {
		number, component, _ := RunLevelOf(o.File)
		group, _ := runLevel(o.File)
		if o.is("batch", "Job") {
			group = "\x00job " + o.Key()
		}
		if len(levels) == 0 || group != last {
			levels = append(levels, RunLevel{Number: number})
		}
		last = group
		levels[len(levels)-1].add(component, o)
	}
	for _, l := range levels {
		slices.SortStableFunc(l.Components, func(a, b Component) int { return strings.Compare(a.Name, b.Name) })
	}
	return levels
}

func (l *RunLevel) add(component string, o Object) {
	for i := range l.Components {
		if l.Components[i].Name == component {
			l.Components[i].Objects = append(l.Components[i].Objects, o)
			return
		}
	}
	l.Components = append(l.Components, Component{Name: component, Objects: []Object{o}})
}
