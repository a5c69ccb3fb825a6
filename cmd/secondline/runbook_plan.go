package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/rehearsal"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/cases"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

func runbookPlan(env *environment) *cobra.Command {
	var o recordOptions
	var hosts []string
	var rehearse bool
	cmd := &cobra.Command{
		Use:   "plan FILE|NAME --on HOST",
		Short: "Show what a runbook would change on a host, and with --rehearse how it would go",
		Long: `Reads the host for real, by SSH or as this machine, without a controller. It changes nothing, and shows the preconditions, what
each step would change as a diff, how long it takes at worst, what may be touched and locked, who has to approve it, and the
plan's digest. Several --on are several plans, one after the other.

With --rehearse the steps that act on files (file, cleanup, truncate_log, run, script) are then carried out on the host, where
nothing of it is kept: in private namespaces, over an overlay of its file systems, without its network, services, processes and
devices. Exit statuses and differences are the real ones. What cannot be rehearsed says so. The host needs root, by login or by
sudo -n, and a kernel with overlays; a rehearsal that is cut off ends there by itself.

Exit codes: 0 planned (and nothing failed in the rehearsal), 1 a step failed in the rehearsal, 4 refused, 6 unreachable; with several
hosts that of the first that is not well.`,
		Example: `  secondline runbook plan my-runbooks/rotate.yaml --on ops@web1 --input mount=/var
  secondline runbook plan my-runbooks/rotate.yaml --on ops@web1 --on ops@web2 --input mount=/var --rehearse
  secondline runbook plan free-space-by-rotation --on local --cause disk-full-logs --object mount=/var --rehearse -o json`,
		Args: exactly(1),
	}
	out := addOutput(cmd)
	o.reach.addFlags(env, cmd)
	f := cmd.Flags()
	f.StringArrayVar(&hosts, "on", nil, "[user@]host, by SSH; local is this machine; may be given several times")
	f.BoolVar(&rehearse, "rehearse", false, "also carry the steps out where nothing of it is kept")
	o.addGivenFlags(f)
	pluginFlag(cmd, &o.plugins)
	_ = cmd.MarkFlagRequired("on")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.runbook = args[0]
		bench, err := newTestBench(cmd.Context(), env, o.plugins, o.dirs)
		if err != nil {
			return err
		}
		defer bench.close()
		p := planning{env: env, out: out, o: o, bench: bench, rehearse: rehearse}
		return p.onAll(cmd.Context(), hosts)
	}
	return cmd
}

// planning is a runbook that is planned without a controller.
type planning struct {
	env      *environment
	out      *format
	o        recordOptions
	bench    *testBench
	rehearse bool
}

// plannedHost is the answer of the command for one host.
type plannedHost struct {
	Host      string              `json:"host"`
	Plan      *runbooks.Plan      `json:"plan,omitempty"`
	Touches   []runbooks.Touch    `json:"touches"` // of all steps
	Approval  string              `json:"approval,omitempty"`
	Rehearsal *runbooks.Rehearsal `json:"rehearsal,omitempty"`
	Error     string              `json:"error,omitempty"`

	err error
}

func (p planning) onAll(ctx context.Context, hosts []string) error {
	all := []plannedHost{}
	for _, host := range hosts {
		h := p.on(ctx, host)
		if _, wrongCall := errors.AsType[usageError](h.err); wrongCall || ctx.Err() != nil || h.err != nil && h.Plan == nil && len(hosts) == 1 {
			return h.err
		}
		all = append(all, h)
		if p.out.word == "table" { // a person reads the first while the next is planned
			h.show(p.env.stdout, p.env.paints(p.env.stdout), len(hosts) > 1)
		}
	}
	if err := p.out.write(p.env.stdout, all, func(io.Writer) {}); err != nil {
		return err
	}
	for _, h := range all {
		if code := h.exitCode(); code != fault.ExitDone {
			return exitCode(code)
		}
	}
	return nil
}

// on plans for one host, and rehearses there.
func (p planning) on(ctx context.Context, name string) plannedHost {
	h := plannedHost{Host: name, Touches: []runbooks.Touch{}}
	if h.err = p.fill(ctx, &h); h.err != nil {
		h.Error = problemText(h.err)
	}
	return h
}

