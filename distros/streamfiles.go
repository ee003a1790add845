package distros

import (
	"fmt"
	"io/fs"
	"path"

	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/internal/config"
)

// streamYAML is the content of a file in streams/.
type streamYAML struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Spec       Stream `json:"spec"`
}

// readStreams reads the streams that have a file of their own, streams/*.yaml, and
// puts them behind those of distro.yaml.
func (l *loader) readStreams() error {
	names, err := fs.Glob(l.fsys, "streams/*.yaml")
	if err != nil {
		return err
	}
	for _, name := range names {
		data, err := fs.ReadFile(l.fsys, name)
		if err != nil {
			return err
		}
		d := &config.Decoder{File: l.file(name), Expand: func(s string) (string, error) { return expand(s, l.doc.Versions) }}
		var doc streamYAML
		d.Decode(data, &doc)
		if doc.APIVersion != images.APIVersion {
			d.Add(d.Line("apiVersion"), "apiVersion", "must be %q, not %q", images.APIVersion, doc.APIVersion)
		}
		if doc.Kind != "Stream" {
			d.Add(d.Line("kind"), "kind", `must be "Stream", not %q`, doc.Kind)
		}
		if file := path.Base(name); doc.Spec.Name+".yaml" != file {
			d.Add(d.Line("spec.name"), "spec.name", "must be %q like the file, not %q", file[:len(file)-len(".yaml")], doc.Spec.Name)
		}
		l.files[fmt.Sprintf("streams[%d]", len(l.doc.Streams))] = d
		l.doc.Streams = append(l.doc.Streams, doc.Spec)
	}
	return nil
}
