// Package catalogue keeps which commit of a Git repository the controller's
// causes and runbooks come from: it fetches a commit, lays its files into the
// data folder, and remembers the last ones that were in force. It does not judge
// what is in the files; whoever pins a commit has linted it.
//
// The one thing to know: the controller takes only what is pinned, and only as
// long as its files have the digest that was pinned. A branch that moves on
// changes nothing until somebody pulls.
package catalogue
