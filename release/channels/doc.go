// Package channels keeps what clusters are offered: which versions a channel
// holds and which upgrade between them was proven. A channel is an OCI artifact in the registry,
//
//	<repository>/channels:<name>    one layer of media type MediaType: a State as JSON
//
// and the artifact with tag _intent says which channels change together, so that what was
// broken off is finished.
//
// Promoting adds to it and never rebuilds or renames a payload. Deciding what may be
// promoted is the work of package promotion.
package channels
