package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/diagnostics/causes"
	"github.com/secondline-ops/secondline/diagnostics/linux"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/plugins/host"
	"github.com/secondline-ops/secondline/runbooks/actions"
	"github.com/secondline-ops/secondline/runbooks/library"
)

// localCatalogue is what this binary ships, and the folders' own.
func localCatalogue(causeDirs, runbookDirs []string, probes *diagnostics.ProbeSet) (*controller.Catalogue, error) {
	for _, dirs := range [][]string{causeDirs, runbookDirs} {
		for _, dir := range dirs {
			if info, err := os.Stat(dir); err != nil || !info.IsDir() {
				return nil, fault.New(fault.NotFound, "there is no folder %s", dir)
			}
		}
	}
	return controller.LoadCatalogue(controller.CatalogueSource{
		Causes: append([]fs.FS{causes.FS()}, folders(causeDirs)...), Runbooks: append([]fs.FS{library.FS()}, folders(runbookDirs)...),
		Probes: probes, Decoders: actions.Decoders(),
	})
}

// bundledPlugins are the plugins with probes that this binary serves itself.
func bundledPlugins() []string { return []string{"tls"} }

// bundled is a host of the bundled plugins with the names.
func bundled(names ...string) (*host.Host, error) {
	entries, err := host.Bundled(names...)
	if err != nil {
		return nil, err
	}
	return host.New(host.Options{Dir: shortTempDir(), Entries: entries, Logger: slog.New(slog.DiscardHandler), Now: time.Now})
}

// shortTempDir is a folder in which the name of a socket has room
// (108 bytes, unix(7)).
func shortTempDir() string {
	const room = 40
	if dir := os.TempDir(); len(dir) <= room {
		return dir
	}
	return "/tmp"
}

// pluginFlag says which bundled plugins there are for causes, runbooks and checks.
func pluginFlag(cmd *cobra.Command, into *[]string) {
	cmd.Flags().StringSliceVar(into, "plugin", bundledPlugins(), "bundled plugins whose probes causes, runbooks and checks may use; give the same to the agents")
}

// lintFlags say what a lint goes by: the controller's own configuration, so that
// what it passes is what the controller loads.
type lintFlags struct {
	config  string
	plugins []string
}

func addLintFlags(cmd *cobra.Command) *lintFlags {
	var l lintFlags
	cmd.Flags().StringVar(&l.config, "config", "", "the controller's configuration file, whose plugins count")
	pluginFlag(cmd, &l.plugins)
	return &l
}

// probes are those that the controller would load with.
func (l *lintFlags) probes(cmd *cobra.Command, env *environment) (*diagnostics.ProbeSet, error) {
	if l.config == "" || cmd.Flags().Changed("plugin") {
		return declaredProbes(cmd.Context(), l.plugins, env.unusable)
	}
	c, err := readConfig(l.config, defaultConfig(env))
	if err != nil {
		return nil, err
	}
	return declaredProbes(cmd.Context(), c.Plugins, env.unusable)
}

// declaredProbes are the built-in probes and those of the named plugins, for
// what they declare: the plugins are started once and ended, so that nothing
// can be read with their probes.
func declaredProbes(ctx context.Context, names []string, unusable func(why error)) (*diagnostics.ProbeSet, error) {
	for _, name := range names {
		if !slices.Contains(bundledPlugins(), name) {
			return nil, fault.New(fault.Invalid, "there is no bundled plugin %q", name).WithHint("there are: %s", strings.Join(bundledPlugins(), ", "))
		}
	}
	if len(names) == 0 {
		return builtinProbes()
	}
	set, done, err := allProbes(ctx, names, unusable)
	if err != nil {
		return nil, err
	}
	return set, done()
}

// unusable tells a person of a plugin that is left out.
func (e *environment) unusable(why error) { say(e.stderr, "a plugin cannot be used: %v", why) }

// allProbes are the built-in probes and those of the bundled plugins, whose
// processes end with done. A plugin that cannot be used is left out, and
// unusable told why.
func allProbes(ctx context.Context, names []string, unusable func(why error)) (set *diagnostics.ProbeSet, done func() error, err error) {
	h, err := bundled(names...)
	if err != nil {
		return nil, nil, err
	}
	more, err := h.Probes(ctx)
	if err != nil {
		unusable(err)
	}
	if set, err = diagnostics.NewProbeSet(append(linux.Probes(time.Now), more...)); err != nil {
		return nil, nil, errors.Join(err, h.Close())
	}
	return set, h.Close, nil
}

// linted is what lint found, for programs.
type linted struct {
	Files    int            `json:"files"`
	Mistakes []*yamlx.Error `json:"mistakes"`
}

// lint checks each file and shows every mistake of all of them. Exit code 1
// says that there are some.
func lint(env *environment, out *format, files []string, check func(file string, data []byte) error) error {
	result := linted{Files: len(files), Mistakes: []*yamlx.Error{}}
	for _, file := range files {
		data, err := readInput(env, file)
		if err != nil {
			return err
		}
		if err := check(file, data); err != nil {
			found := yamlx.Errors(err)
			if len(found) == 0 { // it has no place in the file
				found = []*yamlx.Error{{File: file, Line: 1, Column: 1, Message: err.Error(), Hint: hintOf(err)}}
			}
			result.Mistakes = append(result.Mistakes, found...)
		}
	}
	if err := out.write(env.stdout, result, func(w io.Writer) {
		for _, e := range result.Mistakes {
			if _, err := io.WriteString(w, clean(e.Detail())+"\n"); err != nil {
				return
			}
			if e.Rule != "" {
				say(w, "rule: %s", e.Rule)
			}
		}
		if len(result.Mistakes) == 0 {
			say(w, "%d files, no mistakes", result.Files)
			return
		}
		say(w, "%d files, %d mistakes", result.Files, len(result.Mistakes))
	}); err != nil {
		return err
	}
	if len(result.Mistakes) > 0 {
		return exitCode(fault.ExitFailed)
	}
	return nil
}

func hintOf(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Hint
	}
	return ""
}
