// Package lint judges the manifests of a release before a cluster has to.
//
// Every rule has a stable id and name, a level, and a text that says why it exists and how its
// findings are mended; docs/lint.md is made of these texts. A finding that is
// known and meant is excepted by a file or by an annotation of its object, with a
// reason and the last day on which that holds. Everything is reported at once, for
// people, as JSON, or as SARIF 2.1.0.
package lint
