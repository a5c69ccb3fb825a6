package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// writes is a step that adds a line to a file of the world and is true when the
// file has lines. It can be asked whether it happened.
func writes(id, file string) string {
	probe := strings.ReplaceAll(file, "-", "_")
	return fmt.Sprintf("{id: %s, run: [sh, -c, 'echo x >> DIR/%s'], repeat: {ask: %s.n > 0}, verify: {that: %s.n > 0, within: 1s}, "+
		"undo: {run: [sh, -c, 'echo x >> DIR/%s-undone']}}", id, file, probe, probe, file)
}

// flow is a spec whose probes count the lines of files of the same names.
func flow(probes []string, steps string) string {
	text := "  limits: {deadline: 24h}\n  probes:\n"
	for _, name := range probes {
		text += fmt.Sprintf("    %s: {probe: file.lines, with: {path: DIR/%s}}\n", strings.ReplaceAll(name, "-", "_"), name)
	}
	return text + "  steps:\n" + steps
}

func statuses(res runbooks.RunResult) string {
	words := []string{}
	for _, s := range res.Steps {
		words = append(words, s.ID+" "+string(s.Status))
	}
	return strings.Join(words, ", ")
}

func TestTheBranchThatHoldsIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flow([]string{"one", "two", "three"}, `
    - id: way
      choose:
        - {if: one.n > 0, steps: [`+writes("a", "one")+`]}
        - {if: two.n == 0, steps: [`+writes("b", "two")+`]}
        - {steps: [`+writes("c", "three")+`]}
`))
	p := w.plan()
	if p.Steps[0].Skipped == "" || p.Steps[1].Skipped != "" || p.Steps[2].Skipped == "" {
		t.Errorf("planned %+v", p.Steps)
	}
	res := w.run(t.Context())
	if got := statuses(res); res.Status != runbooks.RunVerified || got != "a skipped, b verified, c skipped" || w.lines("two") != 1 || w.lines("one")+w.lines("three") != 0 {
		t.Errorf("%s (%s): %s", res.Status, res.Why, got)
	}
}

func TestABranchThatNobodyApprovedIsNotTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flow([]string{"one", "two"}, `
    - id: first
      run: [sh, -c, 'echo x >> DIR/one']
      verify: {that: one.n > 0, within: 1s}
      undo: none
    - id: way
      choose:
        - {if: one.n == 0, steps: [`+writes("a", "two")+`]}
        - {steps: [`+writes("b", "two")+`]}
`))
	res := w.run(t.Context()) // the first step turns the condition round
	if res.Status != runbooks.RunRefuted || !strings.Contains(res.Why, "way would take another branch than the approved plan") || w.lines("two") != 0 {
		t.Errorf("%s (%s), %d", res.Status, res.Why, w.lines("two"))
	}
}

func TestWhatAStepFindsOutDecidesOnTheWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flow([]string{"one", "two", "three"}, `
    - {id: look, probe: one, outputs: {seen: {type: int, from: result.n}}}
    - `+writes("act", "one")+`
    - id: count
      run: [sh, -c, 'echo "{\"lines\": 7}"; echo x >> DIR/three']
      outputs: {told: {type: int, from: result.json.lines}, words: {type: string, from: result.stdout.trim()}, none: {type: int, from: result.json.missing}}
      verify: {that: three.n > 0}
      undo: none
    - id: way
      choose:
        - {if: outputs.seen > 0, steps: [`+writes("more", "two")+`]}
        - {if: outputs.told == 7, steps: [`+writes("seven", "two")+`]}
        - {steps: [`+writes("other", "two")+`]}
    - {id: said, if: outputs.words.contains("lines"), note: it told}
    - {id: unsaid, if: outputs.told == 8, note: it did not tell}
`))
	p := w.plan()
	if p.Refused != "" {
		t.Fatal(p.Refused)
	}
	for i, want := range map[int]string{3: "outputs.seen > 0", 4: "outputs.told == 7", 5: "no branch before it holds", 6: `outputs.words.contains("lines")`} {
		if p.Steps[i].When != want || p.Steps[i].Skipped != "" {
			t.Errorf("step %s: when %q, skipped %q", p.Steps[i].ID, p.Steps[i].When, p.Steps[i].Skipped)
		}
	}
	res := w.run(t.Context())
	if got := statuses(res); res.Status != runbooks.RunVerified ||
		got != "look verified, act verified, count verified, more skipped, seven verified, other skipped, said verified, unsaid skipped" {
		t.Errorf("%s (%s): %s", res.Status, res.Why, got)
	}
	if got := fmt.Sprint(res.Steps[2].Outputs); !strings.Contains(got, "told:7") || !strings.Contains(got, "no such key") {
		t.Errorf("outputs %s", got)
	}
}

