package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"time"

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

// allProbes are the built-in probes and those of the bundled plugins, whose
// processes end with done. A plugin that cannot be used is named and left out.
func allProbes(ctx context.Context, env *environment) (set *diagnostics.ProbeSet, done func() error, err error) {
	h, err := bundled(bundledPlugins()...)
	if err != nil {
		return nil, nil, err
	}
	more, err := h.Probes(ctx)
	if err != nil {
		say(env.stderr, "a plugin cannot be used: %v", err)
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
