package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/agent/guard"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/diagnostics/linux"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote/recording"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions"
	"github.com/secondline-ops/secondline/runbooks/cases"
	"github.com/secondline-ops/secondline/runbooks/engine"
	"github.com/secondline-ops/secondline/runbooks/library"
)

func runbookTest(env *environment) *cobra.Command {
	var update bool
	var dirs, plugins []string
	cmd := &cobra.Command{
		Use:   "test [FOLDER|FILE…]",
		Short: "Try runbooks against recorded hosts; a command that is not recorded fails",
		Long: `Carries runbooks out against the cases that runbook record has made: the n-th time that a host is asked something, it gives
the n-th recorded answer, and no time passes while a step waits. A case fails when its plan or run comes out otherwise than
expected, when the host is asked what is not recorded, and when a recorded change is not made.

A folder stands for all cases in it, at any depth, and a runbook's file for those in testdata/<its name> beside it; without
either, it is the current folder. The runbook of a case is the one of its name in the folder that holds testdata, else in those
of --dir, else a shipped one. Exit code 1 says that cases failed.`,
		Example: `  secondline runbook test
  secondline runbook test my-runbooks/rotate.yaml
  secondline runbook test my-runbooks/testdata/rotate/full --update    # expect from now on what comes`,
	}
	out := addOutput(cmd)
	cmd.Flags().BoolVar(&update, "update", false, "write what came into the cases, as what they expect, unless the recording does not fit")
	cmd.Flags().StringSliceVar(&dirs, "dir", nil, "folder with runbooks of your own")
	pluginFlag(cmd, &plugins)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			args = []string{"."}
		}
		bench, err := newTestBench(cmd.Context(), env, plugins, dirs)
		if err != nil {
			return err
		}
		defer bench.close()
		bench.update = update
		found, err := bench.findCases(args)
		if err != nil {
			return err
		}
		return bench.tryAll(cmd.Context(), env, out, found)
	}
	return cmd
}

// testBench is what runbooks are tried with.
type testBench struct {
	tools   cases.Tools
	options runbooks.ParseOptions
	close   func()
	update  bool
	known   []*runbooks.Runbook // shipped, and those of --dir
}

func newTestBench(ctx context.Context, env *environment, plugins, dirs []string) (*testBench, error) {
	more, done, err := pluginProbes(ctx, plugins, env.unusable)
	if err != nil {
		return nil, err
	}
	b := &testBench{close: func() { _ = done() }} // they only read
	if err := b.load(more, dirs); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *testBench) load(more []diagnostics.Probe, dirs []string) error {
	probes := func(now func() time.Time) (*diagnostics.ProbeSet, error) {
		return diagnostics.NewProbeSet(slices.Concat(linux.Probes(now), more))
	}
	set, err := probes(time.Now)
	if err != nil {
		return err
	}
	b.tools = cases.Tools{Gate: guard.Limits{Mode: guard.Act}.Gate(), Actions: actions.All(), Specs: diagnostics.SpecsOf(set), Probes: func(now func() time.Time) (engine.ProbeReader, error) {
		set, err := probes(now)
		return diagnostics.Reader{Probes: set, Now: now}, err
	}}
	b.options = runbooks.ParseOptions{Decoders: actions.Decoders(), Probes: b.tools.Specs}
	if err := mustBeFolders(dirs); err != nil {
		return err
	}
	shelf := runbooks.Shelf{}
	b.options.Called = shelf.Find
	for _, dir := range append([]fs.FS{library.FS()}, folders(dirs)...) {
		c, err := runbooks.LoadCatalogue(dir, b.options)
		if err != nil {
			return err
		}
		b.known = append(c.All(), b.known...)
		shelf.Put(c.All()...)
	}
	return nil
}

// find returns the runbook of a file, or else of a name.
func (b *testBench) find(word string) (*runbooks.Runbook, error) {
	if ext := filepath.Ext(word); ext == ".yaml" || ext == ".yml" || strings.ContainsRune(word, filepath.Separator) {
		return b.read(word)
	}
	return b.named(word)
}

func (b *testBench) read(file string) (*runbooks.Runbook, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, err, "read the runbook")
	}
	return runbooks.Parse(file, data, b.options)
}

func (b *testBench) named(name string) (*runbooks.Runbook, error) {
	var names []string
	for _, rb := range b.known {
		if rb.Name == name {
			return rb, nil
		}
		names = append(names, rb.Name)
	}
	return nil, notThere("runbook", name, names)
}

// foundCase is the folder of a case.
type foundCase struct {
	dir     string
	runbook *runbooks.Runbook // nil: look for it
}

func (b *testBench) findCases(args []string) ([]foundCase, error) {
	var all []foundCase
	for _, arg := range args {
		found, err := b.casesOf(arg)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fault.New(fault.NotFound, "there is no case for %s", arg).WithHint("secondline runbook record makes one")
		}
		all = append(all, found...)
	}
	return all, nil
}