func TestAConditionOnAnOutputThatIsNotThereRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flow([]string{"one", "two"}, `
    - {id: look, if: one.n > 5, probe: one, outputs: {seen: {type: int, from: result.n}}}
    - {id: act, if: outputs.seen > 0, run: [sh, -c, 'echo x >> DIR/two'], verify: {that: two.n > 0}, undo: none}
`))
	res := w.run(t.Context())
	if res.Status != runbooks.RunRefused || w.lines("two") != 0 || !strings.Contains(res.Why, "output of step look") {
		t.Errorf("%s (%s)", res.Status, res.Why)
	}
}

func foreach(atOnce int) string {
	return flow([]string{"all"}, fmt.Sprintf(`
    - id: every
      foreach: {as: name, type: string, in: '["a b", "c", "c", "$(touch x)"]', max: 3, at_once: %d}
      steps:
        - id: act
          run: [sh, -c, 'printf "%%%%s\n" "$1" >> DIR/all', sh, "${each.name}"]
          repeat: {ask: all.n >= 3}
          verify: {that: all.n > 0, within: 1s}
          undo: {run: [sh, -c, 'printf "%%%%s\n" "$1" >> DIR/undone', sh, "${each.name}"]}
`, atOnce))
}

func TestForeachDoesEachElementOnce(t *testing.T) {
	t.Parallel()
	for _, atOnce := range []int{1, 2} {
		w := newWorld(t, foreach(atOnce))
		p := w.plan()
		if len(p.Steps) != 3 || p.Steps[1].ID != "act.2" || p.Steps[0].Each != `name = "a b"` || p.Steps[2].Argv[4] != "$(touch x)" {
			t.Fatalf("planned %+v", p.Steps)
		}
		res := w.run(t.Context())
		w.status(res, runbooks.RunVerified, runbooks.StepVerified, runbooks.StepVerified, runbooks.StepVerified)
		if w.lines("all") != 3 {
			t.Errorf("at once %d: %d lines", atOnce, w.lines("all"))
		}
	}
}

func TestForeachOfTooManyIsNotPlanned(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(foreach(1), "max: 3", "max: 2", 1))
	_, err := engine.Plan(t.Context(), w.machine, w.binding(), w.deps)
	if err == nil || !strings.Contains(err.Error(), "there are 3 elements, more than max: 2") {
		t.Errorf("got %v", err)
	}
}

func TestAListThatChangedIsADrift(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flow([]string{"all"}, `
    - id: every
      foreach: {as: n, type: int, in: 'all.n == 0 ? [1, 2] : [1, 2, 3]', max: 5}
      steps: [{id: act, run: [sh, -c, 'echo x >> DIR/two'], verify: {that: all.n >= 0}, undo: none}]
`))
	digest := w.plan().Digest
	w.setProbes(probes{read: func(string) (map[string]any, error) { return map[string]any{"n": int64(1)}, nil }})
	res, err := engine.Run(t.Context(), w.machine, w.binding(), engine.Approved{Digest: digest}, w.deps)
	if err != nil || res.Status != runbooks.RunRefused || w.lines("two") != 0 {
		t.Errorf("%s (%s), %v", res.Status, res.Why, err)
	}
}