func (p planning) fill(ctx context.Context, h *plannedHost) error {
	o := p.o
	o.on = h.Host
	given, limits, err := o.given()
	if err != nil {
		return err
	}
	rb, err := p.bench.find(o.runbook)
	if err != nil {
		return err
	}
	given.Runbook = rb.Name
	gate := remote.Gates(remote.ReadOnly(), limits.Gate())
	if p.rehearse {
		gate = rehearsal.Gate(gate)
	}
	server, done, err := o.reach.openFor(ctx, p.env, o.host, remote.Options{Gate: gate, Redactor: redact.New()})
	if err != nil {
		return err
	}
	defer done()
	tools := p.bench.tools
	tools.Secrets = agentSecrets(p.env, o.secrets)
	b, err := cases.Bind(&given, rb, liveServer{server}, tools)
	if err != nil {
		return err
	}
	plan, err := b.Plan(ctx)
	if err != nil {
		return fmt.Errorf("plan %s: %w", rb.Name, err)
	}
	h.Plan, h.Approval, h.Touches = &plan, approvalInWords(plan), touchesOf(plan)
	if !p.rehearse || plan.Refused != "" {
		return nil
	}
	return rehearseOn(ctx, server, limits.Gate(), b, h)
}

// rehearseOn rehearses on the server. The limits of the guard hold there as well.
func rehearseOn(ctx context.Context, server *remote.Server, limits remote.Gate, b *cases.Bound, h *plannedHost) (err error) {
	r, err := rehearsal.Open(ctx, server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	stage := engine.Stage{
		Runner: remote.Open(r, remote.Options{Gate: limits, Redactor: redact.New()}), Changes: r.Changes,
	}
	plan, done, err := b.Rehearse(ctx, stage)
	if err != nil {
		return fmt.Errorf("rehearse it: %w", err)
	}
	done.Absent = r.Absent()
	h.Plan, h.Rehearsal = &plan, &done
	return nil
}

// liveServer is a host whose time is ours.
type liveServer struct{ *remote.Server }

// Now implements cases.Server.
func (liveServer) Now() time.Time { return time.Now() }

// Sleep implements cases.Server.
func (liveServer) Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// touchesOf is all that a plan may change, each once.
func touchesOf(plan runbooks.Plan) []runbooks.Touch {
	all := []runbooks.Touch{}
	for _, step := range plan.Steps {
		for _, t := range step.Touches {
			if !slices.Contains(all, t) {
				all = append(all, t)
			}
		}
	}
	return all
}

// approvalInWords says who has to say yes, as far as it is known without a controller.
func approvalInWords(plan runbooks.Plan) string {
	text := fmt.Sprintf("by the controller's policy; the runbook allows %s at most", plan.Autonomy)
	switch {
	case plan.Approvals > 0:
		text = fmt.Sprintf("%d people have to say yes", plan.Approvals)
	case plan.Effect == runbooks.Irreversible:
		text = "a person has to say yes: it cannot be taken back"
	}
	if plan.ApproveRole != "" {
		text += ", who are at least " + plan.ApproveRole
	}
	return text
}

// blastRadius counts what a plan may change, by kind, and names what it locks.
func (h plannedHost) blastRadius() string {
	words := []string{}
	for _, kind := range runbooks.TouchKinds() {
		n := 0
		for _, t := range h.Touches {
			if t.Kind == kind {
				n++
			}
		}
		if n > 0 {
			words = append(words, fmt.Sprintf("%d × %s", n, kind))
		}
	}
	text := "one host; no step names what it touches"
	if len(words) > 0 {
		text = "one host; " + strings.Join(words, ", ")
	}
	if len(h.Plan.Locks) > 0 {
		text += "; locks " + strings.Join(h.Plan.Locks, ", ")
	}
	return text
}

func (h plannedHost) exitCode() int {
	switch {
	case h.err != nil:
		return fault.ExitCode(fault.KindOf(h.err))
	case h.Plan.Refused != "":
		return fault.ExitRefused
	case h.Rehearsal != nil && h.Rehearsal.Failed():
		return fault.ExitFailed
	}
	return fault.ExitDone
}

func (h plannedHost) show(w io.Writer, p paint, named bool) {
	if named {
		fmt.Fprintln(w, p.as(bold, "== "+oneLine(h.Host)))
	}
	if h.Plan != nil {
		showPlanText(w, p, *h.Plan)
		say(w, "  blast radius: %s", h.blastRadius())
		say(w, "  approval: %s", h.Approval)
	}
	if h.Rehearsal != nil {
		fmt.Fprintln(w)
		showMarginal(w, p, h.Rehearsal.Render())
	}
	if h.Error != "" {
		fmt.Fprintln(w, p.as(red, "not done: ")+clean(h.Error))
	}
}
