// Package openpgp makes, stores, finds and verifies the signatures by which
// OpenShift's and OKD's clusters know releases: a claim of the form "atomic
// container signature" in JSON, signed as an OpenPGP inline message.
//
//	{"critical":{"type":"atomic container signature",
//	             "image":{"docker-manifest-digest":"sha256:…"},
//	             "identity":{"docker-reference":"registry.example.com/skiff/release:1.36.3-0.nightly-2026-11-20-101500"}},
//	 "optional":{"creator":"slipway (stream=nightly; architecture=amd64)","timestamp":1795000000}}
//
// Clusters refuse fields they do not know, so what Slipway binds to a digest
// stands in those there are: the version is the reference's tag, stream and
// architecture are a comment behind the creator's name.
//
// A message lies at <store>/sha256=<hex>/signature-<n>, n from 1 to 9, in a
// directory or behind HTTP; or in a ConfigMap, under the key sha256-<hex>-<n> of
// its binaryData, for clusters that can reach no store.
package openpgp
