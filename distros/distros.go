// Package distros reads the description of a distribution: distro.yaml and a
// component.yaml for each component. It holds the reference distribution Skiff
// as well, so that the slipway program can build it without any files.
//
// It says what there is to build; how it is built is the package images.
package distros

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/slipway-release/slipway/images"
)

// Distribution is a distro.yaml with its components.
type Distribution struct {
	Name string
	// Repository is the name that images bear in payloads, wherever they are
	// stored: registry.example.com/skiff.
	Repository string
	// Version is the base of release versions: 1.36.3.
	Version string
	// Platform of the images: linux/amd64.
	Platform string
	// PayloadBase is the component that the payload image is based on.
	PayloadBase string
	Versions    map[string]string
	Components  []*images.Recipe // in the order of distro.yaml
	Streams     []Stream
	Channels    []Channel
	// Tools are the programs in the images that people use on their own hosts.
	Tools []Tool

	// FS is the distribution's folder, and Path names it, for messages.
	FS   fs.FS
	Path string
}

// Component returns a recipe by name, or nil.
func (d *Distribution) Component(name string) *images.Recipe {
	for _, r := range d.Components {
		if r.Metadata.Name == name {
			return r
		}
	}
	return nil
}

// Stream is a row of releases: what must hold before one is accepted, and where
// accepted ones go.
type Stream struct {
	Name     string   `json:"name"`
	Channels []string `json:"channels,omitempty"`
	Checks   Checks   `json:"checks,omitempty"`
	Upgrade  Upgrade  `json:"upgrade,omitempty"`
}

// Checks are names of tests. A blocking one rejects a release when it fails, an
// informing one is only reported.
type Checks struct {
	Blocking  []string `json:"blocking,omitempty"`
	Informing []string `json:"informing,omitempty"`
}

// Upgrade is what the upgrade test expects, by cluster profile (single, ha).
type Upgrade struct {
	Profiles map[string]UpgradeProfile `json:"profiles,omitempty"`
}

// UpgradeProfile says what it means when the API, a service or DNS did not answer
// during an upgrade: "forbid" rejects the release, which is the default, "report"
// only tells.
type UpgradeProfile struct {
	APIGap     string `json:"apiGap,omitempty"`
	ServiceGap string `json:"serviceGap,omitempty"`
	DNSGap     string `json:"dnsGap,omitempty"`
}

// Channel is a set of releases that clusters are offered.
type Channel struct {
	Name string `json:"name"`
}

// Tool is a program in a component's image that people use on their own hosts, and
// the platforms it is there for. {name}, {version}, {os} and {arch} in Path and
// Archive stand for its name, the release's version, and a platform's parts.
type Tool struct {
	Name      string `json:"name"`
	Component string `json:"component"`
	Path      string `json:"path"` // absolute, in the image
	// Platforms are OS/ARCH; the architecture "payload" is that of the payload.
	Platforms []string `json:"platforms"`
	Archive   string   `json:"archive"` // ends in .tar.gz or .zip
	// Names are further names of the program in the archive.
	Names []string `json:"names,omitempty"`
	// Markers are names of places in the program that are filled in, by what goes
	// there: version, image or architecture.
	Markers map[string]string `json:"markers,omitempty"`
	// Optional says that releases may lack it.
	Optional bool `json:"optional,omitempty"`
}

// Problem is a mistake in a configuration file.
type Problem struct {
	File    string
	Line    int
	Field   string // path such as layers[0].go.module; empty for the whole file
	Message string
}

func (p Problem) String() string {
	if p.Field == "" {
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
	}
	return fmt.Sprintf("%s:%d: %s: %s", p.File, p.Line, p.Field, p.Message)
}

// ConfigError is everything that is wrong with a distribution.
type ConfigError struct{ Problems []Problem }

func (e *ConfigError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Load reads the distribution in a folder. A mistake in its files is a
// *ConfigError that holds all of them.
func Load(dir string) (*Distribution, error) {
	if _, err := os.Stat(filepath.Join(dir, distroFile)); err != nil {
		return nil, fmt.Errorf("reading distribution %q: %w", dir, err)
	}
	return LoadFS(os.DirFS(dir), dir)
}
