package script_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote/remotetest"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/actiontest"
	"github.com/secondline-ops/secondline/runbooks/actions/script"
)

func TestEveryInterpreterGetsItsSecret(t *testing.T) {
	t.Parallel()
	for interpreter, body := range map[string]string{
		"sh": `printf %s "$KEY" > "$OUT"`, "bash": `printf %s "$KEY" > "$OUT"`,
		"python3": `import os; open(os.environ["OUT"], "w").write(os.environ["KEY"])`,
		"perl":    `open(my $f, ">", $ENV{"OUT"}); print $f $ENV{"KEY"}; close $f`,
	} {
		t.Run(interpreter, func(t *testing.T) {
			t.Parallel()
			remotetest.Need(t, interpreter)
			out := t.TempDir() + "/out"
			spec := "\n  probes: {out: {probe: file.text, with: {path: " + out + "}}}\n  steps:\n    - id: act\n      script:\n        interpreter: " + interpreter +
				"\n        env: {OUT: " + out + ", KEY: secret/key}\n        body: |\n          " + body + "\n      undo: none\n      verify: {that: 'out.text == \"pem\\nit''s\"'}\n"
			s := actiontest.New(t, script.Action{}, actiontest.Local(), spec, nil)
			s.Deps.Secrets = actiontest.Secrets{"key": "pem\nit's"}
			p := s.Plan()
			if !strings.Contains(p.Steps[0].Diff, "$KEY = secret/key\n") {
				t.Errorf("the plan shows %s", p.Steps[0].Diff)
			}
			s.Want(s.RunPlan(p), runbooks.RunVerified, "")
			w := s.Host.Writes()[0]
			if !slices.Equal(w.Argv, p.Steps[0].Argv) || strings.Contains(string(w.Stdin), "pem") || len(w.Secrets) != 1 || w.Secrets[0].Value != redact.Secret("pem\nit's") {
				t.Errorf("it was given by %q %q", w.Argv, w.Stdin)
			}
		})
	}
}
