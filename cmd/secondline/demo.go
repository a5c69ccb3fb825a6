package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

func demoCommand(env *environment) *cobra.Command {
	var serve, verbose bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "The whole story on this machine: real faults, found, fixed, proven; and one that is not the machine's to fix",
		Long: `Starts a controller, an agent and a small "patient" in one process and a temporary folder, breaks the patient three
times, and shows live what happens: diagnosing, evidence, plan, a visibly granted approval, acting, verifying, resolved. The
patient is reached over SSH (OpenSSH's own sshd, started privately, if it is installed). The third fault has no cure that the
machine may use; it ends as a bundle for a person.

Nothing outside the temporary folder is touched. No root, no network beyond loopback. It takes under a minute.`,
		Example: `  secondline demo
  secondline demo --serve      # keeps the web page up afterwards`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &demo{env: env, say: newTeller(env.stdout), serve: serve, verbose: verbose}
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&serve, "serve", false, "keep the controller and the patient running until interrupted")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "show the program's own log, too")
	return cmd
}

// demoWithin bounds one story; the promise for all of them is a minute.
const demoWithin = 40 * time.Second

// demo is one showing.
type demo struct {
	env     *environment
	say     *teller
	serve   bool
	verbose bool
	dir     string
	house   *house
	patient *patient
	told    string // the last thing that was told in full, which is not told again as the reason of what follows
}

func (d *demo) run(ctx context.Context) (err error) {
	d.dir, err = os.MkdirTemp("", "secondline-demo-")
	if err != nil {
		return fmt.Errorf("make demo folder: %w", err)
	}
	d.say.title("secondline demo: real faults on a small patient, found, fixed and proven")
	if d.patient, err = newPatient(ctx, filepath.Join(d.dir, "patient")); err != nil {
		return errors.Join(err, os.RemoveAll(d.dir))
	}
	defer func() { err = errors.Join(err, d.patient.stop()) }()
	if d.house, err = openHouse(ctx, d); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.house.close(context.WithoutCancel(ctx))) }()
	d.say.line("patient", "%s, reached over SSH by %s on %s", d.patient.name, d.patient.sshKind(), d.patient.address())
	d.say.line("page", "http://%s  (token: %s)", d.house.app.Addr(), d.tokenFile())
	began := time.Now()
	if err := d.stories(ctx); err != nil {
		d.say.fail("the demo did not go as it should: %v", err)
		return err
	}
	d.say.done("all three stories ended as they should, in %s", time.Since(began).Round(100*time.Millisecond))
	if d.serve {
		d.say.line("serving", "http://%s until interrupted (Ctrl-C)", d.house.app.Addr())
		<-ctx.Done()
	}
	return nil
}

func (d *demo) stories(ctx context.Context) error {
	d.say.title("1. The shop writes far too much log, and its rotation keeps everything")
	if err := d.patient.flood(ctx); err != nil {
		return err
	}
	err := d.story(ctx, story{alert: "DirectoryOverBudget", labels: map[string]string{"path": d.patient.logs()}, cause: "directory-over-budget", cured: true})
	if err != nil {
		return err
	}
	d.say.title("2. A worker without a service manager dies, and leaves its pid file behind")
	if err := d.patient.killWorker(); err != nil {
		return err
	}
	if err := d.story(ctx, story{alert: "ProcessGone", labels: map[string]string{"process": "worker"}, cause: "process-gone", cured: true}); err != nil {
		return err
	}
	d.say.title("3. Customers' orders fill their area; no rule allows a machine to delete them")
	if err := d.patient.fillOrders(); err != nil {
		return err
	}
	return d.story(ctx, story{alert: "DirectoryOverBudget", labels: map[string]string{"path": d.patient.orders()}, cause: "directory-over-budget"})
}

// story is one fault and how it should end.
type story struct {
	alert  string
	labels map[string]string
	cause  string
	cured  bool
}

// story sends the alert as Alertmanager does, and follows the incident to its end.
func (d *demo) story(ctx context.Context, s story) error {
	ctx, cancel := context.WithTimeout(ctx, demoWithin)
	defer cancel()
	d.say.line("alert", "%s (%s), in Alertmanager's format", s.alert, pairText(s.labels))
	ref, err := d.house.alert(ctx, d.patient.name, s)
	if err != nil {
		return err
	}
	end, err := d.watch(ctx, ref)
	if err != nil {
		return fmt.Errorf("%s: %w", s.alert, err)
	}
	if len(end.Hypotheses) == 0 || end.Hypotheses[0].Cause != s.cause || end.Hypotheses[0].Band != "confirmed" {
		return fault.New(fault.Internal, "incident %d: the cause was not proven to be %s", end.Number, s.cause)
	}
	if s.cured {
		if end.Status != "resolved" || end.Unverified || end.Measured == nil || end.Measured.Gone != "true" {
			return fault.New(fault.Internal, "incident %d is %s: %s", end.Number, end.Status, end.Resolution)
		}
		d.say.good("incident %d is resolved", end.Number)
		return nil
	}
	if end.Status != "escalated" {
		return fault.New(fault.Internal, "incident %d is %s, and a person should have been called", end.Number, end.Status)
	}
	return d.handOver(ctx, end)
}

// tokenFile holds the token of the demo's admin.
func (d *demo) tokenFile() string { return filepath.Join(d.dir, "controller", "admin-token") }

// handOver shows what the third line gets.
func (d *demo) handOver(ctx context.Context, in api.Incident) error {
	keep, err := os.MkdirTemp("", "secondline-bundle-")
	if err != nil {
		return fmt.Errorf("keep the bundle: %w", err)
	}
	path := filepath.Join(keep, fmt.Sprintf("incident-%d.tar.gz", in.Number))
	if err := d.house.fetchBundle(ctx, in, path); err != nil {
		return err
	}
	d.say.good("incident %d handed to a person, with this bundle:", in.Number)
	key := filepath.Join(keep, "bundle-key.pub")
	if err := copyKey(filepath.Join(d.dir, "controller", "bundle-key.pub"), key); err != nil {
		return err
	}
	text, verdict, err := judgeBundle(d.env, path, key)
	if err != nil {
		return err
	}
	if !verdict.Verified() {
		return fault.New(fault.Internal, "the bundle does not hold: %s", verdict)
	}
	d.say.text(text)
	d.say.line("proof", "%s", verdict)
	d.say.line("bundle", "%s", path)
	d.say.line("check it", "secondline bundle verify %s", remote.Quote([]string{path, "--key", key}))
	report := filepath.Join(keep, "report.html")
	if err := extractReport(d.env, path, report); err != nil {
		return err
	}
	d.say.line("report", "%s", report)
	return nil
}
