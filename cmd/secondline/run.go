package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

func runCommand(env *environment) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run RUNBOOK --on HOST",
		Short: "Carry out a runbook on a host: plan, approve, watch it verified",
		Long: `Asks the controller for a plan, shows exactly what would change, and asks for a yes to that plan. Then it follows the
steps until they are verified; on a terminal it shows which step is at work, since when, and what it wrote last. Without one it
shows how to approve and exits with 4, unless --yes approves what was shown.

Exit codes: 0 verified (or the plan of a dry run is good), 1 failed, refuted or undone, 3 outcome unknown, 4 refused, rejected or
waiting for an approval.`,
		Example: `  secondline run restart-crashed-unit --on web1 --input unit=nginx.service --dry-run
  secondline run free-space-by-rotation --on db1 --incident 12
  secondline run restart-crashed-unit --on web1 --input unit=nginx.service --yes --why "agreed in the call"
  secondline run apply-updates --on web1,web2,web3    # in the waves of the runbook, one verified before the next`,
	}
	conn := addConnection(env, cmd)
	out := addOutput(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&o.targets, "on", nil, "the host, by its id in the inventory; several (web1,web2) where the runbook's targets.max allows it")
	f.StringArrayVar(&o.inputs, "input", nil, "name=value of an input of the runbook; may be given several times")
	f.BoolVar(&o.dryRun, "dry-run", false, "only plan: show what would change, change nothing")
	f.StringVar(&o.incident, "incident", "", "the incident that it belongs to (number or id); else it gets one of its own")
	f.BoolVarP(&o.yes, "yes", "y", false, "approve exactly the plan that is shown, without asking")
	f.StringVar(&o.why, "why", "", "why you approve, for the timeline")
	f.DurationVar(&o.planWithin, "plan-within", 2*time.Minute, "how long to wait for the plan")
	_ = cmd.RegisterFlagCompletionFunc("on", conn.completeHosts())
	cmd.ValidArgsFunction = conn.completeRunbooks()
	cmd.AddCommand(runList(env, conn), runShow(env, conn),
		runTurn(env, conn, "cancel", "Stop a run: at once before it began, else after the open step", "wrong host", (*api.Client).CancelRun),
		runTurn(env, conn, "pause", "Stop a run at the end of its open step, until it is resumed", "wait for the backup", (*api.Client).PauseRun),
		runTurn(env, conn, "resume", "Let a paused run go on", "the backup is through", (*api.Client).ResumeRun))
	cmd.Args = exactly(1)
	cmd.RunE = conn.ask(func(ctx context.Context, client *api.Client, args []string) error {
		o.runbook = args[0]
		return startRun(ctx, &running{env: env, client: client, out: out, paint: env.paints(env.stdout)}, o)
	})
	return cmd
}

type runOptions struct {
	runbook, incident, why string
	targets                []string
	inputs                 []string
	dryRun, yes            bool
	planWithin             time.Duration
}

// running is a run that a person watches.
type running struct {
	env    *environment
	client *api.Client
	out    *format
	paint  paint
	seq    int64 // of the last event of its incident that was seen; 0 before mark
	live   *liveView
}

// people reports whether a person reads along; programs get one document at
// the end instead.
func (r *running) people() bool { return r.out.word == "table" }

func startRun(ctx context.Context, r *running, o runOptions) error {
	if len(o.targets) == 0 {
		return usageError{fault.New(fault.Invalid, "say on which host").WithHint("--on HOST; see: secondline inventory")}
	}
	inputs, err := pairs("input", o.inputs)
	if err != nil {
		return err
	}
	if err := r.fillIn(ctx, o.runbook, o.targets[0], inputs); err != nil {
		return err
	}
	if len(o.targets) > 1 {
		return r.rollOut(ctx, o, inputs)
	}
	started, err := r.client.StartRun(ctx, api.RunRequest{Runbook: o.runbook, Target: o.targets[0], Inputs: inputs, DryRun: o.dryRun, Incident: o.incident})
	if err != nil {
		return err
	}
	view, err := r.waitForPlan(ctx, started, o.planWithin)
	if err != nil {
		return err
	}
	if r.people() && view.Plan != nil {
		showPlan(r.env.stdout, r.paint, view)
	}
	switch status := runbooks.RunStatus(view.Run.Status); {
	case o.dryRun, over(status):
		return r.finish(ctx, started.Run)
	case status == runbooks.RunPlanned:
		return fault.New(fault.Denied, "the controller's policy lets nobody carry it out from here").
			WithHint("see why: secondline incident why %d", view.Run.Number)
	case status == runbooks.RunWaiting && !o.yes:
		if yes, err := r.askApproval(ctx, view); !yes {
			return err
		}
		fallthrough
	case status == runbooks.RunWaiting:
		run, err := r.client.Approve(ctx, started.Run, view.Plan.Digest, o.why)
		if err != nil {
			return err
		}
		if run.Missing > 0 {
			return r.waitsForOthers(run)
		}
	}
	return r.follow(ctx, started.Incident, started.Run)
}

