package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/examples/lab/faults"
	"github.com/secondline-ops/secondline/examples/lab/trial"
)

// cures is for who writes runbooks.
func (l *lab) cures() *cobra.Command {
	from := ""
	cmd := &cobra.Command{
		Use: "cures [FAULT[@HOST]...]", Short: "Mend faults with the runbooks that they name, as a person would, and see that they are gone",
		ValidArgsFunction: completeFaults,
		Long: `Boots a company of its own. For each fault that names cures, or each that is named here, and each of its cures it makes the
hosts as they were, injects the fault, waits until its symptom shows, starts the runbook by "secondline run", approves its plan,
and demands that the run ends verified and that fault and alerts are gone. With --from the faults are read from a folder.`,
		Example: `  go run ./examples/lab cures
  go run ./examples/lab cures timer-not-running disk-full-logs@app2`,
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := faultsFrom(from)
			if err != nil {
				return err
			}
			cases, err := curable(all, args)
			if err != nil {
				return err
			}
			return l.runCures(cmd, cases)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "folder with faults, instead of the built-in ones")
	return cmd
}

// curable returns the named faults, or all that name cures. One without a cure is
// refused before anything is booted.
func curable(all []*faults.Fault, refs []string) ([]faults.Case, error) {
	if len(refs) == 0 {
		for _, f := range all {
			if len(f.Cures) > 0 {
				refs = append(refs, f.ID)
			}
		}
	}
	var out []faults.Case
	var errs []error
	for _, ref := range refs {
		cases, err := faults.Cases(all, ref)
		errs = append(errs, err)
		for _, c := range cases {
			if len(c.Fault.Cures) == 0 {
				errs = append(errs, fmt.Errorf("fault %s names no cure", c.Fault.ID))
			}
		}
		out = append(out, cases...)
	}
	return out, errors.Join(errs...)
}

func (l *lab) runCures(cmd *cobra.Command, cases []faults.Case) (err error) {
	options, err := l.options(cmd)
	if err != nil {
		return err
	}
	site, err := trial.OpenForCures(cmd.Context(), options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Company.Lab.Close()) }()
	var done []trial.Cured
	bad := 0
	for _, c := range cases {
		for _, cure := range c.Fault.Cures {
			options.Say(fmt.Sprintf("%s@%s: %s", c.Fault.ID, c.Host, cure.Runbook))
			cured, err := site.Cure(cmd.Context(), c, cure)
			if err != nil { // what there is, is shown
				return errors.Join(err, trial.WriteCures(cmd.OutOrStdout(), done))
			}
			if !cured.Good() {
				bad++
				options.Say("NOT GOOD: " + cured.Why)
			}
			done = append(done, cured)
		}
	}
	if err := trial.WriteCures(cmd.OutOrStdout(), done); err != nil {
		return err
	}
	if bad > 0 {
		return fmt.Errorf("%d cures are not good", bad)
	}
	return nil
}
