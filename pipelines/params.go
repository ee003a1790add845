package pipelines

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
)

// ParseParams reads NAME=VALUE for the params of a pipeline. An array is given
// as JSON or by naming the param several times, an object as JSON. All that is
// wrong is in the error.
func ParseParams(p *v1.Pipeline, args []string) (map[string]v1.ParamValue, error) {
	out := map[string]v1.ParamValue{}
	var errs []error
	for _, arg := range args {
		name, text, ok := strings.Cut(arg, "=")
		k := slices.IndexFunc(p.Spec.Params, func(s v1.ParamSpec) bool { return s.Name == name })
		if !ok || k < 0 {
			errs = append(errs, fmt.Errorf("reading param %q: it must be NAME=VALUE with a NAME of %s", arg, quoted(p.Spec.Params.GetNames())))
			continue
		}
		value, err := parseParam(paramType(p.Spec.Params[k]), text, out[name])
		if err != nil {
			errs = append(errs, fmt.Errorf("reading param %q: %w", name, err))
			continue
		}
		out[name] = value
	}
	return out, errors.Join(errs...)
}

func parseParam(t v1.ParamType, text string, before v1.ParamValue) (v1.ParamValue, error) {
	switch t {
	case v1.ParamTypeArray:
		list := []string{text}
		if strings.HasPrefix(text, "[") {
			if err := json.Unmarshal([]byte(text), &list); err != nil {
				return v1.ParamValue{}, fmt.Errorf("an array must be a JSON list of strings: %w", err)
			}
		}
		return v1.ParamValue{Type: t, ArrayVal: append(slices.Clone(before.ArrayVal), list...)}, nil
	case v1.ParamTypeObject:
		object := map[string]string{}
		if err := json.Unmarshal([]byte(text), &object); err != nil {
			return v1.ParamValue{}, fmt.Errorf("an object must be a JSON object of strings: %w", err)
		}
		return v1.ParamValue{Type: t, ObjectVal: object}, nil
	}
	return v1.ParamValue{Type: v1.ParamTypeString, StringVal: text}, nil
}

// checkParams says what is wrong with the params given to a run.
func checkParams(p *v1.Pipeline, given map[string]v1.ParamValue) error {
	var errs []error
	for _, name := range sortedKeys(given) {
		k := slices.IndexFunc(p.Spec.Params, func(s v1.ParamSpec) bool { return s.Name == name })
		if k < 0 {
			errs = append(errs, fmt.Errorf("giving param %q to pipeline %q: it declares only %s", name, p.Name, quoted(p.Spec.Params.GetNames())))
			continue
		}
		if want, have := paramType(p.Spec.Params[k]), given[name].Type; want != have {
			errs = append(errs, fmt.Errorf("giving param %q to pipeline %q: it must be of type %s, not %s", name, p.Name, want, have))
		}
	}
	for _, spec := range p.Spec.Params {
		if _, ok := given[spec.Name]; !ok && spec.Default == nil {
			errs = append(errs, fmt.Errorf("starting pipeline %q: param %q is required", p.Name, spec.Name))
		}
	}
	return errors.Join(errs...)
}
