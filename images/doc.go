// Package images makes the component images of a distribution from recipes, in
// three steps that hand on values: Lock pins every input, NewPlan works out what
// there is to do, and Build does what is not done yet and pushes the images.
//
// It needs no container engine: programs come from the Go and C compilers, root
// file systems from Debian's mmdebstrap, and the images are written here, so
// that the same lock gives the same bytes anywhere. It neither reads
// configuration files, which package distros does, nor knows what a release is.
package images
