package pipelines

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
)

// maxFile bounds one file, in bytes: etcd would not take a larger object, and
// a parser should not be given one.
const maxFile = 1 << 20

// Set is what a number of files define: Pipelines, Tasks and PipelineRuns.
type Set struct {
	pipelines []*definition[v1.Pipeline]
	tasks     []*definition[v1.Task]
	runs      []*definition[v1.PipelineRun]
}

// definition is an object and where it stands.
type definition[T any] struct {
	*document
	name  string
	value *T
}

// Load reads files, and *.yaml and *.yml below directories, each with any
// number of documents. It returns what it could read together with everything
// that is wrong: unknown fields, wrong types, duplicate names, all that Tekton's
// own validation finds, and what only shows when all files are seen together.
func Load(ctx context.Context, paths ...string) (*Set, Problems) {
	l := loader{set: &Set{}}
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			l.fail(p, err)
			continue
		}
		if !info.IsDir() {
			l.file(os.DirFS(filepath.Dir(p)), filepath.Base(p), p)
			continue
		}
		l.walk(os.DirFS(p), func(name string) string { return filepath.Join(p, filepath.FromSlash(name)) })
	}
	return l.finish(ctx)
}

// LoadFS reads every *.yaml and *.yml of a file system; label stands before the
// names in problems.
func LoadFS(ctx context.Context, fsys fs.FS, label string) (*Set, Problems) {
	l := loader{set: &Set{}}
	l.walk(fsys, func(name string) string { return path.Join(label, name) })
	return l.finish(ctx)
}

type loader struct {
	set      *Set
	problems Problems
}

func (l *loader) fail(file string, err error) {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	l.problems = append(l.problems, Problem{File: file, Message: "cannot be read: " + err.Error()})
}

func (l *loader) walk(fsys fs.FS, label func(string) string) {
	found := false
	err := fs.WalkDir(fsys, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			l.fail(label(name), err)
			return nil
		}
		if ext := path.Ext(name); !e.IsDir() && (ext == ".yaml" || ext == ".yml") {
			found = true
			l.file(fsys, name, label(name))
		}
		return nil
	})
	if err != nil {
		l.fail(label("."), err)
	} else if !found {
		l.problems = append(l.problems, Problem{File: label("."), Message: "holds no YAML file"})
	}
}

func (l *loader) file(fsys fs.FS, name, label string) {
	if info, err := fs.Stat(fsys, name); err == nil && info.Size() > maxFile {
		l.problems = append(l.problems, Problem{File: label, Message: fmt.Sprintf("is %d bytes; at most %d are read", info.Size(), maxFile)})
		return
	}
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		l.fail(label, err)
		return
	}
	l.problems = append(l.problems, l.set.add(label, data)...)
}

func (l *loader) finish(ctx context.Context) (*Set, Problems) {
	return l.set, append(l.problems, l.set.validate(ctx)...).sorted()
}

// add reads the documents of one file.
func (s *Set) add(file string, data []byte) Problems {
	docs := split(file, data)
	if len(docs) == 0 {
		return Problems{{File: file, Message: "holds no document"}}
	}
	var ps Problems
	for _, d := range docs {
		data, problems := d.toJSON()
		if len(problems) > 0 {
			ps = append(ps, problems...)
			continue
		}
		ps = append(ps, s.addDocument(d, data)...)
	}
	return ps
}

func (s *Set) addDocument(d *document, data []byte) Problems {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name         string `json:"name"`
			GenerateName string `json:"generateName"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return Problems{d.problem("", "is not an object with apiVersion, kind and metadata.name")}
	}
	if head.APIVersion != "tekton.dev/v1" {
		return Problems{d.problem("apiVersion", fmt.Sprintf("cannot be %q, must be \"tekton.dev/v1\"", head.APIVersion))}
	}
	name := head.Metadata.Name
	if name == "" && head.Kind == "PipelineRun" {
		name = strings.TrimRight(head.Metadata.GenerateName, "-")
	}
	switch head.Kind {
	case "Pipeline":
		return insert(&s.pipelines, d, data, head.Kind, name)
	case "Task":
		return insert(&s.tasks, d, data, head.Kind, name)
	case "PipelineRun":
		return insert(&s.runs, d, data, head.Kind, name)
	}
	return Problems{d.problem("kind", fmt.Sprintf("cannot be %q, must be Pipeline, Task or PipelineRun", head.Kind))}
}

func insert[T any](list *[]*definition[T], d *document, data []byte, kind, name string) Problems {
	value := new(T)
	ps := d.decode(data, value)
	if other := find(*list, name); other != nil && name != "" {
		ps = append(ps, d.problem("metadata.name", fmt.Sprintf("%s %q is defined a second time; the first is in %s:%d", kind, name, other.file, other.line("metadata.name"))))
		return ps
	}
	if len(ps) == 0 {
		*list = append(*list, &definition[T]{document: d, name: name, value: value})
	}
	return ps
}

func find[T any](list []*definition[T], name string) *definition[T] {
	if k := slices.IndexFunc(list, func(d *definition[T]) bool { return d.name == name }); k >= 0 {
		return list[k]
	}
	return nil
}

// HasRun says whether the files have a PipelineRun of this name.
func (s *Set) HasRun(name string) bool { return find(s.runs, name) != nil }

// Pipelines lists the names of the set's pipelines, sorted.
func (s *Set) Pipelines() []string {
	names := make([]string, 0, len(s.pipelines))
	for _, p := range s.pipelines {
		names = append(names, p.name)
	}
	slices.Sort(names)
	return names
}

// Pipeline returns a pipeline by name; the error names those that there are.
func (s *Set) Pipeline(name string) (*v1.Pipeline, error) {
	p := find(s.pipelines, name)
	if p == nil {
		return nil, fmt.Errorf("finding pipeline %q: there is only %s", name, quoted(s.Pipelines()))
	}
	return p.value, nil
}

func quoted(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(q, ", ")
}
