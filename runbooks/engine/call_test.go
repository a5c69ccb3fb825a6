package engine_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/runbooks"
)

const caller = `
  limits: {deadline: 24h, locks: [host]}
  probes:
    one: {probe: file.lines, with: {path: DIR/one}}
    five: {probe: file.lines, with: {path: DIR/five}}
  steps:
    - %s
    - {id: second, runbook: {name: inner, digest: DIGEST-inner, with: {file: "DIR/two"}}}
    - {id: third, runbook: {name: inner, digest: DIGEST-inner, with: {file: "DIR/three"}}}
  always:
    - {id: end, note: the end of the caller}
=== inner
  limits: {locks: [host, "file/${inputs.file}"]}
  inputs:
    file: {type: path}
  probes:
    lines: {probe: file.lines, with: {path: "${inputs.file}"}}
    after: {probe: file.lines, with: {path: "${inputs.file}-after"}}
  require:
    - {that: lines.n < 5, because: it has been written often}
  steps:
    - {id: look, probe: lines, outputs: {seen: {type: int, from: result.n}}}
    - {id: write, if: outputs.seen == 0, run: [sh, -c, 'echo x >> "$1"', sh, "${inputs.file}"], repeat: {ask: lines.n > 0}, verify: {that: lines.n > 0, within: 1s}, undo: {run: [sh, -c, 'echo x >> "$1"-undone', sh, "${inputs.file}"]}}
  always:
    - {id: after, run: [sh, -c, 'echo x >> "$1"-after', sh, "${inputs.file}"], repeat: {ask: after.n > 0}, verify: {that: after.n > 0, within: 1s}, undo: none}
`

func TestACalledRunbookHasInputsOutputsAndReadingsOfItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fmt.Sprintf(caller, writes("first", "one")))
	p := w.plan()
	if want := []string{"host/here", "file/" + w.dir + "/two", "file/" + w.dir + "/three"}; !slices.Equal(p.Locks, want) || len(p.Preconditions) != 2 {
		t.Errorf("locks %q, preconditions %+v", p.Locks, p.Preconditions)
	}
	res := w.run(t.Context())
	want := "first verified, second/look verified, second/write verified, third/look verified, third/write verified, end verified, second/after verified, third/after verified"
	if got := statuses(res); res.Status != runbooks.RunVerified || got != want {
		t.Errorf("%s (%s): %s", res.Status, res.Why, got)
	}
	for _, name := range []string{"one", "two", "three", "two-after", "three-after"} {
		if w.lines(name) != 1 {
			t.Errorf("%s was written %d times", name, w.lines(name))
		}
	}
}

func TestWhatACalledRunbookRequiresIsAskedBeforeAnything(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fmt.Sprintf(caller, writes("first", "one")))
	if err := os.WriteFile(w.dir+"/three", []byte("1\n2\n3\n4\n5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p := w.plan(); !strings.Contains(p.Refused, "it has been written often") {
		t.Errorf("refused %q", p.Refused)
	}
	if res := w.run(t.Context()); res.Status != runbooks.RunRefused || w.lines("one") != 0 {
		t.Errorf("%s (%s)", res.Status, res.Why)
	}
}

func TestACalledRunbookThatWasNotBegunIsNotFollowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fmt.Sprintf(caller, "{id: first, run: [sh, -c, 'exit 1'], verify: {that: one.n > 0}, undo: none}"))
	res := w.run(t.Context())
	want := "first refuted, second/look planned, second/write planned, third/look planned, third/write planned, end verified, second/after skipped, third/after skipped"
	if got := statuses(res); res.Status != runbooks.RunRefuted && res.Status != runbooks.RunFailed || !strings.HasSuffix(got, want[len("first refuted"):]) {
		t.Errorf("%s (%s): %s", res.Status, res.Why, got)
	}
	if w.lines("two-after")+w.lines("three-after") != 0 {
		t.Error("what follows the called runbook was done though nothing of it was")
	}
}

func TestWhatACalledRunbookDidIsTakenBackWithTheRest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(fmt.Sprintf(caller, writes("first", "one")), "  always:\n    - {id: end",
		"    - {id: fail, run: [sh, -c, 'exit 1'], verify: {that: one.n > 0}, undo: none}\n  always:\n    - {id: end", 1))
	res := w.run(t.Context())
	if w.lines("two-undone") != 1 || w.lines("three-undone") != 1 || w.lines("one-undone") != 1 || w.lines("two-after") != 1 {
		t.Errorf("%s (%s): %s", res.Status, res.Why, statuses(res))
	}
}

func TestACallInABranchThatIsNotTakenNeedsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `
  probes:
    one: {probe: file.lines, with: {path: DIR/one}}
  steps:
    - id: way
      choose:
        - {if: one.n > 0, steps: [{id: call, runbook: {name: inner, digest: DIGEST-inner}}]}
        - {steps: [{id: said, note: nothing}]}
=== inner
  inputs:
    unit: {type: unit, from: hypothesis.object.unit}
  steps:
    - {id: look, note: "${inputs.unit}"}
`)
	if res := w.run(t.Context()); res.Status != runbooks.RunVerified || statuses(res) != "call/look skipped, said verified" {
		t.Errorf("%s (%s): %s", res.Status, res.Why, statuses(res))
	}
}

func TestForeachCallsARunbookForEachElement(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(fmt.Sprintf(caller, writes("first", "one")), "    - {id: second, runbook: {name: inner, digest: DIGEST-inner, with: {file: \"DIR/two\"}}}\n", `
    - id: every
      foreach: {as: name, type: string, in: '["two", "four"]', max: 3, at_once: 2}
      steps: [{id: call, runbook: {name: plain, digest: DIGEST-plain, with: {file: "DIR/${each.name}"}}}]
`, 1)+`
=== plain
  inputs:
    file: {type: path}
  probes:
    lines: {probe: file.lines, with: {path: "${inputs.file}"}}
  steps:
    - {id: look, probe: lines, outputs: {seen: {type: int, from: result.n}}}
    - {id: write, if: outputs.seen == 0, run: [sh, -c, 'echo x >> "$1"', sh, "${inputs.file}"], verify: {that: lines.n > 0, within: 1s}, undo: none}
`)
	res := w.run(t.Context())
	if res.Status != runbooks.RunVerified || w.lines("two") != 1 || w.lines("four") != 1 || !strings.Contains(statuses(res), "call.2/write verified") {
		t.Errorf("%s (%s): %s", res.Status, res.Why, statuses(res))
	}
}

func TestKilledAnywhereACalledRunbookDoesNothingTwice(t *testing.T) {
	t.Parallel()
	crashes(t, fmt.Sprintf(caller, writes("first", "one")), func(t *testing.T, w *world, res runbooks.RunResult) {
		if res.Status != runbooks.RunVerified {
			t.Errorf("%s (%s): %s", res.Status, res.Why, statuses(res))
		}
		for _, name := range []string{"one", "two", "three", "two-after", "three-after"} {
			if w.lines(name) != 1 {
				t.Errorf("%s was written %d times", name, w.lines(name))
			}
		}
	})
}
