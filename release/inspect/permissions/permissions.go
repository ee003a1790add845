// Package permissions says what the objects of one payload may do that those of
// another may not: rights in the API, by RBAC; power over the host, by the
// specifications of pods; and places in the way of requests, by webhooks.
//
// It knows what the manifests say. What the roles and accounts of a running cluster
// add to that, it does not know.
package permissions

import (
	"cmp"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/release/manifests"
)

// Gains are what is allowed newly. Risks say why something deserves a look; what
// has none is ordinary.
type Gains struct {
	Subjects []SubjectGain `json:"subjects"`
	Pods     []PodGain     `json:"pods"`
	Hooks    []HookGain    `json:"hooks"`
	// Warnings are about objects that could not be read; nothing is known of them.
	Warnings []string `json:"warnings,omitempty"`
}

// Empty reports whether nothing was gained.
func (g Gains) Empty() bool { return len(g.Subjects)+len(g.Pods)+len(g.Hooks) == 0 }

// Count is how many gains there are, and how many of them have a risk.
func (g Gains) Count() (all, risky int) {
	count := func(risk string) {
		all++
		if risk != "" {
			risky++
		}
	}
	for _, s := range g.Subjects {
		for _, r := range s.Grants {
			count(r.Risk)
		}
	}
	for _, p := range g.Pods {
		for _, c := range p.Powers {
			count(c.Risk)
		}
	}
	for _, h := range g.Hooks {
		count(h.Risk)
	}
	return all, risky
}

// Gained compares the objects of two payloads.
func Gained(from, to []manifests.Object) Gains {
	before, after := readRoles(from), readRoles(to)
	g := Gains{Subjects: subjects(before, after), Pods: pods(from, to), Hooks: hooks(from, to), Warnings: after.warnings}
	slices.SortFunc(g.Subjects, func(a, b SubjectGain) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return g
}

func stringsOf(v any) []string {
	list, _ := v.([]any)
	var all []string
	for _, item := range list {
		if s, ok := item.(string); ok {
			all = append(all, s)
		}
	}
	return all
}

func mapOf(v any, path ...string) map[string]any {
	m, _ := v.(map[string]any)
	for _, key := range path {
		m, _ = m[key].(map[string]any)
	}
	return m
}

func textOf(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}

func listOf(m map[string]any, key string) []map[string]any {
	list, _ := m[key].([]any)
	var all []map[string]any
	for _, item := range list {
		if found, ok := item.(map[string]any); ok {
			all = append(all, found)
		}
	}
	return all
}
