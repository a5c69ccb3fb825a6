package runbooks

import (
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/internal/expr"
)

func TestRender(t *testing.T) {
	t.Parallel()
	p := testPlan()
	p.Steps = append(p.Steps, PlannedStep{ID: "later", Action: "unit", Effect: Write, Skipped: "if is false"})
	p.Refused, p.Digest = "the symptom is gone", "sha256:abc"
	want := `free-space: Free space
  target    db1
  effect    write, autonomy at most auto
  at worst  2m0s
  input     limit = 85
  input     mount = /var
  locks     db1
  require   used > 85: true (used 91 %)

1. rotate (run, write)
   run       logrotate /etc/x
   as        root
   preserve  journal
   verify    used 91 % < 85 %
   undo      none
   time-out  1m0s
   | -old
   | +new

2. later (unit, write): skipped, if is false

REFUSED: the symptom is gone

plan sha256:abc
`
	if diff := cmp.Diff(want, p.Render()); diff != "" {
		t.Errorf("rendered (-want +got):\n%s", diff)
	}
}

// hostile moves the cursor, rings, turns the writing, pretends to be a line.
const hostile = "a\x1b[2Jb\r\nplan sha256:fake\x07\u202e\u2028\u009b\xff\tc"

func TestRenderIsSafeForTerminals(t *testing.T) {
	t.Parallel()
	p := Plan{
		Runbook: hostile, Title: hostile, Target: hostile, Inputs: map[string]string{hostile: hostile}, Refused: hostile, Digest: hostile,
		Preconditions: []Precondition{{That: hostile, Truth: expr.Truth(hostile), Why: hostile}}, Locks: []string{hostile},
		Steps: []PlannedStep{
			{ID: hostile, Action: hostile, Argv: []string{hostile}, As: hostile, Diff: hostile + "\n" + hostile, Preserve: []string{hostile}, Verify: hostile, Undo: hostile},
			{ID: hostile, Skipped: hostile},
		},
	}
	text := p.Render()
	for _, r := range text {
		if r != '\n' && !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			t.Errorf("%U came through", r)
		}
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "plan sha256:fake") {
			t.Errorf("a value made the line %q", line)
		}
	}
}
