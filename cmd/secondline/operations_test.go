package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/secondline-ops/secondline/agent/guard"
	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/internal/fault"
)

// operations returns the rows of the first table under a heading of
// docs/operations.md, without its head.
func operations(t *testing.T, heading string) (rows [][]string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "\n"+heading+"\n")
	if !found {
		t.Fatalf("there is no %q", heading)
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "|"):
			var cells []string
			for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
				cells = append(cells, strings.TrimSpace(cell))
			}
			rows = append(rows, cells)
		case len(rows) > 0:
			return rows[2:]
		}
	}
	return rows[2:]
}

// column returns what stands in backquotes at the beginning of each cell.
func column(rows [][]string, i int) (words []string) {
	for _, row := range rows {
		if word, _, ok := strings.Cut(strings.TrimPrefix(row[i], "`"), "`"); ok && strings.HasPrefix(row[i], "`") {
			words = append(words, word)
		}
	}
	return words
}

func same(t *testing.T, what string, page, program []string) {
	t.Helper()
	slices.Sort(page)
	slices.Sort(program)
	if !slices.Equal(page, program) {
		t.Errorf("%s: operations.md has\n%q\nand the program\n%q", what, page, program)
	}
}

// silent is the environment of a user who has set nothing.
func silent(home string) *environment {
	return &environment{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, getenv: func(name string) string {
		return map[string]string{"HOME": home}[name]
	}}
}

func flagsOf(cmd *cobra.Command) (names []string) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	return names
}

// snake returns the fields of a type as YAML has them: Limits is what the
// guard's private form becomes, field by field.
func snake(t reflect.Type) (keys []string) {
	for f := range t.Fields() {
		keys = append(keys, strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(f.Name, "${1}_$2")))
	}
	return keys
}

func keysOf(t reflect.Type, prefix string) (keys []string) {
	for f := range t.Fields() {
		tag, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		key, inner := prefix+tag, f.Type
		list := inner.Kind() == reflect.Slice
		if list {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct {
			if list {
				keys = append(keys, key)
			}
			keys = append(keys, keysOf(inner, key+".")...)
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

func TestOperationsNamesEverySetting(t *testing.T) {
	t.Parallel()
	env := silent(t.TempDir())
	rows := operations(t, "### Controller")
	same(t, "keys", column(rows, 0), keysOf(reflect.TypeFor[controllerConfig](), ""))
	same(t, "flags of controller", column(rows, 1), flagsOf(controllerCommand(env)))
	same(t, "flags of agent run", column(operations(t, "### Agent"), 0), flagsOf(agentRun(env)))

	same(t, "keys of the guard file", column(operations(t, "### The guard file"), 0), snake(reflect.TypeFor[guard.Limits]()))
}

func TestOperationsNamesEveryMetric(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := defaultConfig(silent(dir))
	c.Listen, c.AgentListen, c.DataDir = "127.0.0.1:0", "", dir
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	db, err := openStore(t.Context(), c, logger)
	if err != nil {
		t.Fatal(err)
	}
	app, err := newController(t.Context(), c, db, func() (controllerConfig, error) { return c, nil }, logger)
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(app.Stop(t.Context()), db.Close()); err != nil {
			t.Error(err)
		}
	}()
	res, err := http.Get("http://" + app.Addr() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (secondline_\S+) `).FindAllStringSubmatch(string(text), -1) {
		names = append(names, m[1])
	}
	same(t, "metrics", column(operations(t, "## Metrics"), 0), names)
}

func TestOperationsNamesEveryRoleAndError(t *testing.T) {
	t.Parallel()
	var roles []string
	for _, r := range []access.Role{access.Viewer, access.Operator, access.Engineer, access.Admin, access.Webhook} {
		roles = append(roles, string(r))
	}
	same(t, "roles", column(operations(t, "## Tokens and roles"), 0), roles)

	var page, program []string
	for _, row := range operations(t, "## Errors") {
		page = append(page, strings.Join(row[:3], " "))
	}
	for _, k := range fault.Kinds() {
		program = append(program, fmt.Sprintf("`%s` %d %d", k, fault.HTTPStatus(k), fault.ExitCode(k)))
	}
	same(t, "errors", page, program)
}

// The unit's command lines are those of this program.
func TestUnitStartsTheController(t *testing.T) {
	t.Parallel()
	unit, err := os.ReadFile(filepath.Join("..", "..", "examples", "systemd", "secondline-controller.service"))
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^ExecStart(?:Pre)?=\S*/secondline (.*)$`).FindAllStringSubmatch(string(unit), -1)
	if len(lines) != 2 {
		t.Fatalf("%d lines start the program", len(lines))
	}
	for _, line := range lines {
		cmd, args, err := newRoot(silent(t.TempDir())).Find(strings.Fields(line[1]))
		if err == nil {
			err = cmd.ParseFlags(args)
		}
		if err != nil || cmd.Name() != "controller" {
			t.Errorf("%s: %v", line[0], err)
		}
	}
}
