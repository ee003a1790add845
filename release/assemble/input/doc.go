// Package input reads what a release is to be made of: an ImageStream, a folder
// of extracted components, another payload, and mappings laid over any of them.
// It yields components for package assemble, each pinned by digest in the end.
package input
