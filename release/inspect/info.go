package inspect

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/inspect/forge"
	"github.com/slipway-release/slipway/release/manifests"
)

// Source is what a payload and its component images are read from: a registry, or
// an OCI layout. A reference it does not have is an error that wraps oci.ErrNotFound.
type Source interface {
	Image(ctx context.Context, ref string) (v1.Image, error)
	Index(ctx context.Context, ref string) (v1.ImageIndex, error)
}

var _ Source = (*oci.Registry)(nil)

// Subject is a payload that was opened.
type Subject struct {
	Named     string  // what the person typed
	Reference string  // pull spec by digest, of the index for a multi-platform payload
	List      v1.Hash // digest of the index; zero for a single image
	// Platforms are the images of the index, as far as the caller has read it.
	Platforms []v1.Descriptor
	Image     v1.Image
	Payload   *release.Payload
}

// Info is what is known about one payload. The first group of fields has the
// keys and shapes of `oc adm release info -o json`; the second one is Slipway's.
type Info struct {
	// Image is what the person typed.
	Image string `json:"image"`
	// Digest is that of the image that was read; of a multi-platform payload it is one platform's.
	Digest        string  `json:"digest"`
	ContentDigest string  `json:"contentDigest"` // computed from the bytes; always equal to Digest
	ListDigest    string  `json:"listDigest"`    // of the index, "" for a single image
	Config        rawJSON `json:"config"`
	// Metadata and References are the files release-metadata and image-references.
	Metadata   rawJSON `json:"metadata"`
	References rawJSON `json:"references"`
	// Versions are the component versions by key. oc leaves them null.
	Versions        map[string]string         `json:"versions"`
	DisplayVersions map[string]DisplayVersion `json:"displayVersions"`
	// VersionsTags tells for every key and version which components announce it.
	VersionsTags map[string]map[string][]string `json:"versionsTags"`
	// Images are null unless they were read, see ReadImages.
	Images   map[string]*Image `json:"images"`
	Warnings []string          `json:"warnings"`

	Version  string    `json:"version"`
	PullSpec string    `json:"pullSpec"` // by digest, of the index where there is one
	Created  time.Time `json:"created"`
	Platform string    `json:"platform"` // OS/ARCH of the image that was read
	// Platforms are those of a payload of several, with the digests of their images. Clusters
	// pull all of them by PullSpec.
	Platforms []PlatformImage `json:"platforms,omitempty"`
	// Upgrades are the versions that may upgrade to this one, in ascending order,
	// Next those that this one may upgrade to.
	Upgrades []string `json:"upgrades"`
	Next     []string `json:"next,omitempty"`
	// Values are those of the metadata; what is no string is given as JSON.
	Values     map[string]string `json:"values,omitempty"`
	Components []Component       `json:"components"`
	Manifests  []string          `json:"manifests"`       // names of files
	Files      []string          `json:"files,omitempty"` // that are no manifests
	Sizes      *Sizes            `json:"sizes,omitempty"`
	// Verification is there when Verify was asked and everything was good.
	Verification *Verified `json:"verification,omitempty"`
}

// DisplayVersion is the version of a component key with the name that people
// know it by. The keys are oc's.
type DisplayVersion struct {
	Version     string
	DisplayName string
}

// Component is one image of a payload, and where its source is.
type Component struct {
	Name      string            `json:"name"`
	PullSpec  string            `json:"pullSpec"`
	Digest    string            `json:"digest"`
	Source    string            `json:"source,omitempty"` // repository
	Commit    string            `json:"commit,omitempty"`
	Ref       string            `json:"ref,omitempty"` // branch or tag
	CommitURL string            `json:"commitURL,omitempty"`
	Versions  map[string]string `json:"versions,omitempty"`
}

// rawJSON is JSON as it stands in an image; null when there is none.
type rawJSON = json.RawMessage

