// Package expr is the one expression language: CEL, with a cost limit, typed
// against declared fields, and with three-valued outcomes. An expression reads
// what it is given and nothing else: no files, no network, no clock.
//
// Whatever goes wrong while an expression is evaluated (a key that is not
// there, a division by zero, a value of another type than declared, the cost
// limit, a context that ended) is CannotTell with its reason, unless the rest of
// the expression decides without it: `false && x` is false whatever x is.
package expr
