// Package releasetest makes what tests of the payload toolchain work on: a
// generated set of component images of any size in any registry, and payload
// images written by hand in the format of `oc adm release new`, broken and
// hostile ones included.
//
// Nothing here uses the code that reads or makes payloads, so that it can be
// tested with this.
package releasetest
