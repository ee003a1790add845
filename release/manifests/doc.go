// Package manifests reads and changes the Kubernetes manifests of a release.
//
// It parses every document of a file, puts pinned images and versions in place of
// what the sources say while all other bytes stay as they are, reports images that are
// unpinned or foreign to the payload, and orders manifests by run level the way the
// cluster-version operator does. It does not talk to clusters.
package manifests
