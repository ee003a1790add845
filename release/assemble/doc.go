// Package assemble makes the payload image of a release out of its component
// images: it harvests their manifests, puts pinned images and versions in place, checks the
// whole, and appends it to a base image as one layer. Same components, version
// and options give the same digest, on any machine and at any time. Nothing is pushed.
package assemble
