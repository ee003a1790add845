// Package extract takes things out of payloads: the files of release-manifests/ as
// they are, those that a cluster of some kind would apply, client tools for several
// platforms out of the component images, and the sources that the components were
// built from.
//
// Whatever comes out of an image gets a place below the folder it was asked for,
// under a plain name. It is written beside that place first and moved there when
// all of it is well, so that a failure leaves nothing half-done under a final name.
package extract
