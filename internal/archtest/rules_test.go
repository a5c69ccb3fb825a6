package archtest

import (
	"strings"
	"testing"
)

// TestRulesFire shows each rule what it is there to find, and what it must let
// pass.
func TestRulesFire(t *testing.T) {
	t.Parallel()
	importing := func(path string) string { return "package x\nimport _ \"" + path + "\"\n" }
	calling := func(pkg, name string) string {
		return "package x\nimport p \"" + pkg + "\"\nvar _ = p." + name + "\n"
	}
	long := "package x\n" + strings.Repeat("\n", maxLines)
	for name, c := range map[string]struct {
		rule func(source) []string
		path string
		text string
		bad  bool
	}{
		"controller into agent":            {wrongDirections, "controller/x.go", importing(module + "agent"), true},
		"controller into agent/job":        {wrongDirections, "controller/dispatch/x.go", importing(module + "agent/job"), false},
		"controller into plugins":          {wrongDirections, "controller/x.go", importing(module + "plugins"), true},
		"incident into store":              {wrongDirections, "controller/incident/x.go", importing(module + "controller/store"), true},
		"triage into incident":             {wrongDirections, "controller/triage/x.go", importing(module + "controller/incident"), false},
		"triage into limits":               {wrongDirections, "controller/triage/x.go", importing(module + "controller/limits"), true},
		"agent into controller":            {wrongDirections, "agent/x.go", importing(module + "controller/incident"), true},
		"agent into plugins/host":          {wrongDirections, "agent/x.go", importing(module + "plugins/host"), false},
		"wire into journal":                {wrongDirections, "agent/job/x.go", importing(module + "agent/journal"), true},
		"runbooks into diagnostics":        {wrongDirections, "runbooks/x.go", importing(module + "diagnostics"), true},
		"diagnostics into runbooks":        {wrongDirections, "diagnostics/linux/x.go", importing(module + "runbooks"), true},
		"contract of plugins into fault":   {wrongDirections, "plugins/x.go", importing(module + "internal/fault"), true},
		"a plugin into the host":           {wrongDirections, "plugins/tls/x.go", importing(module + "plugins/host"), true},
		"a plugin into the contract":       {wrongDirections, "plugins/tls/x.go", importing(module + "plugins"), false},
		"a plugin's test into the harness": {wrongDirections, "plugins/tls/x_test.go", importing(module + "plugins/plugintest"), false},
		"a plugin into the harness":        {wrongDirections, "plugins/tls/x.go", importing(module + "plugins/plugintest"), true},
		"an example into internal":         {wrongDirections, "examples/lab/x.go", importing(module + "internal/fault"), true},
		"internal into diagnostics":        {wrongDirections, "internal/remote/x.go", importing(module + "diagnostics"), true},
		"a new top-level folder":           {wrongDirections, "tools/x.go", importing(module + "internal/fault"), true},
		"someone into cmd":                 {wrongDirections, "agent/x.go", importing(module + "cmd/secondline"), true},
		"a folder that only looks alike":   {wrongDirections, "agent/jobs/x.go", importing(module + "plugins/host"), false},

		"exec":               {wrongPackages, "agent/x.go", importing("os/exec"), true},
		"exec in the runner": {wrongPackages, "internal/remote/local/x.go", importing("os/exec"), false},
		"exec in a test":     {wrongPackages, "agent/x_test.go", importing("os/exec"), false},
		"ssh below":          {wrongPackages, "agent/x.go", importing("golang.org/x/crypto/ssh/agent"), true},
		"ssh for signatures": {wrongPackages, "internal/sshsig/x.go", importing("golang.org/x/crypto/ssh"), false},
		"yaml in a test":     {wrongPackages, "runbooks/x_test.go", importing("gopkg.in/yaml.v3"), true},
		"cel":                {wrongPackages, "diagnostics/x.go", importing("cel.dev/cel-go/cel"), true},
		"cron":               {wrongPackages, "controller/x.go", importing("github.com/robfig/cron/v3"), true},
		"log":                {wrongPackages, "agent/x.go", importing("log"), true},
		"slog":               {wrongPackages, "agent/x.go", importing("log/slog"), false},

		"unchecked host key in a test": {forbiddenNames, "agent/x_test.go", calling("golang.org/x/crypto/ssh", "InsecureIgnoreHostKey"), true},
		"clock in a pure package":      {forbiddenNames, "controller/triage/x.go", calling("time", "Now"), true},
		"clock by another name":        {forbiddenNames, "diagnostics/x.go", calling("time", "Since"), true},
		"clock in its test":            {forbiddenNames, "controller/triage/x_test.go", calling("time", "Now"), false},
		"clock in a store engine":      {forbiddenNames, "controller/store/sqlite/x.go", calling("time", "Now"), false},
		"clock in the engine":          {forbiddenNames, "runbooks/engine/x.go", calling("time", "Now"), false},
		"a type of package time":       {forbiddenNames, "controller/triage/x.go", calling("time", "Second"), false},
		"environment":                  {forbiddenNames, "agent/x.go", calling("os", "Getenv"), true},
		"environment in cmd":           {forbiddenNames, "cmd/secondline/x.go", calling("os", "Getenv"), false},
		"exit in a plugin":             {forbiddenNames, "plugins/x.go", calling("os", "Exit"), true},
		"print":                        {forbiddenNames, "controller/x.go", calling("fmt", "Println"), true},
		"print to a writer":            {forbiddenNames, "controller/x.go", calling("fmt", "Fprintln"), false},

		"long file": {tooLong, "agent/x.go", long, true},
		"long test": {tooLong, "agent/x_test.go", long, false},
		"init":      {initFunctions, "agent/x.go", "package x\nfunc init() {}\n", true},
		"method":    {initFunctions, "agent/x.go", "package x\ntype t int\nfunc (t) init() {}\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := parse(t, c.path, []byte(c.text))
			if got := c.rule(s); (len(got) > 0) != c.bad {
				t.Errorf("complaints: %q; want some: %t", got, c.bad)
			}
		})
	}
}