func TestWhatIsBesideARefutedStepIsTakenBackToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flow([]string{"one", "two", "three"}, `
    - id: beside
      parallel:
        - steps: [`+writes("a", "one")+`, {id: hold, wait: {until: one.n > 5, within: 1h}}, `+writes("never", "three")+`]
        - steps: [{id: b, run: [sh, -c, 'echo x >> DIR/two; exit 3'], verify: {that: two.n > 0}, undo: {run: [sh, -c, 'echo x >> DIR/two-undone']}}]
`))
	res := w.run(t.Context())
	if res.Status != runbooks.RunUndone || !strings.Contains(res.Why, "step b was refuted") || w.lines("two-undone") != 1 || w.lines("three") != 0 {
		t.Errorf("%s (%s): %s", res.Status, res.Why, statuses(res))
	}
	if w.lines("one") != w.lines("one-undone") {
		t.Errorf("a acted %d times and was taken back %d times", w.lines("one"), w.lines("one-undone"))
	}
}

// stubborn acts, but its verification holds only from the third line on.
func stubborn(count int) string {
	return flow([]string{"one"}, fmt.Sprintf(`
    - id: act
      run: [sh, -c, 'echo x >> DIR/one']
      repeat: {ask: one.n > 99}
      retry: {count: %d, delay: 10m, backoff: 2}
      verify: {that: one.n >= 3, within: 1s}
      undo: {run: [sh, -c, 'echo x >> DIR/undone']}
`, count))
}

func TestARefutedStepIsTriedAgain(t *testing.T) {
	t.Parallel()
	for count, want := range map[int]struct {
		status runbooks.RunStatus
		lines  int
		waited time.Duration
	}{
		0: {runbooks.RunUndone, 1, 0}, 1: {runbooks.RunUndone, 2, 10 * time.Minute}, 2: {runbooks.RunVerified, 3, 30 * time.Minute}, 5: {runbooks.RunVerified, 3, 30 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			spec := strings.Replace(stubborn(max(count, 1)), "verify", "touches: []\n      verify", 1)
			if count == 0 {
				spec = strings.Replace(spec, "      retry: {count: 1, delay: 10m, backoff: 2}\n", "", 1)
			}
			w := newWorld(t, spec)
			began := time.Now()
			res := w.run(t.Context())
			if res.Status != want.status || w.lines("one") != want.lines || res.Steps[0].Attempts != want.lines || time.Since(began) < want.waited {
				t.Errorf("count %d: %s (%s), %d lines, %d attempts, after %s", count, res.Status, res.Why, w.lines("one"), res.Steps[0].Attempts, time.Since(began))
			}
			if undone := w.lines("undone"); (undone == 1) != (want.status == runbooks.RunUndone) || undone > 1 {
				t.Errorf("count %d: undone %d times", count, undone)
			}
		})
	}
}

// ended is a flow that ends as the step says, with steps behind.
func ended(step string) string {
	return flow([]string{"one", "two", "three", "four"}, "    - "+writes("act", "one")+"\n    - "+step+
		"\n  on_failure:\n    - "+writes("sad", "three")+"\n  always:\n    - "+writes("last", "four")+"\n")
}

