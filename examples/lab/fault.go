package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/examples/lab/faults"
)

func (l *lab) fault() *cobra.Command {
	host := ""
	cmd := &cobra.Command{
		Use: "fault [FAULT]", Short: "List what can be broken, or break it", Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeFaults,
		Example: `  go run ./examples/lab fault
  go run ./examples/lab fault disk-full-logs
  go run ./examples/lab fault disk-full-logs --host app2`,
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := faults.All()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return list(cmd, all)
			}
			ref := args[0]
			if host != "" {
				ref += "@" + host
			}
			return l.inject(cmd, all, ref)
		},
	}
	cmd.Flags().StringVar(&host, "host", "", "where, if not on the fault's usual host")
	return cmd
}

func completeFaults(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	all, err := faults.All()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	for _, f := range all {
		out = append(out, f.ID+"\t"+f.Title)
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func list(cmd *cobra.Command, all []*faults.Fault) error {
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "GROUP\tFAULT\tHOST\tWHAT HAPPENS")
	all = slices.SortedStableFunc(slices.Values(all), func(a, b *faults.Fault) int { return strings.Compare(a.Area(), b.Area()) })
	for _, f := range all {
		where := strings.Join(append([]string{f.Host}, f.Hosts...), ",")
		if len(f.Together) > 0 {
			where = "together"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", f.Area(), f.ID, where, f.Title)
	}
	return table.Flush()
}

func (l *lab) inject(cmd *cobra.Command, all []*faults.Fault, ref string) error {
	cases, err := faults.Cases(all, ref)
	if err != nil {
		return err
	}
	c, err := l.attach()
	if err != nil {
		return err
	}
	broken, err := c.Broken()
	if err != nil {
		return err
	}
	for _, fault := range cases {
		this := fault.Fault.ID + "@" + fault.Host
		if slices.Contains(broken, this) {
			return fmt.Errorf(`%s is injected already; "go run ./examples/lab heal" puts everything right`, this)
		}
		broken = append(broken, this)
		if err := c.NoteBroken(broken); err != nil { // before, so that heal also finds half of it
			return err
		}
		if err := errors.Join(c.Inject(cmd.Context(), fault), c.Lab.Keep()); err != nil {
			return err
		}
		if err := c.Complain(cmd.Context(), fault); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", fault.Host, fault.Fault.Title)
	}
	fmt.Fprintln(cmd.OutOrStdout(), `Watch it: go run ./examples/lab status, or http://127.0.0.1:17420`)
	return nil
}

func (l *lab) heal() *cobra.Command {
	return &cobra.Command{
		Use: "heal", Short: "Put right what was broken", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := faults.All()
			if err != nil {
				return err
			}
			c, err := l.attach()
			if err != nil {
				return err
			}
			broken, err := c.Broken()
			if err != nil {
				return err
			}
			if len(broken) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "nothing to heal: no fault was injected that is not healed yet")
			}
			var errs []error
			var left []string
			for _, ref := range broken {
				cases, err := faults.Cases(all, ref)
				for _, fault := range cases {
					err = errors.Join(err, c.Heal(cmd.Context(), fault))
				}
				if err != nil {
					left = append(left, ref)
					errs = append(errs, err)
					continue
				}
				fmt.Fprintln(cmd.OutOrStdout(), "healed", ref)
			}
			return errors.Join(append(errs, c.NoteBroken(left), c.Lab.Keep())...)
		},
	}
}

// faultsFrom returns the faults of a folder, or for "" those of the lab.
func faultsFrom(dir string) ([]*faults.Fault, error) {
	if dir == "" {
		return faults.All()
	}
	return faults.Load(os.DirFS(dir))
}

// rehearse is for who writes faults.
func (l *lab) rehearse() *cobra.Command {
	from := ""
	cmd := &cobra.Command{
		Use: "rehearse FAULT...", Short: "Inject faults one by one, wait for their alerts, and heal them again", Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: completeFaults,
		Long: `Does with each fault what a benchmark needs of it: it takes, its alerts fire, healing ends both and can be done twice. With --from the files are
read from a folder, so that a new fault is tried without building anything.`,
		Example: `  go run ./examples/lab rehearse disk-full-logs@app2
  go run ./examples/lab rehearse --from examples/lab/faults my-new-fault`,
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := faultsFrom(from)
			if err != nil {
				return err
			}
			c, err := l.attach()
			if err != nil {
				return err
			}
			var errs []error
			for _, ref := range args {
				cases, err := faults.Cases(all, ref)
				if err != nil {
					return err
				}
				for _, fault := range cases {
					times, err := c.Rehearse(cmd.Context(), fault)
					if err = errors.Join(err, c.Lab.Keep()); err != nil {
						errs = append(errs, fmt.Errorf("%s@%s: %w", fault.Fault.ID, fault.Host, err))
						fmt.Fprintf(cmd.OutOrStdout(), "%s@%s: NOT GOOD: %v\n", fault.Fault.ID, fault.Host, err)
						continue
					}
					fmt.Fprintf(cmd.OutOrStdout(), "%s@%s: good: alerts %v, quiet %s after healing\n", fault.Fault.ID, fault.Host, times.Alerts, times.Healed.Round(time.Second/10))
				}
			}
			return errors.Join(errs...)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "folder with faults, instead of the built-in ones")
	return cmd
}
