// Package runbooks is the language of cures: it parses and checks runbooks and
// says what a plan, a step and a run are. It does not act; runbooks/engine
// does, through the actions in runbooks/actions.
package runbooks
