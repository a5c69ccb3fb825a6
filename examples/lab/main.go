// Lab boots a small company of real Debian servers on this machine, breaks it on
// request, and measures how Secondline finds and mends what broke. docs/lab.md
// explains it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/examples/lab/company"
	"github.com/secondline-ops/secondline/examples/lab/servers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() > 0 {
			os.Exit(exit.ExitCode())
		}
		os.Exit(1)
	}
}

func command() *cobra.Command {
	l := &lab{}
	root := &cobra.Command{
		Use: "lab", Short: "A small company of real servers on this machine, to be broken and mended", SilenceUsage: true, SilenceErrors: true,
		Long: `A small company of real Debian servers on this machine: load balancer, application, database, cache, names, monitoring and
Secondline itself, in a network of their own that leads nowhere. It needs root, Debian, systemd-nspawn and debootstrap.`,
		Example: `  go run ./examples/lab up
  go run ./examples/lab fault disk-full-logs
  go run ./examples/lab status
  go run ./examples/lab down`,
	}
	root.PersistentFlags().StringVar(&l.cache, "cache", servers.DefaultCache(), "folder of the base image and of running labs")
	root.PersistentFlags().StringVar(&l.program, "program", os.Getenv("SECONDLINE_PROGRAM"), "a built secondline to use (SECONDLINE_PROGRAM; else it is built from here)")
	root.AddCommand(l.up(), l.down(), l.status(), l.shell(), l.secondline(), l.forward(), l.fault(), l.heal(), l.rehearse(), l.cures(), l.bench())
	return root
}

// lab is what every command needs to find the one lab of this machine.
type lab struct{ cache, program string }

func (l *lab) options(cmd *cobra.Command) (company.Options, error) {
	dir, err := repository()
	began := time.Now()
	return company.Options{
		Cache: l.cache, Repository: dir, Program: l.program, Now: time.Now,
		Say: func(text string) { fmt.Fprintf(cmd.ErrOrStderr(), "%5.1fs  %s\n", time.Since(began).Seconds(), text) },
	}, err
}

// repository is the folder above that has go.mod.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("run it in the folder of the repository: it builds Secondline from there")
}

// name is the lab that is up.
func (l *lab) name() (string, error) {
	names, err := servers.Kept(l.cache)
	switch {
	case err != nil:
		return "", err
	case len(names) == 0:
		return "", errors.New(`no lab is up; "go run ./examples/lab up" boots one`)
	case len(names) > 1:
		return "", fmt.Errorf(`%d labs are up (%s); "go run ./examples/lab down" ends them all`, len(names), strings.Join(names, ", "))
	}
	return names[0], nil
}

func (l *lab) attach() (*company.Company, error) {
	name, err := l.name()
	if err != nil {
		return nil, err
	}
	return company.Attach(company.Options{Cache: l.cache, Now: time.Now}, name)
}

func (l *lab) up() *cobra.Command {
	auto := false
	cmd := &cobra.Command{
		Use: "up", Short: "Boot the company and leave it running", Args: cobra.NoArgs,
		Example: `  go run ./examples/lab up           # a person approves what is to be changed
  go run ./examples/lab up --auto    # shipped runbooks may act by themselves`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			names, err := servers.Kept(l.cache)
			if err != nil {
				return err
			}
			if len(names) > 0 {
				return fmt.Errorf(`a lab is up (%s); "go run ./examples/lab down" ends it`, strings.Join(names, ", "))
			}
			o, err := l.options(cmd)
			if err != nil {
				return err
			}
			o.Auto = auto
			c, err := company.Up(cmd.Context(), o)
			if err != nil {
				return err
			}
			if err := c.Keep(cmd.Context()); err != nil {
				return errors.Join(err, c.Lab.Close())
			}
			fmt.Fprint(cmd.OutOrStdout(), c.Welcome())
			return nil
		},
	}
	cmd.Flags().BoolVar(&auto, "auto", false, "grant every shipped runbook the right to act without being asked")
	return cmd
}

func (l *lab) down() *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "End the lab and leave nothing of it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			names, err := servers.Kept(l.cache)
			if err != nil {
				return err
			}
			var errs []error
			for _, name := range names {
				kept, err := servers.Attach(l.cache, name)
				if err == nil {
					err = kept.Close()
				}
				errs = append(errs, err)
				fmt.Fprintln(cmd.OutOrStdout(), "ended", name)
			}
			return errors.Join(append(errs, servers.Sweep(cmd.Context(), l.cache))...)
		},
	}
}

func (l *lab) status() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show hosts, alerts and incidents", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := l.attach()
			if err != nil {
				return err
			}
			return c.Status(cmd.Context(), cmd.OutOrStdout())
		},
	}
}

func (l *lab) shell() *cobra.Command {
	cmd := &cobra.Command{
		Use: "shell HOST [COMMAND...]", Short: "A shell as root on a host", Args: cobra.MinimumNArgs(1),
		Example: `  go run ./examples/lab shell app1
  go run ./examples/lab shell db1 journalctl -u 'postgresql@15-main' -n 20`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return company.HostNames(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := l.attach()
			if err != nil {
				return err
			}
			h, err := c.Lab.Host(args[0])
			if err != nil {
				return fmt.Errorf("%w; hosts: %s", err, strings.Join(company.HostNames(), ", "))
			}
			argv := args[1:]
			if len(argv) == 0 {
				argv = []string{"bash", "-l"}
			}
			return attached(h.Command(cmd.Context(), argv...))
		},
	}
	cmd.Flags().SetInterspersed(false) // what follows the host is the command's
	return cmd
}

// secondline runs the program beside the hosts, with the address and the token
// of the lab's controller.
func (l *lab) secondline() *cobra.Command {
	return &cobra.Command{
		Use: "secondline [ARGUMENTS...]", Short: "Run secondline as the lab's operator", DisableFlagParsing: true,
		Example: `  go run ./examples/lab secondline incident list
  go run ./examples/lab secondline incident show 1`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := l.attach()
			if err != nil {
				return err
			}
			return attached(c.Operator(cmd.Context(), args...))
		},
	}
}

func attached(cmd *exec.Cmd) error {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}

// forward is what "up" leaves running: people's browsers are outside.
func (l *lab) forward() *cobra.Command {
	return &cobra.Command{
		Use: "forward NAME", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			kept, err := servers.Attach(l.cache, args[0])
			if err != nil {
				return err
			}
			return company.Forward(cmd.Context(), kept)
		},
	}
}
