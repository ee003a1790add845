// Package graphdata reads, checks and changes a folder of graph-data: the channels of a
// distribution, the edges that are blocked or bear risks, and what is added to releases'
// metadata. Its files are those of Cincinnati's schema 1.x
// (https://github.com/openshift/cincinnati-graph-data#schema-version):
//
//	version                     1.x.y
//	channels/NAME.yaml          versions of a channel, and what feeds it
//	internal-channels/NAME.yaml channels that only feed others
//	blocked-edges/TO-NAME.yaml  edges to one version
//	build-suggestions/X.Y.yaml  which versions a new release of X.Y may be upgraded from
//	raw/metadata.json           metadata by version
//
// and beside them, of our own,
//
//	risks/NAME.yaml             a risk, once, over ranges of versions
//
// which other readers get as blocked edges (see Data.Export).
package graphdata

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/blang/semver/v4"

	"github.com/slipway-release/slipway/internal/config"
	"github.com/slipway-release/slipway/release/channels/graph"
)

// Data is a folder of graph-data.
type Data struct {
	// Path names the folder, for messages.
	Path string
	// Schema is the content of the file version.
	Schema string
	// Channels are the public ones, Internal those that only feed others; by file.
	Channels, Internal []Channel
	// Blocks are the blocked edges, by file.
	Blocks []Block
	// Suggestions are the build suggestions, by file.
	Suggestions []Suggestions
	// Metadata is added to that of releases, by VERSION or VERSION+ARCH and key.
	Metadata map[string]map[string]string
	// Risks are those over ranges of versions, by file.
	Risks []Risk

	files map[string][]byte // everything read, by path in the folder
}

// source is the file that something was read from.
type source struct {
	file    string // path in the folder
	decoder *config.Decoder
	folder  string
}

// File is the path within the folder.
func (s source) File() string { return s.file }

// Line is where a field stands, versions[3], or the nearest one above it; from 1.
func (s source) Line(field string) int {
	if s.decoder == nil {
		return 1
	}
	return s.decoder.Line(field)
}

// Channel is a set of versions.
type Channel struct {
	source `json:"-"`
	// Name is that of the file without .yaml.
	Name   string  `json:"name"`
	Feeder *Feeder `json:"feeder"`
	// Tombstones are versions that stay here and are not promoted further.
	Tombstones []string `json:"tombstones"`
	// Versions are each VERSION, for all architectures, or VERSION+ARCH.
	Versions []string `json:"versions"`
}

// Feeder is the channel that another one's versions come from.
type Feeder struct {
	Name string `json:"name"`
	// Delay is an ISO 8601 duration, PnW or P[nD][TnH][TnM][TnS]: how long a version is in the
	// feeder before it goes on.
	Delay string `json:"delay"`
	// Errata, which can only be "public", lets a version go on before the delay is over,
	// once its release notes can be read.
	Errata string `json:"errata"`
	// Filter is a regular expression that whole versions must match; empty lets all pass.
	Filter string `json:"filter"`
}

// Pattern is the filter, to be found in whole versions only; nil without one.
func (f Feeder) Pattern() (*regexp.Regexp, error) {
	if f.Filter == "" {
		return nil, nil
	}
	return regexp.Compile("^(?:" + f.Filter + ")$")
}

// delayPattern is PnW or P[nD][T[nH][nM][nS]].
var delayPattern = regexp.MustCompile(`^P(?:(\d{1,9})W|(?:(\d{1,9})D)?(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})S)?)?)$`)

// Block is a file of blocked edges: those to one version from all that a pattern is found
// in. With a name, a URL, a message and rules the edges bear a risk; with none of these
// they are not offered at all.
type Block struct {
	source `json:"-"`
	// To is VERSION or VERSION+ARCH.
	To string `json:"to"`
	// From is a regular expression that is searched in VERSION+ARCH.
	From          string               `json:"from"`
	URL           string               `json:"url"`
	Name          string               `json:"name"`
	Message       string               `json:"message"`
	MatchingRules []graph.MatchingRule `json:"matchingRules"`
	// FixedIn is the version from which on the risk is none.
	FixedIn string `json:"fixedIn"`
	// AutoExtend is a URI by which the risk is known where it is fixed.
	AutoExtend string `json:"autoExtend"`

	pattern *regexp.Regexp
}

// Conditional says whether the edges are offered with a risk.
func (b Block) Conditional() bool {
	return b.URL != "" || b.Name != "" || b.Message != "" || len(b.MatchingRules) > 0
}

// Risk is the risk that the edges bear; nil if they are not offered at all.
func (b Block) Risk() *graph.Risk {
	if !b.Conditional() {
		return nil
	}
	return &graph.Risk{URL: b.URL, Name: b.Name, Message: b.Message, MatchingRules: b.MatchingRules}
}

// Suggestions say which versions a new release may be upgraded from, by architecture;
// "default" are those of all others.
type Suggestions struct {
	source
	// Minor is X.Y, the file's name.
	Minor  string
	ByArch map[string]Suggestion
}

