package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/diagnostics/causes"
	"github.com/secondline-ops/secondline/diagnostics/linux"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/plugins/bundled"
	"github.com/secondline-ops/secondline/plugins/host"
	"github.com/secondline-ops/secondline/runbooks/actions"
	"github.com/secondline-ops/secondline/runbooks/library"
)

// localCatalogue is what this binary ships, and the folders' own.
func localCatalogue(causeDirs, runbookDirs []string, probes *diagnostics.ProbeSet) (*controller.Catalogue, error) {
	if err := mustBeFolders(slices.Concat(causeDirs, runbookDirs)); err != nil {
		return nil, err
	}
	return controller.LoadCatalogue(controller.CatalogueSource{
		Causes: append([]fs.FS{causes.FS()}, folders(causeDirs)...), Runbooks: append([]fs.FS{library.FS()}, folders(runbookDirs)...),
		Probes: probes, Decoders: actions.Decoders(),
	})
}

// bundledPlugins are the plugins with probes that this binary serves itself.
func bundledPlugins() []string { return bundled.Names() }

// pluginHost is a host of the bundled plugins with the names, and of the others.
func pluginHost(names []string, others ...host.Entry) (*host.Host, error) {
	entries, err := bundled.Entries(names...)
	if err != nil {
		return nil, err
	}
	entries = append(entries, others...)
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
		return declaredProbes(l.plugins)
	}
	c, err := readConfig(l.config, defaultConfig(env))
	if err != nil {
		return nil, err
	}
	return declaredProbes(c.Plugins)
}

// forbidden is what the causes that the controller would load forbid their cures.
func (l *lintFlags) forbidden(env *environment, probes *diagnostics.ProbeSet) (map[string][]string, error) {
	var dirs []string
	if l.config != "" {
		c, err := readConfig(l.config, defaultConfig(env))
		if err != nil {
			return nil, err
		}
		dirs = c.Causes
	}
	cat, err := localCatalogue(dirs, nil, probes)
	if err != nil {
		return nil, err
	}
	return cat.Causes.Forbidden(), nil
}

// declaredProbes are the built-in probes and those of the named plugins, for
// what they declare and to understand what was read; no process is started.
func declaredProbes(names []string) (*diagnostics.ProbeSet, error) {
	more, err := bundled.Declared(names...)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "plugins").WithHint("%s", hintOf(err))
	}
	return diagnostics.NewProbeSet(append(linux.Probes(time.Now), more...))
}

// unusable tells a person of a plugin that is left out.
func (e *environment) unusable(why error) { say(e.stderr, "a plugin cannot be used: %v", why) }

// allProbes are the built-in probes and those of the bundled plugins, whose
// processes end with done. A plugin that cannot be used is left out, and
// unusable told why.
func allProbes(ctx context.Context, names []string, unusable func(why error)) (set *diagnostics.ProbeSet, done func() error, err error) {
	more, done, err := pluginProbes(ctx, names, unusable)
	if err != nil {
		return nil, nil, err
	}
	if set, err = diagnostics.NewProbeSet(append(linux.Probes(time.Now), more...)); err != nil {
		return nil, nil, errors.Join(err, done())
	}
	return set, done, nil
}

// pluginProbes are those of allProbes that come from plugins.
func pluginProbes(ctx context.Context, names []string, unusable func(why error)) (probes []diagnostics.Probe, done func() error, err error) {
	h, err := pluginHost(names)
	if err != nil {
		return nil, nil, err
	}
	probes, err = h.Probes(ctx)
	if err != nil {
		unusable(err)
	}
	return probes, h.Close, nil
}

// notThere says that there is no cause or runbook of the name, and which was
// probably meant.
func notThere(what, name string, known []string) error {
	err := fault.New(fault.NotFound, "there is no %s %q", what, name)
	if near := yamlx.Suggest(name, known); near != "" {
		return err.WithHint("did you mean %q?", near)
	}
	return err.WithHint("secondline %s list", what)
}

func hintOf(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Hint
	}
	return ""
}
