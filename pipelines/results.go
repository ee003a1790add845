package pipelines

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
)

// maxResults is how many bytes the results of a task may have together: what a
// container's termination message holds, which is how Tekton carries them.
const maxResults = 4096

var errResultsTooLarge = errors.New("results are too large")

// readResults reads the files that a task has written for its results. Results
// that were not written are left out. What could be read is returned with the
// error too.
func readResults(dir string, specs []v1.TaskResult) (map[string]v1.ParamValue, error) {
	out := map[string]v1.ParamValue{}
	total, largest, size := 0, "", -1
	var errs []error
	for _, spec := range specs {
		path := filepath.Join(dir, "results", spec.Name)
		info, err := os.Stat(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil && !info.Mode().IsRegular() {
			err = errors.New("it is not a file")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("reading result %q: %w", spec.Name, err))
			continue
		}
		n := int(info.Size())
		total += n
		if n > size {
			largest, size = spec.Name, n
		}
		if n > maxResults {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("reading result %q: %w", spec.Name, err))
			continue
		}
		value, err := resultValue(spec, string(data))
		if err != nil {
			errs = append(errs, fmt.Errorf("reading result %q: %w", spec.Name, err))
			continue
		}
		out[spec.Name] = value
	}
	if total > maxResults {
		errs = append(errs, fmt.Errorf("reading results: %w: %d bytes together, and Tekton carries %d; the largest is %q with %d bytes: write it to a workspace and hand on its digest or file name",
			errResultsTooLarge, total, maxResults, largest, size))
	}
	return out, errors.Join(errs...)
}

func resultValue(spec v1.TaskResult, text string) (v1.ParamValue, error) {
	switch resultType(spec.Type) {
	case v1.ResultsTypeArray:
		list := []string{}
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			return v1.ParamValue{}, fmt.Errorf("an array must be written as a JSON list of strings: %w", err)
		}
		return v1.ParamValue{Type: v1.ParamTypeArray, ArrayVal: list}, nil
	case v1.ResultsTypeObject:
		object := map[string]string{}
		if err := json.Unmarshal([]byte(text), &object); err != nil {
			return v1.ParamValue{}, fmt.Errorf("an object must be written as a JSON object of strings: %w", err)
		}
		for _, key := range sortedKeys(spec.Properties) {
			if _, ok := object[key]; !ok {
				return v1.ParamValue{}, fmt.Errorf("the object lacks key %q", key)
			}
		}
		return v1.ParamValue{Type: v1.ParamTypeObject, ObjectVal: object}, nil
	}
	return v1.ParamValue{Type: v1.ParamTypeString, StringVal: text}, nil
}