func TestWhatFollowsARun(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		step       string
		want       runbooks.RunStatus
		why        string
		undone     int
		onFailure  int
		alwaysDone int
	}{
		"verified":    {"{id: x, note: all is well}", runbooks.RunVerified, "every step was verified", 0, 0, 1},
		"refuted":     {"{id: x, wait: {until: two.n > 0, within: 1s}}", runbooks.RunUndone, "step x was refuted", 1, 1, 1},
		"handed over": {"{id: x, escalate: {to: platform, say: do look}}", runbooks.RunRefuted, "handed over by step x: for platform: do look", 0, 1, 1},
		"refused":     {"{id: x, run: [sh, -c, 'echo x >> DIR/two'], preserve: [log-tail], verify: {that: two.n > 0}, undo: none}", runbooks.RunVerified, "", 0, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, ended(tt.step))
			res := w.run(t.Context())
			if res.Status != tt.want || !strings.Contains(res.Why, tt.why) {
				t.Errorf("%s (%s), want %s (%s)", res.Status, res.Why, tt.want, tt.why)
			}
			if w.lines("one-undone") != tt.undone || w.lines("three") != tt.onFailure || w.lines("four") != tt.alwaysDone {
				t.Errorf("undone %d, on failure %d, always %d", w.lines("one-undone"), w.lines("three"), w.lines("four"))
			}
		})
	}
}

