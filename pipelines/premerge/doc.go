// Package premerge tells, before a change is merged, whether it would break the
// availability of a cluster that is upgraded to it or back.
//
// A change is other folders or images for some components of a release. It is laid
// over a release that was accepted. What needs no cluster is judged first, from the
// manifests alone and in seconds; then what changed is built, and a cluster is upgraded
// into the change and out of it again while it is measured. In the end stands what the
// change did that is most likely responsible for what was lost.
package premerge
