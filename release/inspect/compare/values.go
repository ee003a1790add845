package compare

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The kinds of a Change.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
)

// Change is one field that differs.
type Change struct {
	// Path leads to the field: spec.template.spec.containers[coredns].args. Items of
	// lists are named by what tells them apart, or counted from 0.
	Path string `json:"path"`
	Kind string `json:"kind"` // added, removed or changed
	From any    `json:"from,omitempty"`
	To   any    `json:"to,omitempty"`
}

// maxNesting bounds how deep values are compared field by field; below, they are
// compared whole.
const maxNesting = 200

// Values compares two values as JSON knows them and returns the fields that
// differ, in the order of their paths. No change means that they are equal; the order
// of lists counts, except that items with a name are compared by it.
func Values(from, to any) []Change {
	var c comparison
	c.compare("", from, to, 0)
	return c.changes
}

type comparison struct{ changes []Change }

func (c *comparison) add(path, kind string, from, to any) {
	c.changes = append(c.changes, Change{Path: path, Kind: kind, From: from, To: to})
}

func (c *comparison) compare(path string, from, to any, depth int) {
	fromMap, isMap := from.(map[string]any)
	toMap, bothMaps := to.(map[string]any)
	fromList, isList := from.([]any)
	toList, bothLists := to.([]any)
	switch {
	case reflect.DeepEqual(from, to):
	case depth > maxNesting:
		c.add(path, Changed, from, to)
	case isMap && bothMaps:
		c.maps(path, fromMap, toMap, depth)
	case isList && bothLists:
		c.lists(path, fromList, toList, depth)
	default:
		c.add(path, Changed, from, to)
	}
}

func (c *comparison) maps(path string, from, to map[string]any, depth int) {
	keys := slices.Collect(maps.Keys(from))
	for k := range to {
		if _, both := from[k]; !both {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		before, had := from[k]
		after, has := to[k]
		switch at := join(path, k); {
		case had && has:
			c.compare(at, before, after, depth+1)
		case has:
			c.add(at, Added, nil, after)
		default:
			c.add(at, Removed, before, nil)
		}
	}
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func join(path, key string) string {
	if !plainKey.MatchString(key) {
		return path + "[" + strconv.Quote(key) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// itemKeys are the fields by which Kubernetes tells items of lists apart, the
// first that fits a list being used.
var itemKeys = []string{"name", "mountPath", "containerPort", "port", "key", "type", "ip", "topologyKey", "devicePath", "prefix"}

func (c *comparison) lists(path string, from, to []any, depth int) {
	if key := sharedKey(from, to); key != "" {
		c.keyed(path, key, from, to, depth)
		return
	}
	steps := align(canonical(from), canonical(to))
	for len(steps) > 0 {
		if steps[0].from >= 0 && steps[0].to >= 0 {
			steps = steps[1:]
			continue
		}
		gap := slices.IndexFunc(steps, func(s step) bool { return s.from >= 0 && s.to >= 0 })
		if gap < 0 {
			gap = len(steps)
		}
		c.gap(path, from, to, steps[:gap], depth)
		steps = steps[gap:]
	}
}

// gap compares what stands between two items that stayed: items are paired while
// both sides have one that is alike in kind, the rest is removed or added.
func (c *comparison) gap(path string, from, to []any, steps []step, depth int) {
	var gone, come []int
	for _, s := range steps {
		if s.from >= 0 {
			gone = append(gone, s.from)
		} else {
			come = append(come, s.to)
		}
	}
	for _, i := range gone {
		at := slices.IndexFunc(come, func(j int) bool { return alike(from[i], to[j]) })
		if at < 0 {
			c.add(fmt.Sprintf("%s[%d]", path, i), Removed, from[i], nil)
			continue
		}
		c.compare(fmt.Sprintf("%s[%d]", path, come[at]), from[i], to[come[at]], depth+1)
		come = slices.Delete(come, at, at+1)
	}
	for _, j := range come {
		c.add(fmt.Sprintf("%s[%d]", path, j), Added, nil, to[j])
	}
}

// alike reports whether an item is likely to be the other one's successor: both
// are objects or lists, or both are the same command line flag.
func alike(from, to any) bool {
	switch from := from.(type) {
	case map[string]any:
		_, ok := to.(map[string]any)
		return ok
	case []any:
		_, ok := to.([]any)
		return ok
	case string:
		after, ok := to.(string)
		flag, _, isFlag := strings.Cut(from, "=")
		other, _, otherToo := strings.Cut(after, "=")
		return ok && isFlag && otherToo && flag == other
	}
	return false
}

func (c *comparison) keyed(path, key string, from, to []any, depth int) {
	after := map[any]any{}
	for _, item := range to {
		after[item.(map[string]any)[key]] = item
	}
	before := map[any]bool{}
	for _, item := range from {
		id := item.(map[string]any)[key]
		before[id] = true
		at := path + "[" + selector(key, id) + "]"
		if next, ok := after[id]; ok {
			c.compare(at, item, next, depth+1)
		} else {
			c.add(at, Removed, item, nil)
		}
	}
	for _, item := range to {
		if id := item.(map[string]any)[key]; !before[id] {
			c.add(path+"["+selector(key, id)+"]", Added, nil, item)
		}
	}
	// Init containers run, and environment variables are expanded, in the order of
	// the list, so a mere change of order is a change.
	if kept := func(id any) bool { _, ok := after[id]; return ok && before[id] }; !slices.Equal(order(from, key, kept), order(to, key, kept)) {
		c.add(path, Changed, ids(from, key), ids(to, key))
	}
}

func selector(key string, id any) string {
	text := fmt.Sprint(id)
	if s, ok := id.(string); ok && strings.ContainsAny(s, `[]"=`) {
		text = strconv.Quote(s)
	}
	if key == "name" {
		return text
	}
	return key + "=" + text
}

func order(items []any, key string, kept func(any) bool) []any {
	var all []any
	for _, id := range ids(items, key) {
		if kept(id) {
			all = append(all, id)
		}
	}
	return all
}

func ids(items []any, key string) []any {
	all := make([]any, len(items))
	for i, item := range items {
		all[i] = item.(map[string]any)[key]
	}
	return all
}

// sharedKey returns the field that names every item of both lists, each
// differently within its list, or "".
func sharedKey(from, to []any) string {
	for _, key := range itemKeys {
		if len(from)+len(to) > 0 && named(from, key) && named(to, key) {
			return key
		}
	}
	return ""
}

func named(items []any, key string) bool {
	seen := map[any]bool{}
	for _, item := range items {
		m, _ := item.(map[string]any)
		switch id := m[key].(type) {
		case string, int64, float64:
			if seen[id] {
				return false
			}
			seen[id] = true
		default:
			return false
		}
	}
	return true
}

// canonical writes every item so that equal ones are equal strings.
func canonical(items []any) []string {
	all := make([]string, len(items))
	for i, item := range items {
		data, err := json.Marshal(item)
		if err != nil {
			data = fmt.Appendf(nil, "%#v", item) // NaN and the like, which JSON cannot write
		}
		all[i] = fmt.Sprintf("%T %s", item, data)
	}
	return all
}