func TestPackageDocsAreCounted(t *testing.T) {
	t.Parallel()
	file := func(path, text string) source {
		s, _ := parse(t, path, []byte(text))
		return s
	}
	doc, plain := "// Package a is.\npackage a\n", "package a\n"
	for name, c := range map[string]struct {
		files []source
		bad   bool
	}{
		"one":        {[]source{file("a/x.go", doc), file("a/y.go", plain)}, false},
		"none":       {[]source{file("a/x.go", plain)}, true},
		"two":        {[]source{file("a/x.go", doc), file("a/y.go", doc)}, true},
		"misnamed":   {[]source{file("a/x.go", "// Package b is.\npackage a\n")}, true},
		"tests only": {[]source{file("a/x_test.go", plain)}, false},
	} {
		if got := packageDocs(c.files); (len(got) > 0) != c.bad {
			t.Errorf("%s: complaints %q; want some: %t", name, got, c.bad)
		}
	}
}

func TestUndocumentedDependenciesAreFound(t *testing.T) {
	t.Parallel()
	const goMod = "module m\n\ngo 1.26.0\n\nrequire (\n\ta.org/b v1.0.0\n\tc.org/d v1.0.0 // indirect\n)\n\nrequire e.org/f v2.0.0\n"
	for doc, want := range map[string]int{
		"| `a.org/b` | x |\n| `e.org/f` | x |\n":                       0,
		"| `a.org/b` | x |\n":                                          1,
		"| `a.org/b` | x |\n| `a.org/b` | y |\n| `e.org/f` | x |\n":    1,
		"| `a.org/b` | x |\n| `e.org/f` | x |\n| `gone.org/g` | x |\n": 1,
	} {
		if got := undocumented(goMod, doc); len(got) != want {
			t.Errorf("%q: %q, want %d complaints", doc, got, want)
		}
	}
}