// waitsForOthers says who still has to act: the run goes on without this command.
func (r *running) waitsForOthers(run api.Run) error {
	if err := r.out.write(r.env.stdout, run, func(w io.Writer) {
		say(w, "approved; %d more must say yes, each with:", run.Missing)
		say(w, "  %s", approveHint(run))
	}); err != nil {
		return err
	}
	return exitCode(fault.ExitRefused)
}

// over reports whether a run will not move any more.
func over(s runbooks.RunStatus) bool {
	switch s {
	case runbooks.RunPlanned, runbooks.RunWaiting, runbooks.RunRunning:
		return false
	case runbooks.RunVerified, runbooks.RunUndone, runbooks.RunRefuted, runbooks.RunUnknown, runbooks.RunRefused,
		runbooks.RunRejected, runbooks.RunCancelled, runbooks.RunFailed:
		return true
	}
	return false
}

// lookAgain is how often a run is looked at although no event came: events
// are what wakes us, not what we rely on.
const lookAgain = 5 * time.Second

// mark remembers where the incident stands, so that what happens from here on
// is shown.
func (r *running) mark(ctx context.Context, ref string) error {
	in, err := r.client.FindIncident(ctx, ref)
	r.seq = in.Seq
	return err
}

// watch looks at the run each time something happens to its incident, until
// done says so. event may be nil.
func (r *running) watch(ctx context.Context, ref, run string, event func(api.Event), done func(api.Run) bool) error {
	if r.seq == 0 {
		if err := r.mark(ctx, ref); err != nil {
			return err
		}
	}
	r.live = newLiveView(r.env)
	if !r.people() {
		r.live.size = nil
	}
	defer r.live.end()
	for {
		now, err := r.client.FindRun(ctx, run)
		if err != nil && !fault.Retryable(fault.KindOf(err)) {
			return err
		}
		if err == nil && done(now) {
			return nil
		}
		if err := r.nextEvent(ctx, ref, event); err != nil {
			return err
		}
	}
}

// stopWatching ends a Follow without an error of its own.
type stopWatching struct{} //nolint:errname // it is no failure

func (stopWatching) Error() string { return "seen enough" }

// nextEvent waits for the next event, or for lookAgain.
func (r *running) nextEvent(ctx context.Context, ref string, event func(api.Event)) error {
	brief, cancel := context.WithTimeout(ctx, lookAgain)
	defer cancel()
	err := r.client.FollowLive(brief, ref, r.seq, api.Follower{Progress: r.live.show, Event: func(e api.Event) error {
		r.seq = e.Seq
		if event != nil {
			r.live.above(func() { event(e) })
		}
		return stopWatching{}
	}})
	switch {
	case err == stopWatching{}, ctx.Err() == nil && brief.Err() != nil: //nolint:errorlint // it is never wrapped
		return nil
	}
	return err
}

// waitForPlan waits until the plan was made, or it is clear that there will be none.
func (r *running) waitForPlan(ctx context.Context, started api.RunStarted, within time.Duration) (api.PlanView, error) {
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if r.people() {
		say(r.env.stderr, "run %s was asked for; waiting for its plan", started.Run)
	}
	err := r.watch(limited, started.Incident, started.Run, nil, func(run api.Run) bool {
		return runbooks.RunStatus(run.Status) != runbooks.RunPlanned || run.PlanDigest != "" && (run.DryRun || r.escalated(limited, run))
	})
	if limited.Err() != nil && ctx.Err() == nil {
		return api.PlanView{}, fault.New(fault.Timeout, "there is no plan after %s", within).
			WithHint("is the host's agent connected? secondline agents list; go on later with: secondline run show %s", started.Run)
	}
	if err != nil {
		return api.PlanView{}, err
	}
	return r.client.Plan(ctx, started.Run)
}

// escalated reports whether a plan was made and handed to people, because
// the controller's policy does not let it be approved.
func (r *running) escalated(ctx context.Context, run api.Run) bool {
	in, err := r.client.FindIncident(ctx, run.Incident)
	return err == nil && incident.Status(in.Status) == incident.Escalated
}

