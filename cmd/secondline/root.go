package main

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// environment is everything outside the process that a command may touch.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
}

// terminal reports whether a stream is one; colour and progress are for people only.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// clean takes terminal escapes and other control bytes out of text that may
// come from an alert, a log line or a server.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		if unicode.IsControl(r) || r == '\u202e' || r == '\u2066' || r == '\u2067' || r == '\u2068' {
			return '\uFFFD'
		}
		return r
	}, text)
}

func (e *environment) logger(level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: l}))
}

// stateDir is where this user's state lives: $XDG_STATE_HOME/secondline, else
// ~/.local/state/secondline (XDG Base Directory Specification 0.8).
func (e *environment) stateDir() string {
	if dir := e.getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "secondline")
	}
	return filepath.Join(e.getenv("HOME"), ".local", "state", "secondline")
}

func newRoot(env *environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "secondline",
		Short: "Second-line support that works by itself and hands the third line a proven root cause",
		Long: `Secondline takes alerts, finds the cause on the server, runs the runbook that cures it, measures that the
symptom is gone, and otherwise calls a person with a bundle that proves what it found.

Start here:
  secondline demo                       the whole story on this machine, harmless, in under a minute
  secondline diagnose user@host         what is wrong with a server, read-only, over SSH
  secondline controller                 take alerts, decide, show the web page on 127.0.0.1:7420`,
		SilenceUsage: true, SilenceErrors: true, Version: version, Args: cobra.ArbitraryArgs, // group refuses what is no command
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{errFlag(c, err)}
	})
	group(root,
		demoCommand(env), controllerCommand(env), agentCommand(env), diagnoseCommand(env),
		signalCommand(env), incidentCommand(env), runCommand(env), approveCommand(env), rejectCommand(env),
		agentsCommand(env), bundleCommand(env), catalogueCommand(env), runbookCommand(env), causeCommand(env), probeCommand(env), checkCommand(env),
		inventoryCommand(env), rcaCommand(env), tokenCommand(env), pluginCommand(env), doctorCommand(env), versionCommand(env),
	)
	fromEnvironment(root, env)
	return root
}

// fromEnvironment lets SECONDLINE_<FLAG> set any flag that the command line
// does not.
func fromEnvironment(root *cobra.Command, env *environment) {
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		var err error
		c.Flags().VisitAll(func(f *pflag.Flag) {
			// A yes is given for one command line; the connection reads its own variables.
			if f.Changed || err != nil || slices.Contains([]string{"yes", "token", "token-file", "url"}, f.Name) {
				return
			}
			name := "SECONDLINE_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
			if v := env.getenv(name); v != "" {
				if serr := c.Flags().Set(f.Name, v); serr != nil {
					err = usageError{errUsage(c, serr)}
				}
			}
		})
		return err
	}
}
