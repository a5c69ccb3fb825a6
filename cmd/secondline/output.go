package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
)

// format is how a command writes: table for people, json and yaml for programs.
type format struct{ word string }

func addFormat(c *cobra.Command) *format {
	f := &format{}
	c.Flags().StringVarP(&f.word, "output", "o", "table", "table, json or yaml")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	return f
}

// write shows v as asked; table is what people get.
func (f *format) write(w io.Writer, v any, table func(io.Writer)) error {
	switch f.word {
	case "table":
		table(w)
		return nil
	case "json":
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	case "yaml":
		text, err := yamlx.Encode(v)
		if err != nil {
			return fmt.Errorf("write yaml: %w", err)
		}
		_, err = w.Write(text)
		return err
	}
	return usageError{fault.New(fault.Invalid, "output %q: table, json or yaml", f.word)}
}

// columns writes rows of cells, the first row being the heading. Cells are
// cleaned: they may hold what a server or an alert said.
func columns(w io.Writer, rows [][]string) {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, row := range rows {
		for i := range row {
			row[i] = strings.ReplaceAll(clean(row[i]), "\n", " ")
		}
		fmt.Fprintln(tw, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	_ = tw.Flush()
}

func errUsage(c *cobra.Command, err error) error {
	return fault.Wrap(fault.Invalid, err, "%s", c.CommandPath()).WithHint("%s --help", c.CommandPath())
}

// errFlag is errUsage for a flag that cannot be taken; a mistyped one is looked
// for among those that there are.
func errFlag(c *cobra.Command, err error) error {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return errUsage(c, err)
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	near := yamlx.Suggest(unknown.GetSpecifiedName(), names)
	if near == "" {
		return errUsage(c, err)
	}
	return fault.Wrap(fault.Invalid, err, "%s", c.CommandPath()).WithHint("did you mean --%s?", near)
}
