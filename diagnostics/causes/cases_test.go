package causes_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/diagnostics"
)

// recorded is a case: facts with the truth about them.
type recorded struct {
	About   string              `json:"about"`
	Made    string              `json:"made"` // recorded, or written by hand, and after what
	Subject diagnostics.Subject `json:"subject"`
	Want    wanted              `json:"want"`
	Facts   []diagnostics.Fact  `json:"facts"`
}

// wanted is the truth. Every cause besides the wanted one and those that follow
// from it must be below likely.
type wanted struct {
	Cause   string            `json:"cause,omitempty"`
	Object  map[string]string `json:"object,omitempty"`
	Band    diagnostics.Band  `json:"band,omitempty"`
	Unknown bool              `json:"unknown,omitempty"`
	Follows []string          `json:"follows,omitempty"`
}

func (w wanted) allowed() map[string]bool {
	allowed := map[string]bool{w.Cause: true}
	for _, id := range w.Follows {
		allowed[id] = true
	}
	return allowed
}

func loadCases(t *testing.T) map[string]recorded {
	t.Helper()
	cases := map[string]recorded{}
	err := filepath.WalkDir("testdata", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".json" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var c recorded
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		cases[path] = c
		if err := dec.Decode(&c); err != nil {
			return err
		}
		cases[path] = c
		return nil
	})
	if err != nil || len(cases) == 0 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	return cases
}

func TestRecordedCases(t *testing.T) {
	t.Parallel()
	cat, _ := catalogue(t)
	covered := map[string]bool{}
	for file, c := range loadCases(t) {
		covered[c.Want.Cause] = true
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			c.check(t, cat)
		})
	}
	for _, cause := range cat.All() {
		if cause.Diagnosed() && !covered[cause.ID] {
			t.Errorf("%s has no case", cause.ID)
		}
	}
}

// check ranks the facts and compares with the truth.
func (c recorded) check(t *testing.T, cat *diagnostics.Catalogue) {
	t.Helper()
	d := diagnostics.Rank(cat, c.Facts, c.Subject)
	if d.Unknown != c.Want.Unknown {
		t.Errorf("unknown is %v: %s", d.Unknown, d.Why)
	}
	allowed := c.Want.allowed()
	for _, h := range d.Hypotheses {
		if (h.Band == diagnostics.Confirmed || h.Band == diagnostics.Likely) && !allowed[h.Cause] {
			t.Errorf("claims %s %v, %s", h.Cause, h.Object, h.Band)
		}
	}
	if c.Want.Cause == "" {
		return
	}
	if len(d.Hypotheses) == 0 {
		t.Fatalf("no hypotheses: %s", d.NotLookedAt)
	}
	top := d.Hypotheses[0]
	if top.Cause != c.Want.Cause || top.Band != c.Want.Band || !cmp.Equal(top.Object, c.Want.Object) {
		t.Errorf("top is %s %v, %s: %s", top.Cause, top.Object, top.Band, d.Why)
	}
	if !top.Explains {
		t.Error("the cause does not explain the alert")
	}
}

// TestLosingOneFactNeverMakesAWrongCause takes each fact away in turn, as if its
// probe had timed out.
func TestLosingOneFactNeverMakesAWrongCause(t *testing.T) {
	t.Parallel()
	cat, _ := catalogue(t)
	for file, c := range loadCases(t) {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			allowed := c.Want.allowed()
			for i := range c.Facts {
				facts := append([]diagnostics.Fact{}, c.Facts...)
				facts[i].Status, facts[i].Value = diagnostics.TimedOut, nil
				for _, h := range diagnostics.Rank(cat, facts, c.Subject).Hypotheses {
					if h.Band == diagnostics.Confirmed && !allowed[h.Cause] {
						t.Errorf("without %s it confirms %s", c.Facts[i].ID, h.Cause)
					}
				}
			}
		})
	}
}
