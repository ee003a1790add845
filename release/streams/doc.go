// Package streams decides about releases: which checks a stream's payloads must
// pass, what an upgrade may cost, and which payloads were accepted before. Decisions are
// pure functions of evidence and policy. The package neither gathers evidence nor stores decisions.
package streams