func TestAStoppedRunIsFollowedAndASuspendedOneIsNot(t *testing.T) {
	t.Parallel()
	for _, suspended := range []bool{false, true} {
		w := newWorld(t, ended("{id: x, wait: {until: two.n > 0, within: 1h}}"))
		digest := w.plan().Digest
		ctx, stop := context.WithCancelCause(t.Context())
		w.deps.OnEvent = func(e engine.Event) {
			if e.Step == "x" && e.Status == runbooks.StepVerifying {
				cause := errors.New("somebody said stop")
				if suspended {
					cause = fmt.Errorf("the agent ends: %w", engine.ErrSuspended)
				}
				stop(cause)
			}
		}
		res, err := engine.Run(ctx, w.machine, w.binding(), engine.Approved{Digest: digest}, w.deps)
		if err != nil {
			t.Fatal(err)
		}
		if !suspended {
			if res.Status != runbooks.RunCancelled || w.lines("four") != 1 || w.lines("three") != 1 {
				t.Errorf("stopped: %s (%s), always %d", res.Status, res.Why, w.lines("four"))
			}
			continue
		}
		if res.Status != runbooks.RunRunning || w.lines("four")+w.lines("three") != 0 {
			t.Errorf("suspended: %s (%s), always %d", res.Status, res.Why, w.lines("four"))
		}
		w.deps.OnEvent = nil
		if err := os.WriteFile(w.dir+"/two", []byte("now\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		res, err = engine.Resume(t.Context(), w.machine, w.binding(), engine.Approved{Digest: digest}, w.deps)
		if err != nil || res.Status != runbooks.RunVerified || w.lines("four") != 1 || w.lines("one") != 1 {
			t.Errorf("resumed: %s (%s) %v, always %d", res.Status, res.Why, err, w.lines("four"))
		}
	}
}

// TestKilledAnywhereAFlowDoesNothingTwice kills the agent at every record of a
// run that has every kind of block.
func TestKilledAnywhereAFlowDoesNothingTwice(t *testing.T) {
	t.Parallel()
	files := []string{"one", "two", "three", "four", "five", "six", "seven", "eight"}
	spec := flow(files, `
    - {id: look, probe: one, outputs: {seen: {type: int, from: result.n}}}
    - {id: skip, if: one.n > 9, note: never}
    - id: way
      choose:
        - {if: one.n == 0, steps: [`+writes("a", "one")+`]}
        - {steps: [`+writes("b", "two")+`]}
    - id: late
      choose:
        - {if: outputs.seen == 0, steps: [`+writes("c", "three")+`]}
        - {steps: [`+writes("d", "four")+`]}
    - id: every
      foreach: {as: n, type: string, in: '["five", "six"]', max: 2, at_once: 1}
      steps:
        - {id: each, run: [sh, -c, 'echo x >> DIR/$1', sh, "${each.n}"], repeat: {ask: 'each.n == "five" ? five.n > 0 : six.n > 0'}, verify: {that: 'each.n == "five" ? five.n > 0 : six.n > 0', within: 1s}, undo: none}
    - `+writes("e", "seven")+`
  always:
    - `+writes("last", "eight")+`
`)
	crashes(t, spec, func(t *testing.T, w *world, res runbooks.RunResult) {
		if res.Status != runbooks.RunVerified {
			t.Errorf("%s (%s): %s", res.Status, res.Why, statuses(res))
		}
		for _, name := range files {
			want := 1
			if slices.Contains([]string{"two", "four"}, name) {
				want = 0
			}
			if w.lines(name) != want {
				t.Errorf("%s was written %d times", name, w.lines(name))
			}
		}
	})
}

// killedOn runs until the agent dies on a record of the kind, which is on disk,
// and then resumes.
func killedOn(t *testing.T, w *world, kind engine.RecordKind) runbooks.RunResult {
	t.Helper()
	digest := w.plan().Digest
	w.journal.dieOn, w.journal.written = func(r engine.Record) bool { return r.Kind == kind }, true
	if _, err := engine.Run(t.Context(), w.machine, w.binding(), engine.Approved{Digest: digest}, w.deps); !errors.Is(err, errCrash) {
		t.Fatalf("not killed on %s: %v", kind, err)
	}
	w.journal.revive()
	res, err := engine.Resume(t.Context(), w.machine, w.binding(), engine.Approved{Digest: digest}, w.deps)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestNothingBeginsOnceARunIsTakenBack(t *testing.T) {
	t.Parallel()
	for _, kind := range []engine.RecordKind{engine.RecordLeaving, engine.RecordUndoIntent, engine.RecordUndoOutcome} {
		w := newWorld(t, flow([]string{"one", "two", "three"}, `
    - id: beside
      parallel:
        - steps: [{id: b, run: [sh, -c, 'echo x >> DIR/two; exit 3'], verify: {that: two.n > 0}, undo: {run: [sh, -c, 'echo x >> DIR/two-undone']}}]
        - steps: [{id: look, wait: {until: one.n > 0, within: 1h}}, `+writes("a", "three")+`]
`))
		res := killedOn(t, w, kind)
		if w.lines("three") != 0 || res.Status == runbooks.RunVerified || w.lines("two-undone") > 1 {
			t.Errorf("killed on %s: %s (%s): %s", kind, res.Status, res.Why, statuses(res))
		}
	}
}

func TestWhatIsNotTrueYetIsNotTakenBackByASuspension(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]string{
		"verifying":         "{id: x, wait: {until: two.n > 0, within: 1h}}",
		"between two tries": "{id: x, wait: {until: two.n > 0, within: 1ms}, retry: {count: 1, delay: 1h}}",
	} {
		w := newWorld(t, flow([]string{"one", "two"}, "    - "+writes("act", "one")+"\n    - "+step+"\n"))
		digest := w.plan().Digest
		ctx, stop := context.WithCancelCause(t.Context())
		w.deps.OnEvent = func(e engine.Event) {
			if e.Step == "x" && (e.Status == runbooks.StepVerifying && name == "verifying" || e.Status == runbooks.StepRefuted) {
				stop(fmt.Errorf("the lease lapsed: %w", engine.ErrSuspended))
			}
		}
		res, err := engine.Run(ctx, w.machine, w.binding(), engine.Approved{Digest: digest}, w.deps)
		if err != nil || res.Status != runbooks.RunCancelled || w.lines("one-undone") != 0 {
			t.Errorf("%s: suspended: %s (%s) %v, undone %d", name, res.Status, res.Why, err, w.lines("one-undone"))
		}
		w.deps.OnEvent, w.deps.Sleep = nil, func(context.Context, time.Duration) bool { return true }
		w.setProbes(probes{read: func(string) (map[string]any, error) { return map[string]any{"n": int64(1)}, nil }})
		res, err = engine.Resume(t.Context(), w.machine, w.binding(), engine.Approved{Digest: digest}, w.deps)
		if err != nil || res.Status != runbooks.RunVerified || w.lines("one") != 1 || w.lines("one-undone") != 0 {
			t.Errorf("%s: resumed: %s (%s) %v", name, res.Status, res.Why, err)
		}
	}
}

func TestHandingOverLeavesWhatWasVerified(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flow([]string{"one", "two"}, "    - "+writes("before", "one")+`
    - id: both
      parallel:
        - steps: [{id: hold, wait: {until: two.n > 0, within: 1h}}]
        - steps: [{id: up, escalate: {say: look}}]
`))
	res := w.run(t.Context())
	if res.Status != runbooks.RunRefuted || !strings.Contains(res.Why, "handed over by step up") || w.lines("one-undone") != 0 {
		t.Errorf("%s (%s): %s", res.Status, res.Why, statuses(res))
	}
}

func TestAPanicInABranchIsOneOfTheRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flow([]string{"one", "two"}, `
    - id: both
      parallel:
        - steps: [{id: r, probe: one}]
        - steps: [{id: s, note: hi}]
`))
	digest := w.plan().Digest
	w.setProbes(probes{read: func(string) (map[string]any, error) { panic("a bug in a probe") }})
	defer func() {
		if r := recover(); r != "a bug in a probe" {
			t.Errorf("recovered %v", r)
		}
	}()
	_, _ = engine.Run(t.Context(), w.machine, w.binding(), engine.Approved{Digest: digest}, w.deps)
	t.Error("it was swallowed")
}

func TestWhatFollowsWaitsForASuspendedRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flow([]string{"one", "two", "three"}, "    - "+writes("act", "one")+"\n  always:\n    - "+writes("last", "two")+"\n    - "+writes("after", "three")+"\n"))
	digest := w.plan().Digest
	ctx, stop := context.WithCancelCause(t.Context())
	w.deps.OnEvent = func(e engine.Event) {
		if e.Step == "last" && e.Status == runbooks.StepRunning {
			stop(fmt.Errorf("the lease lapsed: %w", engine.ErrSuspended))
		}
	}
	res, err := engine.Run(ctx, w.machine, w.binding(), engine.Approved{Digest: digest}, w.deps)
	if err != nil || res.Status != runbooks.RunRunning || w.lines("three") != 0 {
		t.Errorf("suspended: %s (%s) %v, after %d", res.Status, res.Why, err, w.lines("three"))
	}
	w.deps.OnEvent = nil
	res, err = engine.Resume(t.Context(), w.machine, w.binding(), engine.Approved{Digest: digest}, w.deps)
	if err != nil || res.Status != runbooks.RunVerified || w.lines("one") != 1 || w.lines("two") != 1 || w.lines("three") != 1 {
		t.Errorf("resumed: %s (%s) %v: %s", res.Status, res.Why, err, statuses(res))
	}
}

func TestWhatCannotBeToldIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(stubborn(2), "delay: 10m", "delay: 0s", 1))
	digest := w.plan().Digest
	w.setProbes(probes{read: func(string) (map[string]any, error) { return nil, errors.New("the probe cannot read") }})
	res, err := engine.Run(t.Context(), w.machine, w.binding(), engine.Approved{Digest: digest}, w.deps)
	if err != nil || res.Status != runbooks.RunUndone || w.lines("one") != 1 {
		t.Errorf("%s (%s) %v: acted %d times", res.Status, res.Why, err, w.lines("one"))
	}
}

func TestBlocksInsideBlocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flow([]string{"one", "two"}, `
    - id: outer
      choose:
        - if: one.n == 0
          steps:
            - id: inner
              choose:
                - {if: two.n == 0, steps: [`+writes("a", "one")+`]}
                - {steps: [`+writes("b", "two")+`]}
`))
	if res := w.run(t.Context()); res.Status != runbooks.RunVerified || w.lines("one") != 1 || w.lines("two") != 0 {
		t.Errorf("%s (%s): %s", res.Status, res.Why, statuses(res))
	}
}

