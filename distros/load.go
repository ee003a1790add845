package distros

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/internal/config"
)

const (
	distroFile    = "distro.yaml"
	componentFile = "component.yaml"
	componentsDir = "components"
)

// distroYAML is the content of distro.yaml.
type distroYAML struct {
	APIVersion  string                `json:"apiVersion"`
	Kind        string                `json:"kind"`
	Metadata    images.Metadata       `json:"metadata"`
	Repository  string                `json:"repository"`
	Version     string                `json:"version"`
	Platform    string                `json:"platform"`
	PayloadBase string                `json:"payloadBase"`
	Versions    map[string]string     `json:"versions"`
	Modules     map[string]moduleYAML `json:"modules"`
	Components  []string              `json:"components"`
	Streams     []Stream              `json:"streams"`
	Channels    []Channel             `json:"channels"`
	Graph       Graph                 `json:"graph"`
	Tools       []Tool                `json:"tools"`
}

// moduleYAML holds for all components how programs of one Go module are
// compiled, so that they are compiled together.
type moduleYAML struct {
	Version       string            `json:"version"`
	LocalReplaces string            `json:"localReplaces"`
	Require       map[string]string `json:"require"`
	Tags          []string          `json:"tags"`
	Cgo           bool              `json:"cgo"`
	Libraries     []string          `json:"libraries"`
	Ldflags       []string          `json:"ldflags"`
}

// loader reads a distribution and gathers the problems.
type loader struct {
	fsys     fs.FS
	folders  map[string]Folder // that stand in for those of fsys
	root     string
	doc      distroYAML
	distro   *config.Decoder
	decoders map[string]*config.Decoder // of components, by name
	recipes  []*images.Recipe
	problems []Problem
	// files are streams with a file of their own, by the field that they would be in
	// distro.yaml: streams[2].
	files map[string]*config.Decoder
}

// LoadFS is Load for any file system; root names it in messages.
func LoadFS(fsys fs.FS, root string) (*Distribution, error) { return load(fsys, root, nil) }

// With is the distribution with other folders for some of its components. All is
// read anew, as what stands in one component may be wrong because of another.
func (d *Distribution) With(folders map[string]Folder) (*Distribution, error) {
	return load(d.FS, d.Path, folders)
}

func load(fsys fs.FS, root string, folders map[string]Folder) (*Distribution, error) {
	l := &loader{fsys: fsys, folders: folders, root: root, decoders: map[string]*config.Decoder{}, files: map[string]*config.Decoder{}}
	data, err := fs.ReadFile(fsys, distroFile)
	if err != nil {
		return nil, fmt.Errorf("reading distribution %q: %w", root, err)
	}
	l.readDistro(data)
	if err := l.readStreams(); err != nil {
		return nil, fmt.Errorf("reading distribution %q: %w", root, err)
	}
	for i, name := range l.doc.Components {
		if err := l.readComponent(i, name); err != nil {
			return nil, fmt.Errorf("reading distribution %q: %w", root, err)
		}
	}
	l.unlisted()
	l.checkRecipes()
	l.checkNames()
	l.checkChannels()
	for _, d := range l.files {
		l.problems = append(l.problems, d.Problems...)
	}
	if l.problems = append(l.distro.Problems, l.problems...); len(l.problems) > 0 {
		slices.SortStableFunc(l.problems, func(a, b Problem) int {
			if c := strings.Compare(a.File, b.File); c != 0 {
				return c
			}
			return a.Line - b.Line
		})
		return nil, &ConfigError{Problems: slices.Compact(l.problems)}
	}
	return l.distribution(), nil
}

func (l *loader) distribution() *Distribution {
	return &Distribution{
		Name: l.doc.Metadata.Name, Repository: l.doc.Repository, Version: l.doc.Version, Platform: l.doc.Platform,
		PayloadBase: l.doc.PayloadBase, Versions: l.doc.Versions, Components: l.recipes,
		Streams: l.doc.Streams, Channels: l.doc.Channels, Graph: l.doc.Graph, Tools: l.doc.Tools, FS: l.fsys, Path: l.root,
	}
}

func (l *loader) file(parts ...string) string {
	return path.Join(append([]string{l.root}, parts...)...)
}

func (l *loader) readDistro(data []byte) {
	// The table of versions is read first, for the rest may refer to it.
	var table struct {
		Versions map[string]string `json:"versions"`
	}
	first := &config.Decoder{File: l.file(distroFile)}
	first.Decode(data, &table)
	for name, v := range table.Versions {
		if v == "" {
			// Reported once, where it stands; not again wherever it is used.
			table.Versions[name] = "v0.0.0"
		}
	}
	l.distro = &config.Decoder{File: l.file(distroFile), Expand: func(s string) (string, error) { return expand(s, table.Versions) }}
	l.distro.Decode(data, &l.doc)
	if l.doc.Platform == "" {
		l.doc.Platform = "linux/amd64"
	}
}

