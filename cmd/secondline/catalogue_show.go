package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller"
	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/catalogue"
	"github.com/secondline-ops/secondline/internal/fault"
)

// catalogueStanding is what "catalogue status" says.
type catalogueStanding struct {
	Pin     *catalogue.Pin `json:"pin"`     // null when nothing was pinned yet
	Problem string         `json:"problem"` // why what is pinned cannot be used; "" when it can
	// Controller is what the running controller works with; null when it could
	// not be asked.
	Controller *api.CatalogueInfo `json:"controller"`
}

func catalogueStatus(env *environment, f *catalogueFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show what is pinned, whether it can be used, and what the controller works with", Args: exactly(0),
		Long:              `Exit code 1 says that what is pinned cannot be used: its files are not those that were pinned, or lint refuses them.`,
		Example:           `  secondline catalogue status --config /etc/secondline/controller.yaml`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	out := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d, err := f.desk(env)
		if err != nil {
			return err
		}
		probes, err := d.probes()
		if err != nil {
			return err
		}
		s := catalogueStanding{Controller: d.inController(cmd.Context())}
		if len(d.pins) > 0 {
			s.Pin = &d.pins[0]
		}
		if _, _, err := d.conf.catalogue(probes); err != nil {
			s.Problem = err.Error()
		}
		if err := out.write(env.stdout, s, func(w io.Writer) { d.showStanding(w, env.paints(w), s) }); err != nil {
			return err
		}
		if s.Problem != "" {
			return exitCode(fault.ExitFailed)
		}
		return nil
	}
	return cmd
}

func (d *catalogueDesk) showStanding(w io.Writer, p paint, s catalogueStanding) {
	git := d.conf.Catalogue.Git
	if s.Pin == nil {
		say(w, "nothing is pinned yet of %s; the controller works without it", git.URL)
		say(w, "  to pin what %s names now: secondline catalogue pull", orHead(git.Ref))
	} else {
		showPin(w, p, *s.Pin)
		if s.Pin.URL != git.URL || s.Pin.Path != git.Path {
			say(w, "  the configuration names another place by now: %s %s", git.URL, git.Path)
		}
	}
	if s.Problem != "" {
		fmt.Fprintln(w, p.as(red, "it cannot be used:"))
		for line := range strings.Lines(s.Problem) {
			say(w, "  %s", strings.TrimSuffix(line, "\n"))
		}
	}
	switch c := s.Controller; {
	case c == nil:
		say(w, "the controller could not be asked")
	case c.Git == nil:
		say(w, "the controller works without a commit since %s: %d runbooks, %d causes", clock(c.LoadedAt), c.Runbooks, c.Causes)
	default:
		say(w, "the controller works with %.12s since %s: %d runbooks, %d causes with the shipped ones", c.Git.Commit, clock(c.LoadedAt), c.Runbooks, c.Causes)
	}
	if s.Controller != nil && s.Controller.Problem != "" {
		say(w, "  it read its files again at %s, and took nothing: %s", clock(s.Controller.ProblemAt), s.Controller.Problem)
	}
}

func orHead(ref string) string {
	if ref == "" {
		return "HEAD"
	}
	return ref
}

func showPin(w io.Writer, p paint, pin catalogue.Pin) {
	fmt.Fprintln(w, p.as(bold, oneLine(fmt.Sprintf("pinned is %s: %s", pin.Commit, pin.Subject))))
	say(w, "  from      %s, %s %s", pin.URL, orHead(pin.Ref), pin.Path)
	say(w, "  by        %s at %s (%s)", pin.By, clock(pin.At), strings.ReplaceAll(string(pin.Act), "_", " "))
	if pin.Signer != "" {
		say(w, "  signed    by %s", pin.Signer)
	}
	say(w, "  files     %s", pin.Digest)
}

func catalogueLog(env *environment, f *catalogueFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "log", Short: "List the commits that were in force, the present one first", Args: exactly(0),
		Long:              fmt.Sprintf("The last %d are remembered, with their files.", catalogue.MaxPins),
		Example:           `  secondline catalogue log --config /etc/secondline/controller.yaml`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	out := addOutput(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		d, err := f.desk(env)
		if err != nil {
			return err
		}
		list := struct {
			Pins []catalogue.Pin `json:"pins"`
		}{append([]catalogue.Pin{}, d.pins...)}
		return out.write(env.stdout, list, func(w io.Writer) {
			rows := [][]string{{"AT", "HOW", "BY", "COMMIT", "REF", "SIGNED BY", "SUBJECT"}}
			for _, p := range d.pins {
				rows = append(rows, []string{
					clock(p.At), strings.ReplaceAll(string(p.Act), "_", " "), p.By, p.Commit[:12], orHead(p.Ref), orDash(p.Signer), p.Subject,
				})
			}
			columns(w, rows)
		})
	}
	return cmd
}

func showMoved(w io.Writer, p paint, m moved, full bool) {
	for _, c := range m.Changes {
		showChange(w, p, c, full)
	}
	if len(m.Changes) == 0 {
		say(w, "no runbook and no cause changes")
	}
	if m.Pin == nil {
		return
	}
	showPin(w, p, *m.Pin)
	if m.Before != "" && m.Before != m.Pin.Commit {
		say(w, "  before    %s; back to it: secondline catalogue use %.12s", m.Before, m.Before)
	}
	say(w, "%s", m.Controller)
}

func showChange(w io.Writer, p paint, c controller.Change, full bool) {
	colour := map[string]string{controller.Added: green, controller.Removed: red, controller.Changed: yellow}[c.What]
	fmt.Fprintln(w, p.as(colour, oneLine(fmt.Sprintf("%-8s %s %s", c.What, c.Kind, c.Name))))
	for _, line := range c.Matters {
		say(w, "  %s", line)
	}
	if c.What == controller.Changed && len(c.Matters) == 0 {
		say(w, "  nothing that decides what is done: words and comments only")
	}
	if !full {
		return
	}
	for line := range strings.Lines(c.Diff) {
		say(w, "    %s", strings.TrimSuffix(line, "\n"))
	}
}
