// Package release says what a release is: a version, and a payload image that
// names every other image by digest and carries the manifests that make a cluster of them.
//
// The payload is the format that `oc adm release` and the cluster-version
// operator read: the last layer of an image holds the folder release-manifests/ with
//
//	image-references   an ImageStream, one tag for every component
//	release-metadata   version and the versions that may upgrade to it
//	0000_NN_component_file.yaml ...
//
// The package reads and checks payloads. Making them, changing manifests, signing
// and applying them are other packages' work, none of which it imports.
package release

// Names inside a payload image.
const (
	// Directory holds the payload's files, relative to the root of the image.
	Directory = "release-manifests"
	// ReferencesFile and MetadataFile are the two files of it that are not manifests.
	ReferencesFile = "image-references"
	MetadataFile   = "release-metadata"
)

// Labels of payload images.
const (
	LabelRelease    = "io.openshift.release"
	LabelBaseDigest = "io.openshift.release.base-image-digest"
)

// Labels of component images.
const (
	// LabelOperator, when not empty, says that the image's /manifests belong into the payload.
	LabelOperator            = "io.openshift.release.operator"
	LabelCommit              = "io.openshift.build.commit.id"
	LabelCommitRef           = "io.openshift.build.commit.ref"
	LabelSource              = "io.openshift.build.source-location"
	LabelVersions            = "io.openshift.build.versions"
	LabelVersionDisplayNames = "io.openshift.build.version-display-names"
)

// Keys of release metadata that clusters read.
const (
	MetadataURL          = "url"
	MetadataChannels     = "io.openshift.upgrades.graph.release.channels"
	MetadataArchitecture = "release.openshift.io/architecture"
)

// ArchitectureMulti is the value of MetadataArchitecture in every payload of a manifest
// list, and what clusters ask for that are to have such payloads.
const ArchitectureMulti = "multi"
