package manifests

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
)

// ImageUse is one place of an object that names an image.
type ImageUse struct {
	What      string // "container", "init container", "ephemeral container", "volume", "argument of container", "environment variable" or "tag"
	Name      string // of the container, volume, variable or tag
	Reference string
}

// Pinned reports whether the reference names one image for ever, by its digest.
func (u ImageUse) Pinned() bool { return pinnedPattern.MatchString(u.Reference) }

// Images returns every image that the object names: those of pods, wherever in the object their
// specification stands; those of ImageStreams; and what in the arguments and the environment of a
// container is certainly one, because a digest stands behind it, or because the
// flag or variable is called an image and a registry's host and a tag are there.
func (o Object) Images() []ImageUse {
	uses := podImages(o.Content, nil, 0)
	if o.is("image.openshift.io", "ImageStream") {
		uses = append(uses, streamImages(o.Content)...)
	}
	return uses
}

// CheckImages reports every image of the objects (see Object.Images) that is not
// pinned by digest or that allowed refuses. A payload whose objects pass runs
// nothing but what it names. The error is of type Problems.
func CheckImages(objects []Object, allowed func(reference string) bool) error {
	var problems Problems
	for _, o := range objects {
		var wrong []ImageUse
		for _, u := range o.Images() {
			if !u.Pinned() || !allowed(u.Reference) {
				wrong = append(wrong, u)
			}
		}
		if len(wrong) == 0 {
			continue
		}
		lines := o.Lines()
		for _, u := range wrong {
			what := "is not in the payload"
			if !u.Pinned() {
				what = "is not pinned by digest"
			}
			problems = append(problems, Problem{
				File: o.File, Line: lines.Containing(u.Reference), Object: o.String(), Image: u.Reference,
				Message: fmt.Sprintf("%s: image %q of %s %q %s", o, u.Reference, u.What, u.Name, what),
			})
		}
	}
	return problems.Err()
}

var containerLists = map[string]string{
	"containers":          "container",
	"initContainers":      "init container",
	"ephemeralContainers": "ephemeral container",
}

// podImages looks for pod specifications by their lists of containers and
// volumes, so that those inside other kinds than Kubernetes' own are found too.
func podImages(v any, found []ImageUse, depth int) []ImageUse {
	if depth > maxDepth {
		return found
	}
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			found = podImages(item, found, depth+1)
		}
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for _, k := range keys {
			items, _ := v[k].([]any)
			for _, item := range items {
				found = append(found, imagesOf(k, item)...)
			}
			found = podImages(v[k], found, depth+1)
		}
	}
	return found
}

func imagesOf(list string, item any) []ImageUse {
	m, _ := item.(map[string]any)
	name, _ := m["name"].(string)
	var uses []ImageUse
	switch what := containerLists[list]; {
	case what != "":
		if ref, ok := m["image"].(string); ok {
			uses = append(uses, ImageUse{What: what, Name: name, Reference: ref})
		}
		uses = append(uses, argumentImages(name, m)...)
	case list == "volumes":
		source, _ := m["image"].(map[string]any)
		if ref, ok := source["reference"].(string); ok {
			uses = append(uses, ImageUse{What: "volume", Name: name, Reference: ref})
		}
	}
	return uses
}

func argumentImages(container string, m map[string]any) []ImageUse {
	var uses []ImageUse
	for _, list := range []string{"command", "args"} {
		items, _ := m[list].([]any)
		flag := ""
		for _, item := range items {
			arg, _ := item.(string)
			if name, _, found := strings.Cut(arg, "="); found || strings.HasPrefix(arg, "-") {
				flag = name
			}
			for _, ref := range imagesIn(arg, saysImage(flag)) {
				uses = append(uses, ImageUse{What: "argument of container", Name: container, Reference: ref})
			}
			if !strings.HasPrefix(arg, "-") {
				flag = ""
			}
		}
	}
	env, _ := m["env"].([]any)
	for _, item := range env {
		variable, _ := item.(map[string]any)
		name, _ := variable["name"].(string)
		value, _ := variable["value"].(string)
		for _, ref := range imagesIn(value, saysImage(name)) {
			uses = append(uses, ImageUse{What: "environment variable", Name: name, Reference: ref})
		}
	}
	return uses
}

func saysImage(name string) bool { return strings.Contains(strings.ToLower(name), "image") }

// hostedPattern is a reference that begins with a registry's host, and ends in
// a tag, a digest, or both, as in the grammar of github.com/distribution/reference.
var hostedPattern = regexp.MustCompile(`^(localhost|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*:[0-9]+)(/[a-z0-9]+([._-]+[a-z0-9]+)*)+(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$`)

// imagesIn finds references in a text; those without digest only where named
// says that the text is about images.
func imagesIn(text string, named bool) []string {
	if !strings.Contains(text, "/") {
		return nil
	}
	var found []string
	for _, run := range tokenPattern.FindAllString(text, -1) {
		transport, ref, ok := imageToken(strings.TrimRight(run, ".:"))
		m := hostedPattern.FindStringSubmatch(ref)
		if !ok || m == nil || len(transport)+len(ref) == 0 {
			continue
		}
		if digest, tag := m[len(m)-1], m[len(m)-2]; digest != "" || (named && tag != "") {
			found = append(found, ref)
		}
	}
	return found
}

// streamImages returns the images that the tags of an ImageStream name.
func streamImages(content map[string]any) []ImageUse {
	spec, _ := content["spec"].(map[string]any)
	tags, _ := spec["tags"].([]any)
	var uses []ImageUse
	for _, item := range tags {
		tag, _ := item.(map[string]any)
		from, _ := tag["from"].(map[string]any)
		name, _ := tag["name"].(string)
		if ref, ok := from["name"].(string); ok && from["kind"] == "DockerImage" {
			uses = append(uses, ImageUse{What: "tag", Name: name, Reference: ref})
		}
	}
	return uses
}
