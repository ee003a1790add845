package pipelines

import (
	"fmt"
	"maps"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
)

// variables are the values that $(…) expressions stand for, by expression.
type variables struct {
	strings map[string]string
	arrays  map[string][]string
	objects map[string]map[string]string
}

func newVariables() variables {
	return variables{map[string]string{}, map[string][]string{}, map[string]map[string]string{}}
}

func (v variables) clone() variables {
	return variables{maps.Clone(v.strings), maps.Clone(v.arrays), maps.Clone(v.objects)}
}

// set defines a value under each spelling of its expression. Elements of an
// array are $(x[0]), keys of an object $(x.key).
func (v variables) set(value v1.ParamValue, spellings ...string) {
	for _, s := range spellings {
		switch value.Type {
		case v1.ParamTypeArray:
			v.arrays[s] = value.ArrayVal
			for i, e := range value.ArrayVal {
				v.strings[fmt.Sprintf("%s[%d]", s, i)] = e
			}
		case v1.ParamTypeObject:
			v.objects[s] = value.ObjectVal
			for k, e := range value.ObjectVal {
				v.strings[s+"."+k] = e
			}
		default:
			v.strings[s] = value.StringVal
		}
	}
}

func (v variables) setParam(name string, value v1.ParamValue) {
	v.set(value, "params."+name, fmt.Sprintf("params[%q]", name), fmt.Sprintf("params['%s']", name))
}

func (v variables) setResult(task, name string, value v1.ParamValue) {
	prefix := "tasks." + task + ".results"
	v.set(value, prefix+"."+name, fmt.Sprintf("%s[%q]", prefix, name), fmt.Sprintf("%s['%s']", prefix, name))
}

// apply returns the value with its expressions replaced.
func (v variables) apply(value v1.ParamValue) v1.ParamValue {
	out := *value.DeepCopy()
	out.ApplyReplacements(v.strings, v.arrays, v.objects)
	return out
}

// withParams adds params: the given ones, and for the others the defaults,
// which may refer to params themselves. Of an object the keys that are not
// given come from the default.
func (v variables) withParams(specs v1.ParamSpecs, given map[string]v1.ParamValue) {
	for name, value := range given {
		v.setParam(name, value)
	}
	var open v1.ParamSpecs
	for _, spec := range specs {
		value, ok := given[spec.Name]
		if ok && value.Type == v1.ParamTypeObject && spec.Default != nil {
			merged := *spec.Default.DeepCopy()
			maps.Copy(merged.ObjectVal, value.ObjectVal)
			v.setParam(spec.Name, merged)
		}
		if !ok && spec.Default != nil {
			open = append(open, spec)
		}
	}
	// A default may refer to one that is declared later, so they are settled
	// in rounds; a circle is left as it is written.
	for range len(open) + 1 {
		for _, spec := range open {
			v.setParam(spec.Name, v.apply(*spec.Default))
		}
	}
}