func (l *loader) bad(field, format string, args ...any) {
	for at, d := range l.files {
		if rest, ok := strings.CutPrefix(field, at+"."); ok {
			rest = "spec." + rest
			d.Add(d.Line(rest), rest, format, args...)
			return
		}
	}
	l.distro.Add(l.distro.Line(field), field, format, args...)
}

func (l *loader) readComponent(i int, name string) error {
	field := fmt.Sprintf("components[%d]", i)
	if !dnsLabel.MatchString(name) {
		l.bad(field, "must be a DNS label such as kube-proxy, not %q", name)
		return nil
	}
	if slices.Index(l.doc.Components, name) < i {
		l.bad(field, "component %q stands here twice", name)
		return nil
	}
	folder, err := l.folder(name)
	if err != nil {
		return err
	}
	data, err := fs.ReadFile(folder.FS, componentFile)
	if errors.Is(err, fs.ErrNotExist) {
		l.bad(field, "component %q has no file %s", name, path.Join(strings.TrimPrefix(folder.Path, l.root+"/"), componentFile))
		return nil
	}
	if err != nil {
		return err
	}
	d := &config.Decoder{File: path.Join(folder.Path, componentFile), Expand: func(s string) (string, error) { return expand(s, l.doc.Versions) }}
	r := &images.Recipe{Dir: folder.Path, Files: folder.FS}
	d.Decode(data, r)
	l.applyModules(r)
	if r.Metadata.Name != "" && r.Metadata.Name != name {
		d.Add(d.Line("metadata.name"), "metadata.name", "must be %q like the folder, not %q", name, r.Metadata.Name)
	}
	l.decoders[name] = d
	// Whatever it calls itself, others know it by the name in distro.yaml.
	r.Metadata.Name = name
	l.recipes = append(l.recipes, r)
	return nil
}

// folder is where a component is described.
func (l *loader) folder(name string) (Folder, error) {
	if other, ok := l.folders[name]; ok {
		return other, nil
	}
	sub, err := fs.Sub(l.fsys, path.Join(componentsDir, name))
	return Folder{FS: sub, Path: l.file(componentsDir, name)}, err
}

// applyModules fills what Go layers leave out from distro.yaml.
func (l *loader) applyModules(r *images.Recipe) {
	for i := range r.Layers {
		layer := &r.Layers[i]
		if g := layer.Go; g != nil {
			l.applyTo(g)
		}
		if m := layer.ModuleFiles; m != nil && m.Version == "" {
			m.Version = l.doc.Modules[m.Module].Version
		}
		if c := layer.C; c != nil && c.Version == "" {
			c.Version = l.doc.Modules[c.Module].Version
		}
	}
}

func (l *loader) applyTo(g *images.GoLayer) {
	m, ok := l.doc.Modules[g.Module]
	if !ok {
		return
	}
	if g.Version == "" {
		g.Version = m.Version
	}
	if g.LocalReplaces == "" {
		g.LocalReplaces = m.LocalReplaces
	}
	if g.Require == nil {
		g.Require = m.Require
	}
	if g.Tags == nil {
		g.Tags = m.Tags
	}
	if g.Libraries == nil {
		g.Libraries = m.Libraries
	}
	if g.Ldflags == nil {
		g.Ldflags = m.Ldflags
	}
	g.Cgo = g.Cgo || m.Cgo
}

// unlisted finds folders that look like components and would silently be left out.
func (l *loader) unlisted() {
	found, err := fs.Glob(l.fsys, path.Join(componentsDir, "*", componentFile))
	if err != nil {
		return // the pattern is a constant
	}
	for _, f := range found {
		if name := path.Base(path.Dir(f)); !slices.Contains(l.doc.Components, name) {
			l.bad("components", "component %q has a folder but is not in this list; add it or remove %s", name, path.Dir(f))
		}
	}
}

func (l *loader) checkRecipes() {
	for _, r := range l.recipes {
		d := l.decoders[r.Metadata.Name]
		l.problems = append(l.problems, d.Problems...)
		if len(d.Problems) > 0 {
			continue // what follows would only repeat it in other words
		}
		l.report(r.Validate())
	}
	if _, problems := images.Order(l.recipes); len(problems) > 0 {
		l.report(problems)
	}
}

// report gives problems of recipes their file and line.
func (l *loader) report(problems []images.Problem) {
	for _, p := range problems {
		d := l.decoders[p.Component]
		l.problems = append(l.problems, Problem{File: d.File, Line: d.Line(p.Field), Field: p.Field, Message: p.Message})
	}
}
