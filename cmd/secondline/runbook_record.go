package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/secondline-ops/secondline/agent/guard"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/recording"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/cases"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

type recordOptions struct {
	reach                          reachOptions
	runbook, on, dir, title        string
	inventory, guard, cause        string
	inputs, objects, dirs, plugins []string
	host                           entity.Entity // of on
	secrets                        string
	act, yes                       bool
}

func runbookRecord(env *environment) *cobra.Command {
	var o recordOptions
	cmd := &cobra.Command{
		Use:   "record FILE|NAME --on HOST --case DIR",
		Short: "Plan a runbook on a real host, and record the host as a case for runbook test",
		Long: `Plans the runbook on the host, which only reads, and writes into the folder of --case what it was given, what the host
answered, and what came of it. With --act it also carries the plan out, after it was shown and you said yes: use a host that you
may break, for nobody goes on with a run whose recorder was killed. What is recorded is redacted. The case is played back at once.

The folder belongs beside the runbook: testdata/<runbook>/<case>; runbook test finds it there.

Exit codes: 0 recorded, 1 recorded, and it does not play back the same, 4 refused or not approved, 6 unreachable.`,
		Example: `  secondline runbook record my-runbooks/rotate.yaml --on ops@test1 --input mount=/var --case my-runbooks/testdata/rotate/full
  secondline runbook record rotate.yaml --on ops@test1 --cause disk-full-logs --object mount=/var --act --case testdata/rotate/cured
  secondline runbook record restart-crashed-unit --on local --input unit=cron.service --case cases/cron-runs`,
		Args: exactly(1),
	}
	out := addOutput(cmd)
	o.reach.addFlags(env, cmd)
	f := cmd.Flags()
	f.StringVar(&o.on, "on", "", "[user@]host, by SSH; local is this machine")
	f.StringVar(&o.dir, "case", "", "folder for the case; it is made")
	f.StringVar(&o.title, "title", "", "what is the matter on this host, for those who read the case")
	o.addGivenFlags(f)
	f.BoolVar(&o.act, "act", false, "also carry the plan out")
	f.BoolVarP(&o.yes, "yes", "y", false, "approve exactly the plan that is shown, without asking")
	pluginFlag(cmd, &o.plugins)
	_ = cmd.MarkFlagRequired("on")
	_ = cmd.MarkFlagRequired("case")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.runbook = args[0]
		return recordCase(cmd.Context(), env, out, o)
	}
	return cmd
}

// addGivenFlags are those of what a runbook is given without a controller.
func (o *recordOptions) addGivenFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&o.inputs, "input", nil, "name=value of an input of the runbook; may be given several times")
	f.StringVar(&o.cause, "cause", "", "the cause that a diagnosis would have confirmed")
	f.StringArrayVar(&o.objects, "object", nil, "name=value of the object of the cause: mount, unit …; may be given several times")
	f.StringVar(&o.inventory, "inventory", "", "inventory file that says what the host promised: budgets, processes, address")
	f.StringVar(&o.guard, "guard", "", "guard file of an agent, whose limits hold (default: those of an agent without one, in mode act)")
	secretsFlag(f, &o.secrets)
	f.StringSliceVar(&o.dirs, "dir", nil, "folder with runbooks of your own, for NAME")
}

// recordedCase is the answer of the command.
type recordedCase struct {
	Case      string              `json:"case"`
	Plan      runbooks.Plan       `json:"plan"`
	Run       *runbooks.RunResult `json:"run,omitempty"`
	Exchanges int                 `json:"exchanges"`
	Problems  []string            `json:"problems"` // of playing it back

	env *environment
	out *format
	o   recordOptions
}

func recordCase(ctx context.Context, env *environment, out *format, o recordOptions) error {
	given, limits, err := o.given()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(o.dir, cases.CaseFile)); err == nil {
		return fault.New(fault.Conflict, "there is a case in %s already", o.dir).WithHint("give another folder, or remove it first")
	}
	bench, err := newTestBench(ctx, env, o.plugins, o.dirs)
	if err != nil {
		return err
	}
	defer bench.close()
	rb, err := bench.find(o.runbook)
	if err != nil {
		return err
	}
	given.Runbook = rb.Name
	gate := limits.Gate()
	if !o.act {
		gate = remote.Gates(remote.ReadOnly(), gate)
	}
	redactor := redact.NewGrowing(redact.New())
	bench.tools.Secrets = engine.Learned(agentSecrets(env, o.secrets), redactor)
	server, done, err := o.reach.openFor(ctx, env, o.host, remote.Options{Gate: gate, Redactor: redactor})
	if err != nil {
		return err
	}
	defer done()
	given.Secrets = cases.SecretsOf(ctx, rb, bench.tools.Secrets)
	recorder := recording.Record(server, redact.New(), time.Now)
	given.Start = recorder.Start()
	r := recordedCase{Case: o.dir, env: env, out: out, o: o}
	c := &cases.Case{Given: given}
	if err := r.carry(ctx, c, rb, recorder, bench); err != nil {
		return err
	}
	host := recorder.Exchanges()
	r.Exchanges = len(host)
	if err := writeCase(o.dir, c, host); err != nil {
		return err
	}
	r.Problems = bench.try(ctx, o.dir, rb).Problems
	if err := out.write(env.stdout, r, func(w io.Writer) { r.show(w) }); err != nil {
		return err
	}
	if len(r.Problems) > 0 {
		return exitCode(fault.ExitFailed)
	}
	return nil
}

