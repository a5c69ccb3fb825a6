package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"
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
	causes                           bool
}

func (l *lab) bench() *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use: "bench [FAULT[@HOST]...]", Short: "Measure how causes are found and mended, on chosen or all faults", ValidArgsFunction: completeFaults,
		Long: `Boots a company of its own, runs each fault on hosts as they were before, and prints what was found, mended and harmed. The
records are kept in a file: a run that was interrupted goes on where it was, and what was measured with this version is not
measured again, unless it was void. docs/lab.md says what each number means, and how another tool takes part.`,
		Example: `  go run ./examples/lab bench
  go run ./examples/lab bench disk-full-logs@app2 bad-config-nginx-reload
  go run ./examples/lab bench --group A --group healthy
  go run ./examples/lab bench --tool ./my-tool --release 1.2 --records my-tool.jsonl
  go run ./examples/lab bench --causes`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.causes {
				return listCauses(cmd)
			}
			return l.runBench(cmd, o, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.records, "records", "hostrca-bench.jsonl", "file of records, one JSON object a line")
	f.StringVar(&o.tool, "tool", "", "another tool to measure, with its arguments; Secondline is off then")
	f.StringVar(&o.release, "release", "", "what version of the tool this is (default: this commit, or the digest of --program)")
	f.StringVar(&o.markdown, "markdown", "", "also write the table to this file")
	f.StringSliceVar(&o.groups, "group", nil, "only faults of these groups: A to J, healthy, unknown, together")
	f.BoolVar(&o.causes, "causes", false, "only list the ids of causes that truths have, with the keys of their objects")
	return cmd
}

// listCauses prints the words of which answers are made.
func listCauses(cmd *cobra.Command) error {
	all, err := faults.All()
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "CAUSE\tOBJECT")
	for _, c := range bench.Causes(all) {
		fmt.Fprintf(table, "%s\t%s\n", c.ID, strings.Join(c.ObjectKeys, ", "))
	}
	return table.Flush()
}

func (l *lab) runBench(cmd *cobra.Command, o benchOptions, refs []string) (err error) {
	all, err := faults.All()
	if err != nil {
		return err
	}
	if refs, err = chosen(all, refs, o.groups); err != nil {
		return err
	}
	options, err := l.options(cmd)
	if err != nil {
		return err
	}
	tool, err := o.measured(cmd.Context(), options)
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
		if err != nil { // what there is, is shown
			return errors.Join(fmt.Errorf("%s: %w", ref, err), o.print(cmd, records))
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
	key := bench.Key{Format: bench.Format, Tool: s.tool.Name(), Version: s.tool.Version(), Case: ref, Digest: digest}
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
	if record.Void != "" {
		s.options.Say("void: " + record.Void)
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
	if len(records) == 0 {
		return nil
	}
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

// chosen returns the named faults or, for none, those of the groups, or all. A
// name or a group that does not exist is refused before anything is measured.
func chosen(all []*faults.Fault, refs, groups []string) ([]string, error) {
	var errs []error
	for _, ref := range refs {
		_, err := faults.Cases(all, ref)
		errs = append(errs, err)
	}
	if len(refs) > 0 && len(groups) > 0 {
		errs = append(errs, errors.New("either faults or groups"))
	}
	if len(refs) > 0 {
		return refs, errors.Join(errs...)
	}
	found := map[string]bool{}
	for _, f := range all {
		group := f.Group
		if len(f.Together) > 0 {
			group = "together"
		}
		if len(groups) == 0 || slices.Contains(groups, group) {
			found[group] = true
			refs = append(refs, f.ID)
		}
	}
	for _, group := range groups {
		if !found[group] {
			errs = append(errs, fmt.Errorf("no fault is of group %q", group))
		}
	}
	return refs, errors.Join(errs...)
}

// measured is the tool and its version: what was measured with it is not
// measured again.
func (o benchOptions) measured(ctx context.Context, options company.Options) (trial.Tool, error) {
	if o.tool != "" {
		if o.release == "" {
			return nil, errors.New("--release says which version of the tool is measured")
		}
		return trial.ParsePeer(o.tool, o.release)
	}
	release := o.release
	var err error
	switch {
	case release != "":
	case options.Program != "": // what commit it is of, nobody knows
		release, err = digestOf(options.Program)
	default:
		release, err = commit(ctx, options.Repository)
	}
	return trial.Secondline{Release: release}, err
}

func digestOf(program string) (string, error) {
	f, err := os.Open(program)
	if err != nil {
		return "", err
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", fmt.Errorf("digest of %s: %w", program, err)
	}
	return "sha256-" + hex.EncodeToString(hash.Sum(nil)[:6]), nil
}

func commit(ctx context.Context, repository string) (string, error) {
	git := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12")
	git.Dir = repository
	text, err := git.Output()
	if err != nil {
		return "", fmt.Errorf("ask git for the version (or give --release): %w", err)
	}
	name := strings.TrimSpace(string(text))
	if strings.HasSuffix(name, "-dirty") {
		name += time.Now().UTC().Format("-20060102-150405") // what is not committed is not measured twice as the same
	}
	return name, nil
}
