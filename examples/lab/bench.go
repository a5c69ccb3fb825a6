package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/examples/lab/bench"
	"github.com/secondline-ops/secondline/examples/lab/company"
	"github.com/secondline-ops/secondline/examples/lab/faults"
	"github.com/secondline-ops/secondline/examples/lab/trial"
)

// benchOptions are the flags of bench.
type benchOptions struct {
	records, tool, release, markdown string
	groups                           []string
}

func (l *lab) bench() *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use: "bench [FAULT[@HOST]...]", Short: "Measure how causes are found and mended, on chosen or all faults", ValidArgsFunction: completeFaults,
		Long: `Boots a company of its own, runs each fault on hosts as they were before, and prints what was found, mended and harmed. The
records are kept in a file: a run that was interrupted goes on where it was, and what was measured with this version is not
measured again. docs/lab.md says what each number means, and how another tool takes part.`,
		Example: `  go run ./examples/lab bench
  go run ./examples/lab bench disk-full-logs@app2 bad-config-nginx
  go run ./examples/lab bench --group A --group healthy
  go run ./examples/lab bench --tool ./my-tool --release 1.2 --records my-tool.jsonl`,
		RunE: func(cmd *cobra.Command, args []string) error { return l.runBench(cmd, o, args) },
	}
	f := cmd.Flags()
	f.StringVar(&o.records, "records", "hostrca-bench.jsonl", "file of records, one JSON object a line")
	f.StringVar(&o.tool, "tool", "", "another tool to measure, with its arguments; Secondline is off then")
	f.StringVar(&o.release, "release", "", "what version of the tool this is (default: this commit)")
	f.StringVar(&o.markdown, "markdown", "", "also write the table to this file")
	f.StringSliceVar(&o.groups, "group", nil, "only faults of these groups: A to J, healthy, unknown, together")
	return cmd
}

func (l *lab) runBench(cmd *cobra.Command, o benchOptions, refs []string) (err error) {
	all, err := faults.All()
	if err != nil {
		return err
	}
	if len(refs) == 0 {
		refs = chosen(all, o.groups)
	}
	options, err := l.options(cmd)
	if err != nil {
		return err
	}
	tool, err := o.measured(cmd.Context(), options.Repository)
	if err != nil {
		return err
	}
	book, err := bench.OpenBook(o.records)
	if err != nil {
		return err
	}
	s := session{all: all, options: options, tool: tool, book: book}
	defer func() { err = errors.Join(err, book.Close(), s.close()) }()
	var records []bench.Record
	for i, ref := range refs {
		record, err := s.measure(cmd.Context(), ref, fmt.Sprintf("%d of %d: %s", i+1, len(refs), ref))
		if err != nil {
			return fmt.Errorf("%s: %w", ref, err)
		}
		records = append(records, record)
	}
	return o.print(cmd, records)
}

// session measures cases; the company for it is set up when the first case needs
// one.
type session struct {
	all     []*faults.Fault
	options company.Options
	tool    trial.Tool
	book    *bench.Book
	site    *trial.Bench
}

// measure returns the record of a case, from the book if it has one.
func (s *session) measure(ctx context.Context, ref, say string) (bench.Record, error) {
	cases, err := faults.Cases(s.all, ref)
	if err != nil {
		return bench.Record{}, err
	}
	digest, err := bench.Digest(cases)
	if err != nil {
		return bench.Record{}, err
	}
	key := bench.Key{Tool: s.tool.Name(), Version: s.tool.Version(), Case: ref, Digest: digest}
	if record, ok := s.book.Find(key); ok {
		return record, nil
	}
	if s.site == nil {
		if s.site, err = trial.Open(ctx, s.options, s.tool); err != nil {
			return bench.Record{}, err
		}
	}
	s.options.Say(say)
	record, err := s.site.Run(ctx, key, cases)
	if err != nil {
		return record, err
	}
	return record, s.book.Add(record)
}

func (s *session) close() error {
	if s.site == nil {
		return nil
	}
	return s.site.Company.Lab.Close()
}

func (o benchOptions) print(cmd *cobra.Command, records []bench.Record) error {
	if err := bench.WriteTable(cmd.OutOrStdout(), records); err != nil {
		return err
	}
	if o.markdown == "" {
		return nil
	}
	f, err := os.Create(o.markdown)
	if err != nil {
		return err
	}
	return errors.Join(bench.WriteMarkdown(f, records), f.Close())
}

// chosen returns the faults of the groups, all for none.
func chosen(all []*faults.Fault, groups []string) []string {
	var out []string
	for _, f := range all {
		group := f.Group
		if len(f.Together) > 0 {
			group = "together"
		}
		if len(groups) == 0 || slices.Contains(groups, group) {
			out = append(out, f.ID)
		}
	}
	return out
}

// measured is the tool and its version: what was measured with it is not
// measured again.
func (o benchOptions) measured(ctx context.Context, repository string) (trial.Tool, error) {
	release := o.release
	if o.tool != "" {
		if release == "" {
			return nil, errors.New("--release says which version of the tool is measured")
		}
		return trial.ParsePeer(o.tool, release), nil
	}
	if release == "" {
		git := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12")
		git.Dir = repository
		text, err := git.Output()
		if err != nil {
			return nil, fmt.Errorf("ask git for the version (or give --release): %w", err)
		}
		if release = strings.TrimSpace(string(text)); strings.HasSuffix(release, "-dirty") {
			release += time.Now().UTC().Format("-20060102-150405") // what is not committed is not measured twice as the same
		}
	}
	return trial.Secondline{Release: release}, nil
}