// PlatformImage is what a payload of several platforms has for one.
type PlatformImage struct {
	Platform string `json:"platform"` // OS/ARCH
	Digest   string `json:"digest"`
}

// Describe reports what the payload itself says. It reads nothing but the
// image's configuration, which whoever loaded the payload has read already.
func Describe(s Subject, hosts forge.Hosts) (*Info, error) {
	config, err := s.Image.RawConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the configuration of payload %q: %w", s.Named, err)
	}
	parsed, err := s.Image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the configuration of payload %q: %w", s.Named, err)
	}
	p := s.Payload
	info := &Info{
		Image: s.Named, Digest: p.Digest.String(), ContentDigest: p.Digest.String(), Config: config,
		Version: p.Version.String(), PullSpec: s.Reference, Created: p.Created.UTC().Truncate(time.Second),
		Platform: platformOf(parsed), Upgrades: names(p.Metadata.Previous), Next: names(p.Metadata.Next), Values: valuesOf(p.Metadata),
		Manifests: []string{},
	}
	if s.List != (v1.Hash{}) {
		info.ListDigest = s.List.String()
	}
	for _, d := range s.Platforms {
		info.Platforms = append(info.Platforms, PlatformImage{d.Platform.String(), d.Digest.String()})
	}
	info.Metadata, _ = p.File(release.MetadataFile)
	info.References, _ = p.File(release.ReferencesFile)
	for _, t := range p.References.Tags {
		info.Components = append(info.Components, componentOf(t, hosts))
	}
	for _, f := range p.Manifests {
		if manifests.IsManifest(f.Name) {
			info.Manifests = append(info.Manifests, f.Name)
		} else {
			info.Files = append(info.Files, f.Name)
		}
	}
	info.addVersions(p.References)
	return info, nil
}

// OSArch is the platform for people: "linux/amd64", or "multi (linux/amd64)" for
// a payload of several platforms of which this one was read.
func (i *Info) OSArch() string {
	if i.ListDigest == "" {
		return i.Platform
	}
	return "multi (" + i.Platform + ")"
}

// Identity is the digest by which the payload is released: the index's where
// there is one.
func (i *Info) Identity() string {
	if i.ListDigest != "" {
		return i.ListDigest
	}
	return i.Digest
}

// Component returns a component by name.
func (i *Info) Component(component string) (Component, bool) {
	at, ok := slices.BinarySearchFunc(i.Components, component, func(c Component, n string) int { return strings.Compare(c.Name, n) })
	if !ok {
		return Component{}, false
	}
	return i.Components[at], true
}

func componentOf(t release.ImageTag, hosts forge.Hosts) Component {
	c := Component{Name: t.Name, PullSpec: t.Image, Source: t.Annotations[release.LabelSource],
		Commit: t.Annotations[release.LabelCommit], Ref: t.Annotations[release.LabelCommitRef]}
	if d, err := name.NewDigest(t.Image); err == nil {
		c.Digest = d.DigestStr()
	}
	c.CommitURL = hosts.Commit(c.Source, c.Commit)
	if versions, err := release.ParseComponentVersions(t.Annotations[release.LabelVersions]); err == nil && len(versions) > 0 {
		c.Versions = versions
	}
	return c
}

func valuesOf(m release.Metadata) map[string]string {
	values := maps.Clone(m.Values)
	for key, raw := range m.Other {
		if values == nil {
			values = map[string]string{}
		}
		if _, isString := values[key]; !isString {
			values[key] = string(raw)
		}
	}
	return values
}

func platformOf(config *v1.ConfigFile) string {
	os, arch := config.OS, config.Architecture
	if os == "" {
		os = "unknown"
	}
	if arch == "" {
		arch = "unknown"
	}
	if config.Variant != "" {
		arch += "/" + config.Variant
	}
	return os + "/" + arch
}

func names(versions []release.Version) []string {
	all := make([]string, len(versions))
	for i, v := range versions {
		all[i] = v.String()
	}
	return all
}
