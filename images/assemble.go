package images

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// assemble puts layers on the base of a component.
func (b *builder) assemble(ctx context.Context, j *job, layers []*storedLayer) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if j.base != nil {
		var err error
		if img, err = b.opts.Registry.Image(ctx, j.base.result.Reference); err != nil {
			return nil, err
		}
	}
	addenda := make([]mutate.Addendum, len(layers))
	for i, l := range layers {
		addenda[i] = mutate.Addendum{Layer: l, MediaType: types.OCILayer, History: v1.History{
			Created: v1.Time{Time: b.plan.Epoch}, CreatedBy: "slipway " + j.Name() + ": " + j.Layers[i].Kind,
		}}
	}
	img, err := mutate.Append(img, addenda...)
	if err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	if err := b.configure(file, j); err != nil {
		return nil, err
	}
	if img, err = mutate.ConfigFile(img, file); err != nil {
		return nil, err
	}
	if j.base == nil {
		return img, nil
	}
	return mutate.Annotations(img, map[string]string{
		"org.opencontainers.image.base.name":   b.repository(j.base.Name()),
		"org.opencontainers.image.base.digest": j.base.result.Digest,
	}).(v1.Image), nil
}

// configure fills the configuration. What a recipe does not say is inherited from
// the base, except labels: they speak of the image that bears them.
func (b *builder) configure(file *v1.ConfigFile, j *job) error {
	goos, rest, ok := strings.Cut(b.plan.Platform, "/")
	if !ok {
		return fmt.Errorf("platform %q must be OS/ARCHITECTURE, such as linux/amd64", b.plan.Platform)
	}
	file.OS = goos
	file.Architecture, file.Variant, _ = strings.Cut(rest, "/")
	file.Created = v1.Time{Time: b.plan.Epoch}
	file.Author, file.Container = "", ""

	c, want := &file.Config, j.Recipe.Image
	if len(want.Entrypoint) > 0 {
		c.Entrypoint, c.Cmd = want.Entrypoint, nil
	}
	if len(want.Cmd) > 0 {
		c.Cmd = want.Cmd
	}
	c.Env = mergeEnv(c.Env, want.Env)
	if want.User != "" {
		c.User = want.User
	}
	if want.WorkingDir != "" {
		c.WorkingDir = want.WorkingDir
	}
	if want.StopSignal != "" {
		c.StopSignal = want.StopSignal
	}
	for _, port := range want.Ports {
		if c.ExposedPorts == nil {
			c.ExposedPorts = map[string]struct{}{}
		}
		if !strings.Contains(port, "/") {
			port += "/tcp"
		}
		c.ExposedPorts[port] = struct{}{}
	}
	c.Labels = maps.Clone(j.Labels)
	return nil
}

// defaultPath is where programs are looked for in an image on nothing.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func mergeEnv(base []string, own map[string]string) []string {
	all := map[string]string{"PATH": defaultPath}
	for _, kv := range base {
		name, value, _ := strings.Cut(kv, "=")
		all[name] = value
	}
	maps.Copy(all, own)
	out := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, name+"="+all[name])
	}
	return out
}
