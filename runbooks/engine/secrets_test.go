package engine_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/local"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// vault has secrets, and counts how often they were read.
type vault struct {
	values map[string]string

	mu    sync.Mutex // guards below
	reads int
}

func (v *vault) Has(_ context.Context, name string) error {
	if _, ok := v.values[name]; !ok {
		return fault.New(fault.NotFound, "this agent has no secret %s", name)
	}
	return nil
}

func (v *vault) Get(ctx context.Context, name string) (redact.Secret, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.reads++
	return redact.Secret(v.values[name]), v.Has(ctx, name)
}

// useSecrets gives an agent that has just been started its secrets.
func (w *world) useSecrets(values map[string]string) *vault {
	v := &vault{values: values}
	redactor := redact.NewGrowing(redact.New())
	w.machine.Runner = remote.Open(local.New(), remote.Options{Gate: remote.AllowAll(), Redactor: redactor})
	w.deps.Secrets = engine.Learned(v, redactor)
	return v
}

// nowhere complains when a value stands in what a run has left behind.
func (w *world) nowhere(value string, left ...any) {
	w.t.Helper()
	for _, r := range w.journal.records {
		left = append(left, string(r.Data))
	}
	text := ""
	for _, one := range left {
		data, err := json.Marshal(one)
		if err != nil {
			w.t.Fatal(err)
		}
		text += string(data) + fmt.Sprintf("%+v", one)
	}
	for _, e := range w.events {
		text += fmt.Sprintf("%+v %s\n", e, e.Output)
	}
	quoted, err := json.Marshal(value)
	if err != nil {
		w.t.Fatal(err)
	}
	forms := []string{value, string(quoted[1 : len(quoted)-1]), base64.StdEncoding.EncodeToString([]byte(value)), url.QueryEscape(value)}
	for _, form := range append(forms, strings.Split(value, "\n")...) {
		if form != "" && strings.Contains(text, form) {
			w.t.Errorf("%q is left behind:\n%.3000s", form, text)
		}
	}
}

// hostile is what a secret may hold at worst.
const hostile = "h4$(id) 'q\"uo`te\\ \n second line é%\n\nlast-line-of-it"

const tells = `  probes: {told: {probe: file.lines, with: {path: DIR/told}}}
  steps:
    - id: tell
      script:
        interpreter: sh
        env: {DB: secret/db, WHERE: DIR/told}
        body: |
          printf '%s' "$DB" > "$WHERE"
          printf '%s\n' "$DB"; { printf '%s' "$DB" | base64 -w 0; echo; echo "it is $DB"; } >&2
          exit EXIT
      outputs: {said: {type: string, from: result.stdout.trim()}}
      verify: {that: told.n > 0}
      undo: none
    - {id: note, note: "fine", if: 'outputs.said != ""'}
`

func TestASecretReachesTheProgramAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, exit := range []string{"0", "3"} {
		w := newWorld(t, strings.Replace(tells, "EXIT", exit, 1))
		v := w.useSecrets(map[string]string{"db": hostile})
		p := w.plan()
		if v.reads != 0 || p.Refused != "" || !strings.Contains(p.Steps[0].Diff, "$DB = secret/db\n") {
			t.Errorf("the plan has read %d secrets: %q %s", v.reads, p.Refused, p.Steps[0].Diff)
		}
		res := w.run(t.Context())
		if want := map[string]runbooks.RunStatus{"0": runbooks.RunVerified, "3": runbooks.RunRefuted}[exit]; res.Status != want {
			t.Errorf("exit %s: the run is %s: %s", exit, res.Status, res.Why)
		}
		told, err := os.ReadFile(w.dir + "/told")
		if err != nil || string(told) != hostile {
			t.Errorf("the program had %q, %v", told, err)
		}
		if err := os.Remove(w.dir + "/told"); err != nil {
			t.Fatal(err)
		}
		w.nowhere(hostile, p, res)
		if len(res.Steps[0].Transcript) == 0 || !strings.Contains(fmt.Sprint(res.Steps[0].Transcript), "[redacted:known]") {
			t.Errorf("the transcript is %+v", res.Steps[0].Transcript)
		}
		for _, cmd := range w.machine.commands {
			if strings.Contains(fmt.Sprint(cmd.Argv, cmd.Env, string(cmd.Stdin)), "h4$") {
				t.Errorf("it stands in the command %+v", cmd)
			}
		}
	}
}

func TestADigestHoldsTheReferenceAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(tells, "EXIT", "0", 1))
	w.useSecrets(map[string]string{"db": "one-value-of-it"})
	one := w.plan().Digest
	w.useSecrets(map[string]string{"db": "and-another-one"})
	if two := w.plan().Digest; two != one {
		t.Errorf("another value, another digest: %s, %s", one, two)
	}
	w.parse(strings.Replace(strings.Replace(tells, "EXIT", "0", 1), "secret/db", "secret/other", 1))
	w.useSecrets(map[string]string{"other": "one-value-of-it"})
	if w.plan().Digest == one {
		t.Error("another secret has the same digest")
	}
}

func TestAMissingSecretRefusesThePlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(tells, "EXIT", "0", 1))
	if p := w.plan(); !strings.Contains(p.Refused, "step tell takes secret/db: there are no secrets here") {
		t.Errorf("without any: refused %q", p.Refused)
	}
	v := w.useSecrets(map[string]string{"other": "value-of-another"})
	if p := w.plan(); !strings.Contains(p.Refused, "step tell takes secret/db: this agent has no secret db") {
		t.Errorf("without this one: refused %q", p.Refused)
	}
	if res := w.run(t.Context()); res.Status != runbooks.RunRefused || w.machine.writes() != 0 || v.reads != 0 {
		t.Errorf("the run is %s, %d commands, %d reads", res.Status, w.machine.writes(), v.reads)
	}
}

// A secret that was given before a crash is unknown to the agent that goes on
// until it reads it again.
func TestAfterACrashSecretsAreReadAgain(t *testing.T) {
	t.Parallel()
	const value = "kept-in-a-file-of-the-program"
	spec := strings.Replace(tells, "EXIT", "0", 1)
	spec = strings.Replace(spec, "told.n > 0", "told.n >= 0", 1)
	spec = strings.Replace(spec, "    - {id: note", `    - id: leak
      script: {interpreter: sh, env: {WHERE: DIR/told, AGAIN: secret/again}, body: 'cat "$WHERE"; printf "%s" "$AGAIN" > "$WHERE.again"; cat "$WHERE.again"'}
      verify: {that: told.n >= 0}
      undo: none
    - {id: note`, 1)
	died := 0
	for at := 1; at < 12; at++ {
		w := newWorld(t, spec)
		w.useSecrets(map[string]string{"db": value, "again": "value-of-the-second"})
		approved := engine.Approved{Digest: w.plan().Digest}
		w.journal.dieAt, w.journal.written = at, true
		res, err := engine.Run(t.Context(), w.machine, w.binding(), approved, w.deps)
		if errors.Is(err, errCrash) {
			died++
			w.journal.revive()
			w.useSecrets(map[string]string{"db": value, "again": "value-of-the-second"})
			if res, err = engine.Resume(t.Context(), w.machine, w.binding(), approved, w.deps); err != nil {
				t.Fatal(err)
			}
		}
		w.nowhere(value, res)
		w.nowhere("value-of-the-second", res)
		if again, err := os.ReadFile(w.dir + "/told.again"); err == nil && string(again) != "value-of-the-second" {
			t.Errorf("killed at %d: the second step had %q", at, again)
		}
	}
	if died < 6 {
		t.Errorf("it was killed %d times", died)
	}
}
