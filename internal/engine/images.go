package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slipway-release/slipway/internal/command"
)

// Image is one image of the engine.
type Image struct {
	ID      string // as the engine names it, without "sha256:"
	Tags    []string
	Labels  map[string]string
	Created time.Time
	Size    int64 // bytes
}

// Images lists the images that have every one of the labels, newest first.
func (e *Engine) Images(ctx context.Context, labels map[string]string) ([]Image, error) {
	args := append([]string{"images", "--quiet", "--no-trunc"}, labelFilters(labels)...)
	ids, err := e.lines(ctx, args...)
	if err != nil {
		return nil, fmt.Errorf("listing images: %w", err)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if len(ids) == 0 {
		return nil, nil
	}
	out, err := e.output(ctx, append([]string{"image", "inspect"}, ids...)...)
	if err != nil {
		return nil, fmt.Errorf("inspecting images: %w", err)
	}
	images, err := parseImages(out)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(images, func(a, b Image) int { return b.Created.Compare(a.Created) })
	return images, nil
}

// Image describes the image of a tag or ID; found is false when there is none.
func (e *Engine) Image(ctx context.Context, name string) (img Image, found bool, err error) {
	out, err := e.output(ctx, "image", "inspect", name)
	if err != nil {
		var failed *command.Error
		if errors.As(err, &failed) && failed.ExitCode > 0 && isAbsent(err) {
			return Image{}, false, nil
		}
		return Image{}, false, fmt.Errorf("inspecting image %q: %w", name, err)
	}
	images, err := parseImages(out)
	if err != nil || len(images) == 0 {
		return Image{}, false, err
	}
	return images[0], true, nil
}

func parseImages(data []byte) ([]Image, error) {
	var raw []struct {
		ID       string `json:"Id"`
		RepoTags []string
		Created  time.Time
		Size     int64
		Config   struct{ Labels map[string]string }
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("reading what the engine says of its images: %w", err)
	}
	images := make([]Image, 0, len(raw))
	for _, r := range raw {
		images = append(images, Image{
			ID: strings.TrimPrefix(r.ID, "sha256:"), Tags: r.RepoTags,
			Labels: r.Config.Labels, Created: r.Created, Size: r.Size,
		})
	}
	return images, nil
}

// Tag gives an image one more name.
func (e *Engine) Tag(ctx context.Context, name, tag string) error {
	if _, err := e.output(ctx, "tag", name, tag); err != nil {
		return fmt.Errorf("tagging image %q as %q: %w", name, tag, err)
	}
	return nil
}

// RemoveImages takes names from images; an image without a name goes. One that
// does not exist is no error.
func (e *Engine) RemoveImages(ctx context.Context, names ...string) error {
	var errs []error
	for _, name := range names {
		if _, err := e.output(ctx, "rmi", name); err != nil && !isAbsent(err) {
			errs = append(errs, fmt.Errorf("removing image %q: %w", name, err))
		}
	}
	return errors.Join(errs...)
}
