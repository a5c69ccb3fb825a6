// Package library holds the runbooks that are shipped with the program. They
// are examples to copy from as well as cures to use; each one is the mildest
// cure of its cause that can be verified, and refuses when the symptom is gone.
package library

import (
	"embed"
	"io/fs"
)

//go:embed *.yaml
var files embed.FS

// FS returns the shipped runbooks, one file each.
func FS() fs.FS { return files }
