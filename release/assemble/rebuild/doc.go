// Package rebuild assembles a payload once more from what it says it was made
// of, and shows what differs: file by file, header by header, layer by layer.
package rebuild
