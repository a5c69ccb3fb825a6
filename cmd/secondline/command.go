package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/internal/fault"
)

// maxInputBytes bounds a file that a command reads; it is what the controller
// takes as one delivery, and then some.
const maxInputBytes = 16 << 20

// group makes a command that only has commands below it. A word that is none
// of them is a wrong call, not a request for help.
func group(cmd *cobra.Command, below ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(below...)
	cmd.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		err := fault.New(fault.Invalid, "%s has no command %q", c.CommandPath(), args[0])
		c.SuggestionsMinimumDistance = 2
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			return usageError{err.WithHint("did you mean %q?", c.CommandPath()+" "+near[0])}
		}
		return usageError{err.WithHint("%s --help", c.CommandPath())}
	}
	return cmd
}

// exactly, atLeastOne and atMostOne count arguments; a wrong number is a wrong call.
func exactly(n int) cobra.PositionalArgs { return counted(cobra.ExactArgs(n)) }
func atLeastOne() cobra.PositionalArgs   { return counted(cobra.MinimumNArgs(1)) }
func atMostOne() cobra.PositionalArgs    { return counted(cobra.MaximumNArgs(1)) }

func counted(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usageError{errUsage(c, err)}
		}
		return nil
	}
}

// addOutput is addFormat for commands that act: a wrong -o and a missing flag
// are refused, as wrong calls, before anything was done.
func addOutput(c *cobra.Command) *format {
	f := addFormat(c)
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		if err := c.ValidateRequiredFlags(); err != nil {
			return usageError{errUsage(c, err)}
		}
		return f.write(io.Discard, struct{}{}, func(io.Writer) {})
	}
	return f
}

// pairs reads k=v arguments. A key may be there once.
func pairs(what string, list []string) (map[string]string, error) {
	out := make(map[string]string, len(list))
	for _, word := range list {
		key, value, ok := strings.Cut(word, "=")
		if !ok || key == "" {
			return nil, usageError{fault.New(fault.Invalid, "%s %q is not of the form name=value", what, word)}
		}
		if _, twice := out[key]; twice {
			return nil, usageError{fault.New(fault.Invalid, "%s %q is given twice", what, key)}
		}
		out[key] = value
	}
	return out, nil
}

// pairText shows pairs in the order of their keys.
func pairText(m map[string]string) string {
	words := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		words = append(words, k+"="+m[k])
	}
	return strings.Join(words, " ")
}

// readInput reads the file, or standard input for "-".
func readInput(env *environment, path string) ([]byte, error) {
	in := env.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fault.Wrap(fault.NotFound, err, "read input")
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxInputBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(data) > maxInputBytes {
		return nil, fault.New(fault.TooLarge, "%s has more than %d bytes", path, maxInputBytes)
	}
	return data, nil
}

// paint is the colour of a terminal; elsewhere it changes nothing.
type paint struct{ on bool }

// paints returns the paint for what is written to w (https://no-color.org).
func (e *environment) paints(w io.Writer) paint {
	return paint{terminal(w) && e.getenv("NO_COLOR") == "" && e.getenv("TERM") != "dumb"}
}

// The colours, as parameters of SGR (ECMA-48, 8.3.117).
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// as paints text that is clean already.
func (p paint) as(colour, text string) string {
	if !p.on {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// ago says how long ago something was, for people.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return span(now.Sub(t))
}

// span shows a duration in its two largest units.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// say writes one line of text that may be hostile: it stays one line.
func say(w io.Writer, format string, args ...any) {
	fmt.Fprintln(w, oneLine(fmt.Sprintf(format, args...)))
}

// oneLine cleans text that may not pretend to be a line of ours.
func oneLine(text string) string { return strings.Map(dropNewlines, clean(text)) }

func dropNewlines(r rune) rune {
	if r == '\n' {
		return ' '
	}
	return r
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
