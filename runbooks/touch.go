package runbooks

import (
	"fmt"
	"path"
	"slices"
	"unicode/utf8"
)

// Touch is one thing of the target that a step may change. What a step touches
// is shown before anybody says yes, is part of the plan's digest, and is what its
// harm is measured against: anything else that changed was not meant to.
type Touch struct {
	Kind TouchKind `json:"kind"`
	Name string    `json:"name"`
}

// TouchKind is what is touched.
type TouchKind string

// The kinds, and what Name is then.
const (
	TouchFile     TouchKind = "file"     // an absolute path; * and ? match within one name
	TouchUnit     TouchKind = "unit"     // a unit, with its processes
	TouchProcess  TouchKind = "process"  // the path of a program, or a process id
	TouchMount    TouchKind = "mount"    // a mount point
	TouchSysctl   TouchKind = "sysctl"   // a key with dots
	TouchPackage  TouchKind = "package"  // the name of a package
	TouchUser     TouchKind = "user"     // the name of an account
	TouchService  TouchKind = "service"  // what is reached by a URL
	TouchDatabase TouchKind = "database" // a database, as its client names it
)

// MaxTouches bounds what one step names; MaxParts of files and some more.
const MaxTouches = MaxParts + 100

// TouchKinds lists the kinds.
func TouchKinds() []TouchKind {
	return []TouchKind{TouchFile, TouchUnit, TouchProcess, TouchMount, TouchSysctl, TouchPackage, TouchUser, TouchService, TouchDatabase}
}

// String is the touch in two words.
func (t Touch) String() string { return string(t.Kind) + " " + t.Name }

// Validate refuses a touch that names nothing in particular.
func (t Touch) Validate() error {
	switch {
	case !slices.Contains(TouchKinds(), t.Kind):
		return fmt.Errorf("nothing of kind %q can be touched", t.Kind)
	case t.Name == "" || !utf8.ValidString(t.Name):
		return fmt.Errorf("%q is no name of a %s", t.Name, t.Kind)
	case (t.Kind == TouchFile || t.Kind == TouchMount) && (!path.IsAbs(t.Name) || path.Clean(t.Name) != t.Name):
		return fmt.Errorf("%q is not a clean absolute path", t.Name)
	}
	return nil
}
