package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/release/manifests"
)

var fileRules = []*Rule{
	{
		ID: "SLW001", Name: "unreadable-file", Level: Error,
		Title: "A manifest file holds a document that is not YAML or JSON, no object, or has a key twice.",
		Why:   "The operator that applies the payload stops at the file, and with it the whole update. Of a key that stands twice, one parser takes the first value and the next one the last.",
		Fix:   "Correct the document, or give a file that is no manifest another ending than .yaml, .yml and .json.",
		check: flawRule(manifests.Unreadable),
	},
	{
		ID: "SLW002", Name: "missing-field", Level: Error,
		Title: "An object lacks apiVersion, kind or metadata.name, in whichever document of its file.",
		Why:   "Without them nobody knows which object it is, and the update stops there.",
		Fix:   "Add the field as a string.",
		check: flawRule(manifests.MissingField),
	},
	{
		ID: "SLW003", Name: "missing-namespace", Level: Error,
		Title: "An object of a kind that lives in namespaces names none.",
		Why:   "It would land in whatever namespace the client that applies it happens to use, or nowhere.",
		Fix:   "Add metadata.namespace.",
		check: func(p *payload, report func(place, string)) {
			flawRule(manifests.MissingNamespace)(p, report)
			reportProblems(manifests.MissingNamespaces(p.objects), manifests.MissingNamespace, report)
		},
	},
	{
		ID: "SLW004", Name: "duplicate-object", Level: Error,
		Title: "Two documents of the payload make the same object, in the same or in different components.",
		Why:   "Group, kind, namespace and name make the object; the version of its API does not. The two undo each other's work on every pass, and which of them wins changes from moment to moment. Variants for different profiles, feature sets, gates or major versions are no duplicates.",
		Fix:   "Keep the object in the one component that owns it.",
		check: func(p *payload, report func(place, string)) {
			reportProblems(p.named(manifests.Duplicates(p.objects)), manifests.DuplicateObject, report)
		},
	},
	{
		ID: "SLW005", Name: "file-name", Level: Error,
		Title: "The name of a manifest file does not follow 0000_NN_<component>_<file>.",
		Why:   "Run level and component are read from the name. A file without them is applied after all others, and with more or fewer than two digits the order of names is not the order of numbers.",
		Fix:   "Name the file 0000_NN_<component>_<file>, with two digits NN; a name that does not begin with 0000_ gets run level 50 when the payload is assembled.",
		check: checkFileNames,
	},
	{
		ID: "SLW006", Name: "stray-file", Level: Note,
		Title: "A file among the manifests is none.",
		Why:   "It is carried along in every payload and applied nowhere. Mostly it was meant to be applied and has the wrong ending, or was left over.",
		Fix:   "Remove it, or end its name in .yaml, .yml or .json.",
		check: func(p *payload, report func(place, string)) {
			for _, f := range p.files {
				if !manifests.IsManifest(f.Name) {
					report(place{file: f.Name}, fmt.Sprintf("%q is no manifest and is not applied", f.Name))
				}
			}
		},
	},
	{
		ID: "SLW007", Name: "not-a-string", Level: Error,
		Title: "A label or annotation has a value that is no string.",
		Why:   "YAML makes a boolean of an unquoted true and a number of 1.20. The API server refuses the object.",
		Fix:   "Put the value in quotes.",
		check: checkStrings,
	},
}

// flawRule reports the problems of one class that reading the files brought.
func flawRule(flaw manifests.Flaw) func(*payload, func(place, string)) {
	return func(p *payload, report func(place, string)) { reportProblems(p.problems, flaw, report) }
}

func reportProblems(problems manifests.Problems, flaw manifests.Flaw, report func(place, string)) {
	for _, problem := range problems {
		if problem.Flaw == flaw {
			report(place{file: problem.File, line: problem.Line, object: problem.Object}, problem.Message)
		}
	}
}

// named puts what people call a file in the place of its payload name within messages.
func (p *payload) named(problems manifests.Problems) manifests.Problems {
	for i := range problems {
		if other := problems[i].Other; other != "" {
			problems[i].Message = strings.Replace(problems[i].Message, other, p.options.Origin(other), 1)
		}
	}
	return problems
}

func checkFileNames(p *payload, report func(place, string)) {
	seen := map[string]bool{}
	for _, f := range p.files {
		if seen[f.Name] {
			report(place{file: f.Name}, fmt.Sprintf("two files would be called %q in the payload", f.Name))
		}
		seen[f.Name] = true
		if manifests.IsManifest(f.Name) && manifests.CheckFileName(f.Name) != nil {
			report(place{file: f.Name}, fmt.Sprintf("the name %q does not follow 0000_NN_<component>_<file> with two digits NN", f.Name))
		}
	}
}

func checkStrings(p *payload, report func(place, string)) {
	for _, o := range p.objects {
		for _, path := range [][]string{
			{"metadata", "labels"}, {"metadata", "annotations"},
			{"spec", "template", "metadata", "labels"}, {"spec", "template", "metadata", "annotations"},
		} {
			entries, _ := value(o.Content, path...).(map[string]any)
			for _, key := range sortedKeys(entries) {
				if _, ok := entries[key].(string); ok || entries[key] == nil {
					continue
				}
				way := make([]any, 0, len(path)+1)
				for _, step := range append(slices.Clone(path), key) {
					way = append(way, step)
				}
				report(at(o, way...), fmt.Sprintf("%s: %s of %s is %v, which is no string", o, key, strings.Join(path, "."), entries[key]))
			}
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