func TestTheLastIsTakenBackFirstWhateverTheClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flow([]string{"one", "two", "three"}, "    - "+writes("a", "one")+"\n    - "+writes("b", "two")+"\n    - {id: x, wait: {until: three.n > 0, within: 1ms}}\n"))
	moved := time.Duration(0)
	w.deps.Now = func() time.Time { return time.Now().Add(moved) }
	var order []string
	w.deps.OnEvent = func(e engine.Event) {
		if e.Step == "a" && e.Status == runbooks.StepVerified {
			moved = -time.Hour
		}
		if e.Status == runbooks.StepUndoing {
			order = append(order, e.Step)
		}
	}
	if res := w.run(t.Context()); res.Status != runbooks.RunUndone || !slices.Equal(order, []string{"b", "a"}) {
		t.Errorf("%s (%s): undone in order %v", res.Status, res.Why, order)
	}
}

func TestOutputsAreTheSameAfterACrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flow([]string{"one", "two"}, `
    - {id: look, probe: one, outputs: {d: {type: duration, from: 'duration("90s")'}, i: {type: int, from: '9007199254740993'}}}
    - {id: act, if: 'outputs.d != duration("90s") || outputs.i != 9007199254740993', run: [sh, -c, 'echo x >> DIR/two'], verify: {that: two.n > 0}, undo: none}
`))
	if res := killedOn(t, w, engine.RecordVerified); res.Status != runbooks.RunVerified || w.lines("two") != 0 {
		t.Errorf("%s (%s): %v", res.Status, res.Why, res.Steps[0].Outputs)
	}
}

func TestAStuckStepIsSaidWhateverEndedTheRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flow([]string{"one", "two"}, `
    - {id: act, run: [sh, -c, 'echo x >> DIR/one'], verify: {that: one.n > 0}, undo: {run: [sh, -c, 'exit 9']}}
    - {id: x, wait: {until: two.n > 0, within: 1h}}
`))
	digest := w.plan().Digest
	ctx, stop := context.WithCancelCause(t.Context())
	w.deps.OnEvent = func(e engine.Event) {
		if e.Step == "x" && e.Status == runbooks.StepVerifying {
			stop(errors.New("a person"))
		}
	}
	res, err := engine.Run(ctx, w.machine, w.binding(), engine.Approved{Digest: digest}, w.deps)
	if err != nil || res.Status != runbooks.RunRefuted || !strings.Contains(res.Why, "step act could not be taken back") {
		t.Errorf("%s (%s) %v", res.Status, res.Why, err)
	}
}

func TestElementsCannotPassForOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flow([]string{"one"}, `
    - id: o
      foreach: {as: a, type: string, in: 'one.n == 0 ? ["x, b = y"] : ["x"]', max: 3}
      steps:
        - id: i
          foreach: {as: b, type: string, in: 'one.n == 0 ? ["z"] : ["y, b = z"]', max: 3}
          steps: [{id: s, run: [sh, -c, 'echo x >> DIR/one'], verify: {that: one.n > 0 && each.a != ""}, undo: none}]
`))
	before := w.plan().Digest
	w.setProbes(probes{read: func(string) (map[string]any, error) { return map[string]any{"n": int64(1)}, nil }})
	if w.plan().Digest == before {
		t.Error("two plans have one digest")
	}
}

func TestTooMuchEvidenceIsNotPlanned(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flow([]string{"one"}, `
    - id: o
      foreach: {as: a, type: int, in: 'lists.range(100)', max: 100}
      steps: [{id: s, run: [x], timeout: 1s, preserve: [journal, processes], verify: {that: one.n > 0, within: 1s}, undo: none}]
`))
	if _, err := engine.Plan(t.Context(), w.machine, w.binding(), w.deps); err == nil || !strings.Contains(err.Error(), "200 pieces of evidence") {
		t.Errorf("got %v", err)
	}
}