// Suggestion are ranges of versions: of the minor version before, and of its own. Both
// ends are included.
type Suggestion struct {
	MinorMin       string   `json:"minor_min"`
	MinorMax       string   `json:"minor_max"`
	MinorBlockList []string `json:"minor_block_list"`
	ZMin           string   `json:"z_min"`
	ZMax           string   `json:"z_max"`
	ZBlockList     []string `json:"z_block_list"`
}

// Rules are what the folder declares, for graph.Compile. versions are all that are known,
// which risks over ranges are applied to.
func (d *Data) Rules(versions []string) graph.Rules {
	rules := graph.Rules{Metadata: d.Metadata}
	for _, c := range d.Channels {
		rules.Channels = append(rules.Channels, graph.Channel{Name: c.Name, Versions: c.Versions})
	}
	for i := range d.Blocks {
		b := &d.Blocks[i]
		rules.Blocks = append(rules.Blocks, graph.Block{To: b.To, From: b.pattern, Risk: b.Risk(), Reason: b.file})
	}
	known := parseVersions(versions)
	for i := range d.Risks {
		rules.Blocks = append(rules.Blocks, d.Risks[i].blocks(known)...)
	}
	return rules
}

// Compile makes the update graph of releases as the folder declares it.
func (d *Data) Compile(releases []graph.Release) (*graph.Snapshot, error) {
	versions := make([]string, 0, len(releases))
	for _, r := range releases {
		versions = append(versions, r.Version)
	}
	return graph.Compile(releases, d.Rules(versions))
}

// What those who write files of a folder need to know.
const (
	NewSchema  = "1.1.0" // of a folder that is begun
	SchemaFile = versionFile
	RisksDir   = risksDir
	BlocksDir  = blocksDir
)

// Named are the files that declare a risk by this name: one over ranges, or blocked edges.
func (d *Data) Named(risk string) []string {
	var files []string
	for _, b := range d.Blocks {
		if b.Name == risk {
			files = append(files, b.file)
		}
	}
	for _, r := range d.Risks {
		if r.Metadata.Name == risk {
			files = append(files, r.file)
		}
	}
	return files
}

// Has says whether the folder has a file.
func (d *Data) Has(file string) bool {
	_, ok := d.files[file]
	return ok
}

// Versions are those that the channels name, without architectures, by semver.
func (d *Data) Versions() []string { return newKnowledge(d).versions }

// Held are the versions, of those given, whose upgrades a risk or file of this name
// concerns.
func (d *Data) Held(name string, versions []string) []string {
	var all []string
	for _, b := range d.Blocks {
		if b.Name == name || b.file == name {
			all = append(all, b.To)
		}
	}
	parsed := parseVersions(versions)
	for i := range d.Risks {
		if r := &d.Risks[i]; r.Metadata.Name == name || r.file == name {
			all = append(all, r.held(parsed)...)
		}
	}
	slices.SortFunc(all, compareVersions)
	return slices.Compact(all)
}

// FixedIn are the changes by which a risk ends before a version: that is written down
// where it is declared, and what concerned later versions goes. Comments stay.
func (d *Data) FixedIn(name, version string) (map[string][]byte, error) {
	fixed, err := semver.Parse(version)
	if err != nil {
		return nil, fmt.Errorf("reading the version in which risk %q is fixed: %w", name, err)
	}
	changes := map[string][]byte{}
	for _, r := range d.Risks {
		if r.Metadata.Name != name {
			continue
		}
		r.FixedIn = version
		if changes[r.file], err = withFixedIn[Risk](d.files[r.file], version, r.Marshal); err != nil {
			return nil, err
		}
	}
	for _, b := range d.Blocks {
		if b.Name != name {
			continue
		}
		to, err := semver.Parse(b.To)
		if err == nil && to.GE(fixed) {
			changes[b.file] = nil
			continue
		}
		b.FixedIn = version
		if changes[b.file], err = withFixedIn[Block](d.files[b.file], version, b.Marshal); err != nil {
			return nil, err
		}
	}
	return changes, nil
}

// DeclaredRisk is a risk by its name, and the versions whose upgrades bear it.
type DeclaredRisk struct {
	Name string
	// To are VERSION or VERSION+ARCH, of those known.
	To []string
	// FixedIn is "" while it is not fixed.
	FixedIn string
}

// Declared are the risks that edges bear, among the versions that are known. Blocks that
// are fixed in different versions stand there one by one.
func (d *Data) Declared(versions []string) []DeclaredRisk {
	var all []DeclaredRisk
	for _, b := range d.Blocks {
		if b.Conditional() {
			all = append(all, DeclaredRisk{b.Name, []string{b.To}, b.FixedIn})
		}
	}
	parsed := parseVersions(versions)
	for i := range d.Risks {
		if r := &d.Risks[i]; !r.Block {
			all = append(all, DeclaredRisk{r.Metadata.Name, r.held(parsed), r.FixedIn})
		}
	}
	return all
}
