// Package deliver writes an assembled payload to where it is wanted: registries,
// OCI layouts, archives, plain folders, the bare layer, and the claim that a signature will be about.
// Nothing is seen under its final name before it is whole.
package deliver
