// Package policy decides whether a payload is trusted: who must have signed it,
// what must be proven about it by whom and how recently, and which versions,
// streams and architectures are wanted. It looks at everything before it
// answers, so that a refusal names all that is wrong and all that is missing.
//
//	apiVersion: slipway.dev/v1alpha1
//	kind: VerificationPolicy
//	signers:                       # whom the rest of the policy speaks of
//	  release:  {key: cosign.pub}  # file beside the policy, env://NAME, or a key service
//	  previous: {keyPEM: "-----BEGIN PUBLIC KEY-----…"}
//	  workflow: {identity: {subject: "https://…", issuer: "https://…"}, trustedRoot: trusted-root.json}
//	  okd:      {openPGP: okd.asc} # keyring, or openPGPArmor with its text
//	signatures:                    # each must be met
//	- anyOf: [release, previous]   # or allOf, or of with atLeast
//	bind: [version]                # what signatures must claim; version when left out
//	evidence:
//	- predicateType: https://slsa.dev/provenance/v1
//	  signedBy: {anyOf: [release]} # any signer when left out
//	  maxAge: 30d
//	- predicateType: test-result
//	  result: Passed
//	payload:
//	  versions: ">=1.36.0 <2.0.0"
//	  streams: [nightly]
//	  architectures: [amd64, multi]
//	  notBefore: 1.36.3-0.nightly-2026-11-20-101500 # older ones are refused
//	stores: [https://signatures.example.com]        # of OpenPGP messages
//	configMaps: [signatures.yaml]
package policy
