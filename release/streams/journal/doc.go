// Package journal keeps what was done about the payloads of a stream: cuts with the
// declaration they were made under, decisions by hand, pins, freezes and requests. It
// lies in the registry, an artifact for each stream, so that a controller that starts on
// an empty disk, or elsewhere, goes on where the last one stood.
//
// The journal says what is to be done. Whether a payload was accepted is not believed
// from it, but from signed evidence beside the payload.
package journal
