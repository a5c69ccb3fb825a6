// Package causes holds the shipped catalogue: one YAML file for each cause,
// embedded, with recorded cases in testdata. It decides nothing. The numbers
// of the evidence are judgements until the lab calibrates them; the order they
// give, and that decoys are told apart, is what the recorded cases test.
package causes

import (
	"embed"
	"io/fs"
)

//go:embed *.yaml
var files embed.FS

// FS returns the cause files, for diagnostics.LoadCatalogue.
func FS() fs.FS { return files }
