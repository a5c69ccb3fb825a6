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
	p.Preconditions[0].Say, p.Preconditions[0].Values = "the filesystem is nearly full", "used 91 %"
	want := `free-space: Free space
  target    db1
  effect    write, autonomy at most auto
  at worst  2m0s
  input     limit = 85
  input     mount = /var
  locks     db1
  require   yes: the filesystem is nearly full (used 91 %)

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

// What a refusal would say must not stand beside a requirement that holds.
func TestRequirementSaysWhatIsSo(t *testing.T) {
	t.Parallel()
	base := Precondition{That: "dir.bytes > inputs.budget", Because: "the directory is within its budget"}
	for name, c := range map[string]struct {
		edit func(*Precondition)
		want string
	}{
		"it holds": {
			func(c *Precondition) {
				c.Truth, c.Say, c.Values = expr.True, "the directory is over its budget", "dir.bytes = 6.0 MiB"
			},
			"yes: the directory is over its budget (dir.bytes = 6.0 MiB)",
		},
		"it holds, and has no sentence": {
			func(c *Precondition) { c.Truth, c.Values = expr.True, "dir.bytes = 6.0 MiB" }, "yes: dir.bytes > inputs.budget (dir.bytes = 6.0 MiB)",
		},
		"it was stored without its values": {
			func(c *Precondition) { c.Truth, c.Why = expr.True, "dir.bytes > inputs.budget is true" }, "yes: dir.bytes > inputs.budget",
		},
		"it does not hold": {
			func(c *Precondition) {
				c.Truth, c.Say, c.Values = expr.False, "the directory is over its budget", "dir.bytes = 1.0 MiB"
			},
			"no: the directory is within its budget (dir.bytes = 1.0 MiB)",
		},
		"it cannot be told": {
			func(c *Precondition) {
				c.Truth, c.Why = expr.CannotTell, "dir.bytes > inputs.budget cannot be told: denied"
			},
			"cannot tell: dir.bytes > inputs.budget cannot be told: denied",
		},
		"a truth that is none": {func(c *Precondition) { c.Truth = "perhaps" }, "cannot tell: dir.bytes > inputs.budget"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one := base
			c.edit(&one)
			if got := one.Answer() + ": " + one.Sentence(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
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