func (b *testBench) casesOf(arg string) ([]foundCase, error) {
	info, err := os.Stat(arg)
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, err, "look for cases")
	}
	if info.IsDir() {
		dirs, err := caseFolders(arg)
		found := make([]foundCase, 0, len(dirs))
		for _, dir := range dirs {
			found = append(found, foundCase{dir: dir})
		}
		return found, err
	}
	rb, err := b.read(arg)
	if err != nil {
		return nil, err
	}
	dirs, err := caseFolders(filepath.Join(filepath.Dir(arg), runbooks.TestDataDir, rb.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	found := make([]foundCase, 0, len(dirs))
	for _, dir := range dirs {
		found = append(found, foundCase{dir, rb})
	}
	return found, err
}

func caseFolders(root string) ([]string, error) {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == cases.CaseFile && !entry.IsDir() {
			dirs = append(dirs, filepath.Dir(path))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for cases: %w", err)
	}
	return dirs, nil
}

// triedCase is what came of a case.
type triedCase struct {
	Case      string   `json:"case"`
	Runbook   string   `json:"runbook,omitempty"`
	OK        bool     `json:"ok"`
	Updated   bool     `json:"updated,omitempty"`
	Exchanges int      `json:"exchanges"`
	Problems  []string `json:"problems"`
}

func (b *testBench) tryAll(ctx context.Context, env *environment, out *format, found []foundCase) error {
	tried, failed := []triedCase{}, 0
	for _, f := range found {
		t := b.try(ctx, f.dir, f.runbook)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !t.OK {
			failed++
		}
		tried = append(tried, t)
	}
	err := out.write(env.stdout, tried, func(w io.Writer) {
		for _, t := range tried {
			t.show(w, env.paints(w))
		}
		say(w, "%d cases, %d failed", len(tried), failed)
	})
	if err == nil && failed > 0 {
		return exitCode(fault.ExitFailed)
	}
	return err
}

func (t triedCase) show(w io.Writer, p paint) {
	word := p.as(green, "ok   ")
	switch {
	case t.Updated:
		word = p.as(yellow, "wrote")
	case !t.OK:
		word = p.as(red, "FAIL ")
	}
	fmt.Fprintln(w, word+" "+oneLine(fmt.Sprintf("%s (%s, %d exchanges)", t.Case, orDash(t.Runbook), t.Exchanges)))
	for _, problem := range t.Problems {
		fmt.Fprintln(w, indented(problem))
	}
}

// indented shows a text of several lines below a line.
func indented(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(clean(text), "\n"), "\n", "\n  ")
}

// try tries the case in the folder. Whatever is wrong with the case is a
// problem of this one only.
func (b *testBench) try(ctx context.Context, dir string, rb *runbooks.Runbook) triedCase {
	t := triedCase{Case: dir, Problems: []string{}}
	if err := b.tryOne(ctx, &t, rb); err != nil {
		t.Problems = append(t.Problems, problemText(err))
	}
	t.OK = len(t.Problems) == 0
	return t
}

func problemText(err error) string {
	text := err.Error()
	if list := yamlx.Errors(err); len(list) > 0 {
		var lines []string
		for _, e := range list {
			lines = append(lines, e.Detail())
		}
		text = strings.Join(lines, "\n")
	}
	if hint := hintOf(err); hint != "" {
		text += "\n  hint: " + hint
	}
	return text
}

func (b *testBench) tryOne(ctx context.Context, t *triedCase, rb *runbooks.Runbook) error {
	file := filepath.Join(t.Case, cases.CaseFile)
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the case: %w", err)
	}
	c, err := cases.Parse(file, text)
	if err != nil {
		return err
	}
	t.Runbook = c.Runbook
	if rb == nil || rb.Name != c.Runbook {
		if rb, err = b.runbookOf(t.Case, c.Runbook); err != nil {
			return err
		}
	}
	host, err := readHost(filepath.Join(t.Case, cases.HostFile))
	if err != nil {
		return err
	}
	t.Exchanges = len(host)
	result, err := cases.Test(ctx, c, rb, host, redact.New(), b.tools)
	if err != nil {
		return err
	}
	if b.update && result.Difference != "" && len(result.Unscripted)+len(result.Unasked) == 0 {
		if text, err = cases.Update(file, text, result.Got); err != nil {
			return err
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return fmt.Errorf("write the case: %w", err)
		}
		t.Updated, result.Difference = true, ""
	}
	t.Problems = append(t.Problems, problems(result)...)
	return nil
}

func readHost(file string) ([]recording.Exchange, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("read the recording: %w", err)
	}
	if info.Size() > recording.MaxBytes {
		return nil, fault.New(fault.TooLarge, "%s has more than %d bytes", file, recording.MaxBytes)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the recording: %w", err)
	}
	return recording.Parse(file, data)
}

func problems(r cases.Result) []string {
	out := []string{}
	if r.Difference != "" {
		out = append(out, "expected (-), and came (+):\n"+r.Difference)
	}
	for _, question := range r.Unscripted {
		out = append(out, "not in the recording: "+question)
	}
	for _, change := range r.Unasked {
		out = append(out, "recorded, and not done any more: "+change)
	}
	return out
}

// runbookOf finds the runbook of a case: beside the testdata that holds the
// case, else among those that are known.
func (b *testBench) runbookOf(dir, name string) (*runbooks.Runbook, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the case: %w", err)
	}
	for at := abs; at != filepath.Dir(at); at = filepath.Dir(at) {
		if filepath.Base(at) != runbooks.TestDataDir {
			continue
		}
		if rb, err := b.readNamed(filepath.Dir(at), name); rb != nil || err != nil {
			return rb, err
		}
	}
	return b.named(name)
}

// readNamed looks for the runbook of the name in a folder: its file has its
// name, as a rule. Files with mistakes are those of others, unless it is that one.
func (b *testBench) readNamed(dir, name string) (*runbooks.Runbook, error) {
	own := filepath.Join(dir, name+".yaml")
	if _, err := os.Stat(own); err == nil {
		return b.read(own)
	}
	files, err := topFiles(dir)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if rb, err := b.read(file); err == nil && rb.Name == name {
			return rb, nil
		}
	}
	return nil, nil //nolint:nilnil // it may be known otherwise
}
