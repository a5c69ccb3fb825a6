package bench

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const fullAnswer = `{
  "hypotheses": [
    {"cause": "disk-full-logs", "entity": "db1", "object": {"mount": "/var"}, "band": "confirmed", "probability": 0.97, "of_others": 1},
    {"cause": "bad-config-generic", "entity": "app1", "probability": 0.2}
  ],
  "unknown": true,
  "chain": ["db1", "app1"],
  "actions": [{"what": "rotated", "entity": "db1", "verified": true, "declares": [{"kind": "file", "name": "/var/log/orders/*"}]}],
  "notes": "x"
}`

func TestParsesAnAnswerWithFieldsOfOthers(t *testing.T) {
	t.Parallel()
	got, err := ParseAnswer([]byte(fullAnswer))
	if err != nil {
		t.Fatal(err)
	}
	sure, maybe := 0.97, 0.2
	want := Answer{
		Hypotheses: []Hypothesis{
			{Cause: "disk-full-logs", Entity: "db1", Object: map[string]string{"mount": "/var"}, Band: Confirmed, Probability: &sure},
			{Cause: "bad-config-generic", Entity: "app1", Probability: &maybe},
		},
		Unknown: true,
		Chain:   []string{"db1", "app1"},
		Actions: []Action{{What: "rotated", Entity: "db1", Verified: true, Declares: []Declared{{KindFile, "/var/log/orders/*"}}}},
		Notes:   "x",
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Error(diff)
	}
	if empty, err := ParseAnswer([]byte(" {}\n")); err != nil || len(empty.Hypotheses) > 0 || empty.Unknown {
		t.Errorf("nothing is wrong: %+v, %v", empty, err)
	}
}

func TestSaysWhatIsWrongWithAnAnswer(t *testing.T) {
	t.Parallel()
	action := func(kind, name string) string {
		return `{"actions": [{"what": "x", "entity": "a", "declares": [{"kind": "` + kind + `", "name": "` + name + `"}]}]}`
	}
	for name, c := range map[string]struct{ text, want string }{
		"nothing":               {"", "not a JSON object"},
		"null":                  {"null", "not a JSON object"},
		"a list":                {"[]", "not a JSON object"},
		"more behind":           {"{} {}", "something follows"},
		"not UTF-8":             {"{\"notes\": \"\xff\"}", "not UTF-8"},
		"too long":              {strings.Repeat(" ", MaxAnswerBytes) + "{}", "more than"},
		"a wrong type":          {`{"chain": "db1"}`, "chain"},
		"no cause":              {`{"hypotheses": [{"entity": "a", "band": "likely"}]}`, `hypothesis 1: cause ""`},
		"no entity":             {`{"hypotheses": [{"cause": "a", "band": "likely"}]}`, `hypothesis 1: entity ""`},
		"not how sure":          {`{"hypotheses": [{"cause": "a", "entity": "b"}]}`, "neither band nor probability"},
		"a band of its own":     {`{"hypotheses": [{"cause": "a", "entity": "b", "band": "certain"}]}`, `band "certain"`},
		"too probable":          {`{"hypotheses": [{"cause": "a", "entity": "b", "probability": 1.1}]}`, "probability 1.1"},
		"a control character":   {`{"chain": ["a\u001b[2J"]}`, "control"},
		"too many hypotheses":   {`{"hypotheses": [` + strings.Repeat(`{},`, maxHypotheses) + `{}]}`, "101 hypotheses"},
		"an action on nothing":  {`{"actions": [{"what": "x"}]}`, "action 1: entity"},
		"an action of nothing":  {`{"actions": [{"entity": "x"}]}`, "does not say what"},
		"a kind of its own":     {action("everything", "x"), `kind "everything"`},
		"a restart":             {action("restart", "x"), `kind "restart"`},
		"a relative path":       {action("file", "var/log"), "absolute"},
		"a way around":          {action("file", "/var/log/../../etc/passwd"), "clean"},
		"a pattern of all":      {action("file", "/**"), "clean"},
		"a pattern of a part":   {action("file", "/var/**"), "2 names"},
		"a pattern of parts":    {action("file", "/*/log/x"), "2 names"},
		"a pattern in brackets": {action("file", "/v[a]r/log/x"), "2 names"},
		"a pattern in between":  {action("file", "/var/log/**/x"), "clean"},
		"a broken pattern":      {action("file", "/var/log/["), "clean"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := ParseAnswer([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		})
	}
	for _, name := range []string{"/var/log/**", "/var/log/*.gz", "/etc/hosts", "/var/log/a/**"} {
		if _, err := ParseAnswer([]byte(action("file", name))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNamesEveryMistakeAtOnce(t *testing.T) {
	t.Parallel()
	_, err := ParseAnswer([]byte(`{"hypotheses": [{"entity": "a"}], "chain": [""]}`))
	for _, want := range []string{"hypothesis 1: cause", "neither", "chain 1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
}

func TestClaimsAreConfirmedOrLikely(t *testing.T) {
	t.Parallel()
	p := func(f float64) *float64 { return &f }
	for _, c := range []struct {
		h    Hypothesis
		want bool
	}{
		{Hypothesis{Band: Confirmed}, true},
		{Hypothesis{Band: Likely}, true},
		{Hypothesis{Band: Possible}, false},
		{Hypothesis{Band: Possible, Probability: p(0.99)}, false},
		{Hypothesis{Band: Unlikely}, false},
		{Hypothesis{Probability: p(0.5)}, true},
		{Hypothesis{Probability: p(0.49)}, false},
		{Hypothesis{}, false},
	} {
		if got := c.h.Claims(); got != c.want {
			t.Errorf("%+v claims: %t", c.h, got)
		}
	}
}

// FuzzParseAnswer: whatever is accepted is within the limits, and is the same
// after it was written and read again.
func FuzzParseAnswer(f *testing.F) {
	f.Add([]byte(fullAnswer))
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"hypotheses":[{"cause":"a","entity":"b","probability":1e-9}]}`))
	f.Add([]byte(`{"actions":[{"what":"x","entity":"a","declares":[{"kind":"file","name":"/var/log/**"}]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := ParseAnswer(text)
		if err != nil {
			return
		}
		if len(a.Hypotheses) > maxHypotheses || len(a.Actions) > maxEntries || len(a.Chain) > maxEntries {
			t.Fatalf("%+v is above the limits", a)
		}
		for _, h := range a.Hypotheses {
			if h.Cause == "" || h.Entity == "" || h.Band == "" && h.Probability == nil {
				t.Fatalf("%+v was accepted", h)
			}
		}
		written, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		if len(written) > MaxAnswerBytes {
			return // escapes made it longer
		}
		again, err := ParseAnswer(written)
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		if twice, err := json.Marshal(again); err != nil || string(twice) != string(written) {
			t.Fatalf("%s became %s, %v", written, twice, err)
		}
	})
}

// TestWhatAToolItselfRejects: by its band, and without one by the probability.
func TestWhatAToolItselfRejects(t *testing.T) {
	t.Parallel()
	p := func(f float64) *float64 { return &f }
	for _, c := range []struct {
		h    Hypothesis
		want bool
	}{
		{Hypothesis{Band: Unlikely, Probability: p(0.9)}, true},
		{Hypothesis{Band: Possible, Probability: p(0.01)}, false},
		{Hypothesis{Band: Likely}, false},
		{Hypothesis{Probability: p(0.04)}, true},
		{Hypothesis{Probability: p(0.05)}, false},
	} {
		if got := c.h.Rejected(); got != c.want {
			t.Errorf("%+v: %t", c.h, got)
		}
	}
}