// askApproval asks the person at the terminal. Without one it says how to
// approve; the run waits on.
func (r *running) askApproval(ctx context.Context, view api.PlanView) (bool, error) {
	if !r.people() || !terminal(r.env.stdin) || !terminal(r.env.stdout) {
		if err := r.out.write(r.env.stdout, view, func(w io.Writer) {
			say(w, "it waits for an approval:")
			say(w, "  %s", approveHint(view.Run))
		}); err != nil {
			return false, err
		}
		return false, exitCode(fault.ExitRefused)
	}
	fmt.Fprintf(r.env.stdout, "approve? [y/N] ")
	if yes, err := readYes(ctx, r.env); yes || err != nil {
		return yes, err
	}
	say(r.env.stdout, "not approved; it waits on:")
	say(r.env.stdout, "  %s", approveHint(view.Run))
	say(r.env.stdout, "  secondline reject %s --why \"…\"", view.Run.ID)
	return false, exitCode(fault.ExitRefused)
}

// readYes reads the answer to a question of yes or no.
func readYes(ctx context.Context, env *environment) (bool, error) {
	line, err := readLine(ctx, env.stdin)
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	word := strings.ToLower(strings.TrimSpace(line))
	return err == nil && (word == "y" || word == "yes"), err
}

// maxLineBytes is what a terminal takes as one line (N_TTY_BUF_SIZE, termios(3)).
const maxLineBytes = 4096

// readLine reads a line that a person types, and gives up with ctx. The reader
// it leaves behind then ends with the program. The error is io.EOF when the
// input has ended and there is no line.
func readLine(ctx context.Context, in io.Reader) (string, error) {
	type answer struct {
		text string
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		var text []byte
		one := make([]byte, 1)
		for len(text) < maxLineBytes {
			n, err := in.Read(one)
			if n == 1 && one[0] == '\n' {
				break
			}
			text = append(text, one[:n]...)
			if err != nil {
				if err == io.EOF && len(text) > 0 {
					err = nil
				}
				done <- answer{string(text), err}
				return
			}
		}
		done <- answer{string(text), nil}
	}()
	select {
	case a := <-done:
		return a.text, a.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// follow shows what happens until the run is over.
func (r *running) follow(ctx context.Context, ref, run string) error {
	var event func(api.Event)
	if r.people() {
		event = func(e api.Event) {
			if incident.EventKind(e.Kind) != incident.EventDecision { // what follows from it is shown
				showEvent(r.env.stdout, e)
			}
		}
	}
	err := r.watch(ctx, ref, run, event, func(now api.Run) bool { return over(runbooks.RunStatus(now.Status)) })
	if ctx.Err() != nil {
		return fault.Wrap(fault.OutcomeUnknown, ctx.Err(), "stopped watching; the run goes on").
			WithHint("look again: secondline run show %s; stop it: secondline run cancel %s", run, run)
	}
	if err != nil {
		return err
	}
	return r.finish(ctx, run)
}

// finish shows how the run ended and says so in the exit code.
func (r *running) finish(ctx context.Context, run string) error {
	now, err := r.client.FindRun(ctx, run)
	if err != nil {
		return err
	}
	view, err := r.client.Plan(ctx, run)
	if err != nil {
		return err
	}
	view.Run = now
	if err := r.out.write(r.env.stdout, view, func(w io.Writer) {
		if now.DryRun && view.Plan != nil && view.Plan.Refused == "" {
			say(w, "dry run: nothing was changed")
			return
		}
		fmt.Fprintln(w, r.paint.as(bold, oneLine(fmt.Sprintf("run %s: %s", now.ID, strings.ReplaceAll(now.Status, "_", " ")))))
		showSteps(w, r.paint, now)
	}); err != nil {
		return err
	}
	if code := outcomeCode(view); code != fault.ExitDone {
		return exitCode(code)
	}
	return nil
}

// outcomeCode is the exit code of how a run stands.
func outcomeCode(view api.PlanView) int {
	status := runbooks.RunStatus(view.Run.Status)
	if view.Run.DryRun && view.Plan != nil && view.Plan.Refused == "" {
		return fault.ExitDone
	}
	switch status {
	case runbooks.RunVerified:
		return fault.ExitDone
	case runbooks.RunUndone, runbooks.RunRefuted, runbooks.RunFailed, runbooks.RunCancelled:
		return fault.ExitFailed
	case runbooks.RunUnknown, runbooks.RunRunning, runbooks.RunPlanned:
		return fault.ExitUnknown
	case runbooks.RunRefused, runbooks.RunRejected, runbooks.RunWaiting:
		return fault.ExitRefused
	}
	return fault.ExitUnknown
}
