// Package changelog tells what came into a release: the changes in the histories
// of the repositories that its components are built from, between what the older
// payload says was built and what the newer one says.
//
// Only lines of first parents are read, for each of their commits is one change
// that somebody let in: a merge, a squashed pull request, or a commit made
// directly. What a component's history does not tell, because it cannot be read,
// was rewritten, or goes back in time, is said and not left out.
package changelog
