package graph

// Release is a published payload and what it says about itself.
type Release struct {
	// Version is semver, without an architecture.
	Version string
	// Arch is that of its nodes as Go names it, or "multi".
	Arch string
	// Payload is the pull spec, by digest.
	Payload string
	// Previous are versions that may upgrade to it, Next those that it may upgrade to.
	// Versions that are not among the releases are no mistake.
	Previous, Next []string
	// Metadata is passed on to clusters, but for instructions (see the keys below).
	Metadata map[string]string
}

// Keys of metadata that are instructions. Those that name versions hold a list of them,
// separated by commas. Source:
// https://github.com/openshift/cincinnati/blob/master/docs/user/plugins.md
const (
	keyPrefix      = "io.openshift.upgrades.graph."
	keyManifest    = keyPrefix + "release.manifestref"
	keyRemove      = keyPrefix + "release.remove"        // "true" leaves the release out
	keyArch        = keyPrefix + "release.arch"          // not passed on
	keyPrevAdd     = keyPrefix + "previous.add"          // more of Previous
	keyNextAdd     = keyPrefix + "next.add"              // more of Next
	keyPrevRemove  = keyPrefix + "previous.remove"       // not these; "*" none
	keyNextRemove  = keyPrefix + "next.remove"           // not these; "*" none
	keyPrevRemoveR = keyPrefix + "previous.remove_regex" // none in whose VERSION+ARCH it is found
)

// Rules are what people declare about releases.
type Rules struct {
	Channels []Channel
	// Metadata is added to that of releases, by VERSION or VERSION+ARCH and key: behind a
	// comma where there is a value already.
	Metadata map[string]map[string]string
	Blocks   []Block
	Rollouts []Rollout
}

// Channel is a set of versions.
type Channel struct {
	Name string
	// Versions are each VERSION, for all architectures, or VERSION+ARCH.
	Versions []string
}

// Block holds back edges to a version.
type Block struct {
	// To is VERSION, for all architectures, or VERSION+ARCH.
	To string
	// From chooses the versions that the edges come from, as VERSION+ARCH.
	From Matcher
	// Risk is borne by the edges; with none they are not offered at all.
	Risk *Risk
	// Reason tells people where that was said, e.g. a file's name.
	Reason string
}

// Matcher chooses strings; a pointer to a regexp.Regexp is one. Equal matchers choose
// the same.
type Matcher interface{ MatchString(string) bool }
