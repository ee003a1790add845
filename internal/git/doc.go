// Package git reads repositories that others name: it keeps bare copies of them
// without file contents, asks them about commits, and checks commits out.
//
// The git command does the work. It is started so that it asks nobody for a
// password, runs no hook and no filter, and speaks no protocol but those that
// the caller allows. What a repository is named never becomes an option, a
// path or a command.
package git
