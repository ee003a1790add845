// Package mirror copies a release, whole, from one place to another: registry to
// registry, to an OCI layout, to one archive or a series of them, and back.
//
// Whole means the payload, every component image it names, all platforms of
// each, and what was said about any of them: signatures, attestations and bills
// of materials, whether cosign keeps them under the tags sha256-<hex>.sig, .att
// and .sbom or they refer to their subject as OCI 1.1 has it, and what was said
// about those. Manifests travel as the bytes they are; no digest changes.
//
// What a place has already is not copied again, which its digest decides; so a
// run that was killed is carried on by starting it again. The payload gets its
// tag last, when everything it names is there. The package keeps no state of its
// own beside what it copies.
package mirror
