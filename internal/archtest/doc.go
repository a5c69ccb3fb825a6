// Package archtest holds the rules of the code's architecture as tests: who may
// import whom, what only some packages may use, one doc for each package, files
// of a size that can be read, and a reason for each dependency. It parses the
// files itself: a rule that asked "go list" would be served from the test cache
// after the files had changed, because go test notices only files that the test
// process itself has opened.
//
// The linters check some of it again. These tests need nothing installed.
package archtest
