// Package ocitest serves a real registry to tests, counts what is asked of it,
// and makes it fail in the ways that registries and networks fail.
//
//	s := ocitest.Registry(t, ocitest.Fault{
//		On:    ocitest.Match{Method: "GET", Kind: ocitest.Blob},
//		Times: 2,
//		Do:    ocitest.CutAfter(1000),
//	})
//	... push to and read from s.Addr() ...
//	if s.Total(ocitest.Match{Method: "GET", Kind: ocitest.Blob}).Sent > 0 { ... }
//
// The registry is the one that Slipway serves itself. Faults may be added and
// removed while it runs.
package ocitest
