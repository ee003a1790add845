// Package sign signs what Slipway releases, attaches signed statements about
// it, and verifies both, offline and without trusting the registry.
//
// A payload's digest is signed the way cosign v2 does it: a claim in the
// simple-signing format, stored under the tag sha256-<hex>.sig. The claim binds
// version, stream and architecture to the digest. Statements are in-toto v1,
// stored as sigstore bundles v0.3 that refer to the digest (OCI 1.1 referrers);
// the older layout under the tag sha256-<hex>.att is read, and written on demand.
// Keys come from files, the environment or key management services (package
// kms links those); without keys, an identity signs by a certificate and a log
// entry. The cosign command verifies what this package signs:
//
//	cosign verify --key cosign.pub --insecure-ignore-tlog --trusted-root trusted-root.json REF
//	cosign verify-attestation --new-bundle-format --key cosign.pub --insecure-ignore-tlog \
//	    --trusted-root trusted-root.json --type TYPE REF
//
// --trusted-root, with the file that stands beside the keys, keeps cosign from
// asking the public sigstore for roots that a key pair does not need.
//
// Once anything was attested to a digest, cosign 2.6 takes the statements for the
// signature and leaves the claim alone, -a included. Verify here always checks
// the claim.
//
// Package openpgp has the signatures that OpenShift's clusters know, and package
// policy decides from all of them whether a payload is trusted. What a release
// must have evidence of to be accepted into a stream is the business of package
// streams.
package sign