// given is what the command line says of the case, and the limits that hold.
func (o *recordOptions) given() (cases.Given, guard.Limits, error) {
	limits := guard.Limits{Mode: guard.Act, CleanupRoots: guard.DefaultCleanupRoots()}
	g := cases.Given{Title: o.title, Act: o.act}
	if o.reach.target = o.on; o.on == "local" {
		o.reach.target, o.reach.local = "", true
	}
	if err := o.reach.complete(); err != nil {
		return g, limits, err
	}
	var err error
	if g.Inputs, err = pairs("input", o.inputs); err != nil {
		return g, limits, err
	}
	object, err := pairs("object", o.objects)
	switch {
	case err != nil:
		return g, limits, err
	case o.cause != "":
		g.Hypothesis = &cases.Hypothesis{Cause: o.cause, Band: string(diagnostics.Confirmed), Object: object}
	case len(object) > 0:
		return g, limits, usageError{fault.New(fault.Invalid, "--object says what a cause is about").WithHint("add --cause ID")}
	}
	if o.host, err = inventoryHost(o.inventory, o.reach.name()); err != nil {
		return g, limits, err
	}
	g.Target = cases.HostOf(o.host)
	if o.guard != "" {
		data, err := os.ReadFile(o.guard)
		if err != nil {
			return g, limits, fault.Wrap(fault.NotFound, err, "read the guard file")
		}
		if limits, err = guard.Parse(o.guard, data); err != nil {
			return g, limits, err
		}
	}
	if o.act && limits.Mode != guard.Act {
		return g, limits, fault.New(fault.Denied, "%s lets an agent only observe", o.guard).WithHint("leave --act out, or set mode: act there")
	}
	g.CleanupRoots, g.ManagedFiles = limits.CleanupRoots, limits.ManagedFiles
	return g, limits, nil
}

// carry plans and, if it is wanted, carries the plan out. What came of it is
// what the case expects.
func (r *recordedCase) carry(ctx context.Context, c *cases.Case, rb *runbooks.Runbook, host *recording.Recorder, bench *testBench) error {
	b, err := cases.Bind(&c.Given, rb, host, bench.tools)
	if err != nil {
		return err
	}
	if r.Plan, err = b.Plan(ctx); err != nil {
		return fmt.Errorf("plan %s: %w", rb.Name, err)
	}
	c.Expect = cases.Observed(r.Plan)
	if r.out.word == "table" {
		showPlanText(r.env.stdout, r.env.paints(r.env.stdout), r.Plan)
	}
	if !r.o.act || r.Plan.Refused != "" {
		return nil
	}
	if !r.o.yes {
		if err := askToCarryOut(ctx, r.env, r.out); err != nil {
			return err
		}
	}
	result, err := b.CarryOut(ctx, func(e engine.Event) {
		if e.Kind == "step" {
			say(r.env.stderr, "%s: %s", e.Step, e.Text)
		}
	})
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fault.New(fault.Transient, "the run was stopped (%s: %s), so nothing was recorded", result.Status, result.Why)
	}
	r.Run, c.Expect.Run = &result, cases.ObservedRun(result, nil)
	return nil
}

func askToCarryOut(ctx context.Context, env *environment, out *format) error {
	if out.word != "table" || !terminal(env.stdin) || !terminal(env.stdout) {
		return fault.New(fault.Denied, "nobody has said yes to this plan, so nothing was done or recorded").WithHint("--yes approves what is shown")
	}
	fmt.Fprint(env.stdout, "carry it out? [y/N] ")
	yes, err := readYes(ctx, env)
	if err == nil && !yes {
		err = fault.New(fault.Denied, "it was not approved, so nothing was done or recorded")
	}
	return err
}

// writeCase writes the folder of a case. What looks like a secret in what the
// runbook is given cannot be redacted, or it would be another case.
func writeCase(dir string, c *cases.Case, host []recording.Exchange) error {
	text, err := c.Format()
	if err != nil {
		return err
	}
	if shown := redact.New().Redact(text); string(shown) != string(text) {
		return fault.New(fault.Denied, "what the runbook is given holds what looks like a secret, so nothing was written").
			WithHint("record it with other inputs")
	}
	lines, err := recording.Format(host)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("make the folder of the case: %w", err)
	}
	for name, data := range map[string][]byte{cases.CaseFile: text, cases.HostFile: lines} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return fmt.Errorf("write the case: %w", err)
		}
	}
	return nil
}

func (r *recordedCase) show(w io.Writer) {
	switch {
	case r.Run != nil:
		say(w, "the run ended %s: %s", r.Run.Status, r.Run.Why)
	case r.Plan.Refused != "":
		say(w, "the plan is refused: %s", r.Plan.Refused)
	default:
		say(w, "only planned: nothing was changed")
	}
	say(w, "recorded %d exchanges into %s; read them before you share them", r.Exchanges, r.o.dir)
	if len(r.Problems) == 0 {
		say(w, "it plays back the same: secondline runbook test %s", remote.Quote([]string{r.o.dir}))
		return
	}
	say(w, "played back, it does not come out the same:")
	for _, problem := range r.Problems {
		fmt.Fprintln(w, indented(problem))
	}
}
