// Package distros reads the description of a distribution: distro.yaml and a
// component.yaml for each component. It holds the reference distribution Skiff
// as well, so that the slipway program can build it without any files.
//
// It says what there is to build; how it is built is the package images.
package distros

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/internal/config"
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
	Graph       Graph
	// Tools are the programs in the images that people use on their own hosts.
	Tools []Tool

	// FS is the distribution's folder, and Path names it, for messages.
	FS   fs.FS
	Path string
}

// Folder is the folder of one component: its component.yaml and what that names.
type Folder struct {
	FS   fs.FS
	Path string // names it, for messages
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
	Name string `json:"name"`
	// Stable has the stream hold the releases whose versions name no stream, such as
	// 1.36.3. People bring them in; nothing is cut of it, and nothing of it deleted.
	Stable bool `json:"stable,omitempty"`
	// Base of the versions: 1.36.3. That of the distribution when empty.
	Base     string   `json:"base,omitempty"`
	Channels []string `json:"channels,omitempty"`
	// Tag is one of the release repository that names the newest payload that was
	// promoted into the channels; it moves on with them.
	Tag string `json:"tag,omitempty"`
	// Publish are places outside that accepted payloads are copied to.
	Publish []Publication `json:"publish,omitempty"`
	Checks  Checks        `json:"checks,omitempty"`
	Upgrade Upgrade       `json:"upgrade,omitempty"`
	Inputs  Inputs        `json:"inputs,omitempty"`
	// Architectures are those that its payloads are for, as Go names them: of several, a
	// payload is a manifest list. That of the distribution's platform when empty.
	Architectures []string `json:"architectures,omitempty"`
	Cut           Cut      `json:"cut,omitempty"`
	Run           Pipeline `json:"run,omitempty"`
	Retries       Retries  `json:"retries,omitempty"`
	Retain        Retain   `json:"retain,omitempty"`
	// Frozen says why nothing is cut; empty means that it is.
	Frozen string `json:"frozen,omitempty"`
}

// Publication is a place outside that a stream's accepted payloads are copied to, with
// their components and all that was said about either.
type Publication struct {
	// Mirror is the repository that takes all images, as slipway release mirror --to does.
	Mirror string `json:"mirror"`
	// Tag is one of that repository which names the newest payload there.
	Tag string `json:"tag,omitempty"`
}

// StableStream is the name of the stream that holds the releases whose versions name
// none; "" where there is no such stream.
func (d *Distribution) StableStream() string {
	for _, s := range d.Streams {
		if s.Stable {
			return s.Name
		}
	}
	return ""
}

// Checks are names of tests. A blocking one rejects a release when it fails, an
// informing one is only reported.
type Checks struct {
	Blocking  []string `json:"blocking,omitempty"`
	Informing []string `json:"informing,omitempty"`
	// Pipelines run the checks of these names, after the stream's own run; that
	// itself runs conformance and upgrade.
	Pipelines map[string]CheckPipeline `json:"pipelines,omitempty"`
}

// Upgrade is what the upgrade test expects, by cluster profile (single, ha).
type Upgrade struct {
	Profiles map[string]UpgradeProfile `json:"profiles,omitempty"`
}

// UpgradeProfile says what an upgrade may cost: "forbid" rejects the release, which is
// the default, "report" only tells.
type UpgradeProfile struct {
	// Gaps says it of gaps in the answers of a backend, by the backend's name or by what
	// its name begins with up to a dash; the longest counts.
	Gaps map[string]string `json:"gaps,omitempty"`
	// APIGap, ServiceGap and DNSGap are short for kube-api, service and dns in Gaps.
	APIGap     string          `json:"apiGap,omitempty"`
	ServiceGap string          `json:"serviceGap,omitempty"`
	DNSGap     string          `json:"dnsGap,omitempty"`
	Findings   UpgradeFindings `json:"findings,omitempty"`
}

// shortGaps are the fields that stand for backends in Gaps.
func (p UpgradeProfile) shortGaps() []shortGap {
	return []shortGap{{"apiGap", "kube-api", p.APIGap}, {"serviceGap", "service", p.ServiceGap}, {"dnsGap", "dns", p.DNSGap}}
}

type shortGap struct{ field, backend, value string }

// AllGaps is Gaps with what the short fields add.
func (p UpgradeProfile) AllGaps() map[string]string {
	all := map[string]string{}
	maps.Copy(all, p.Gaps)
	for _, s := range p.shortGaps() {
		if s.value != "" {
			all[s.backend] = s.value
		}
	}
	return all
}

// UpgradeFindings says what it means when a rule about the cluster finds something of
// severity error.
type UpgradeFindings struct {
	// Rules says it by the id of the rule: what a profile cannot do better.
	Rules map[string]string `json:"rules,omitempty"`
	// Exceptions excuse single findings for a while.
	Exceptions []FindingException `json:"exceptions,omitempty"`
}

// FindingException says why a finding is borne with, and for how long.
type FindingException struct {
	Rule string `json:"rule"`
	// Object chooses the findings; * stands for any characters. Empty means all of the rule.
	Object string `json:"object,omitempty"`
	Reason string `json:"reason"`
	// Until is the last day on which the exception holds, 2027-01-31, in UTC.
	Until string `json:"until"`
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
type Problem = config.Problem

// ConfigError is everything that is wrong with a distribution.
type ConfigError = config.Error

// Load reads the distribution in a folder. A mistake in its files is a
// *ConfigError that holds all of them.
func Load(dir string) (*Distribution, error) {
	if _, err := os.Stat(filepath.Join(dir, distroFile)); err != nil {
		return nil, fmt.Errorf("reading distribution %q: %w", dir, err)
	}
	return LoadFS(os.DirFS(dir), dir)
}
