// Package inspect says what a payload is: its facts, its components and where they
// come from, their sizes, and whether every byte of them is there.
//
// What it reports has the keys of `oc adm release info -o json`, so that scripts
// move over, and typed fields besides. It decides nothing about trust: signatures
// are the business of package sign. What differs between two payloads is said by
// package compare below it.
package inspect
