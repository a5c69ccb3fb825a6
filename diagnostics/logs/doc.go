// Package logs says what is new in the lines of a log: it groups lines that
// differ only in their parameters under templates (Drain) and compares how
// often each was seen in an incident and in a baseline before it (Compare).
//
// It reads nothing and has no clock. Lines are hostile input, and examples of
// them are part of the result: redact them before.
//
// The one thing to know: no more is kept than the limits say. What was lost to
// one is counted in the result, and a finding that rests on it is marked Unsure.
//
// Drain is of He, Zhu, Zheng and Lyu, "Drain: An Online Log Parsing Approach
// with Fixed Depth Tree", ICWS 2017; what differs here is said at Drain.
package logs
