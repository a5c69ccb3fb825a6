// Package cases holds causes to recorded cases: facts of a host, with the truth
// about it. A case knows what must be found, and with it what must not: every
// other cause is below likely. It reads no host; reading a case is pure but for
// the files.
package cases

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
)

// maxCaseBytes bounds a file: the readings of one host, with room to spare.
const maxCaseBytes = 16 << 20

// Case is facts with the truth about them.
type Case struct {
	About   string              `json:"about"`
	Made    string              `json:"made"` // recorded, or written by hand, and after what
	Subject diagnostics.Subject `json:"subject"`
	Want    Truth               `json:"want"`
	Facts   []diagnostics.Fact  `json:"facts"`
}

// Truth is what a diagnosis of the facts must say.
type Truth struct {
	Cause   string            `json:"cause,omitempty"`
	Object  map[string]string `json:"object,omitempty"`
	Band    diagnostics.Band  `json:"band,omitempty"`
	Unknown bool              `json:"unknown,omitempty"`
	Follows []string          `json:"follows,omitempty"` // causes that follow from it, and may be likely, too
}

// Load reads the cases below a folder: every file *.json, by its path. A field
// that is not known is an error, because a misspelt one would check nothing.
func Load(files fs.FS) (map[string]Case, error) {
	all := map[string]Case{}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".json" {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Size() > maxCaseBytes {
			return fault.New(fault.TooLarge, "case %s has %d bytes, more than %d", name, info.Size(), maxCaseBytes)
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		var c Case
		decode := json.NewDecoder(bytes.NewReader(data))
		decode.DisallowUnknownFields()
		if err := decode.Decode(&c); err != nil {
			return fault.Wrap(fault.Invalid, err, "read case %s", name)
		}
		all[name] = c
		return nil
	})
	return all, err
}

// Check ranks the facts and returns what is not as the truth has it; none when
// all is. A fact that gets lost may leave a cause unfound, and must never
// confirm a wrong one: each is taken away in turn, as if its probe had timed out.
func (c Case) Check(cat *diagnostics.Catalogue) []string {
	problems := c.compare(diagnostics.Rank(cat, c.Facts, c.Subject))
	for i := range c.Facts {
		facts := slices.Clone(c.Facts)
		facts[i].Status, facts[i].Value = diagnostics.TimedOut, nil
		for _, h := range diagnostics.Rank(cat, facts, c.Subject).Hypotheses {
			if h.Band == diagnostics.Confirmed && !c.allows(h.Cause) {
				problems = append(problems, fmt.Sprintf("without %s it confirms %s", c.Facts[i].ID, h.Cause))
			}
		}
	}
	return problems
}

func (c Case) compare(d diagnostics.Diagnosis) []string {
	var problems []string
	if d.Unknown != c.Want.Unknown {
		problems = append(problems, fmt.Sprintf("unknown is %v: %s", d.Unknown, d.Why))
	}
	for _, h := range d.Hypotheses {
		if (h.Band == diagnostics.Confirmed || h.Band == diagnostics.Likely) && !c.allows(h.Cause) {
			problems = append(problems, fmt.Sprintf("claims %s %v, %s", h.Cause, h.Object, h.Band))
		}
	}
	switch {
	case c.Want.Cause == "":
	case len(d.Hypotheses) == 0:
		problems = append(problems, fmt.Sprintf("no hypotheses: %q", d.NotLookedAt))
	default:
		top := d.Hypotheses[0]
		if top.Cause != c.Want.Cause || top.Band != c.Want.Band || !maps.Equal(top.Object, c.Want.Object) {
			problems = append(problems, fmt.Sprintf("the first is %s %v, %s: %s; want %s %v, %s", top.Cause, top.Object, top.Band, d.Why, c.Want.Cause, c.Want.Object, c.Want.Band))
		}
		if !top.Explains {
			problems = append(problems, top.Cause+" does not explain the alert")
		}
	}
	return problems
}

func (c Case) allows(cause string) bool {
	return cause == c.Want.Cause || slices.Contains(c.Want.Follows, cause)
}
