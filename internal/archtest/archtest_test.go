package archtest

import (
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const maxLines = 500 // of a hand-written file that is no test

// directions is policy, not a description: code in the folder on the left may
// import the folders of the project on its right and no others. The longest
// match on the left wins; a folder that is not listed may import nothing. "="
// means the one package, without what is below it. docs/architecture.md draws
// the same; change both.
func directions() map[string][]string {
	return map[string][]string{
		"cmd": {"cmd", "controller", "agent", "runbooks", "diagnostics", "plugins", "internal"},

		"controller":           {"controller", "agent/job", "runbooks", "diagnostics", "internal"},
		"controller/incident":  {"diagnostics", "runbooks", "internal"},
		"controller/inventory": {"controller/incident", "controller/inventory", "diagnostics", "internal"},
		"controller/correlate": {"controller/incident", "controller/inventory", "diagnostics", "runbooks", "internal"},
		"controller/triage":    {"controller/incident", "controller/inventory", "diagnostics", "runbooks", "internal"},
		"controller/rootcause": {"controller/incident", "controller/inventory", "diagnostics", "runbooks", "internal"},

		"agent":     {"agent", "runbooks", "diagnostics", "plugins", "internal"},
		"agent/job": {"agent/job", "runbooks", "diagnostics", "internal"},

		"runbooks":    {"runbooks", "internal"},
		"diagnostics": {"diagnostics", "internal"},

		"plugins":            {"=plugins", "plugins/proto"},
		"plugins/host":       {"=plugins", "diagnostics", "internal"},
		"plugins/bundled":    {"plugins", "diagnostics", "internal"},
		"plugins/plugintest": {"=plugins", "diagnostics", "internal"},

		"examples": {"examples", "=plugins", "=controller/api"}, // what an outsider sees
		"internal": {"internal"},
	}
}

// harnesses are what any test may import on top.
func harnesses() []string {
	return []string{"plugins/plugintest", "plugins/mock", "plugins/bundled", "controller/store/storetest", "internal/remote/remotetest"}
}

// reserved lists packages that only some folders may import.
func reserved() []restriction {
	return []restriction{
		{"os/exec", []string{"internal/remote", "plugins/host", "cmd/secondline", "examples/lab"}, true, "commands on servers go through internal/remote: gated, bounded, redacted, audited"},
		{"golang.org/x/crypto/ssh", []string{"internal/remote", "internal/sshsig", "agent/credentials", "cmd/secondline"}, true, "internal/remote is the only SSH client"},
		{"gopkg.in/yaml.v3", []string{"internal/yamlx", "examples/lab/faults"}, false, "yamlx adds positions, duplicate keys and budgets"},
		{"cel.dev/cel-go", []string{"internal/expr"}, false, "internal/expr is the one expression language, with its cost limit"},
		{"github.com/robfig/cron", []string{"controller/schedule"}, false, "its parser panics on some input; controller/schedule wraps it"},
		{"log", nil, false, "log/slog, injected"},
		{"math/rand", nil, false, "math/rand/v2, or crypto/rand"},
	}
}

type restriction struct {
	pkg         string
	allowed     []string
	testsExempt bool
	why         string
}

func TestArchitecture(t *testing.T) {
	t.Parallel()
	all := sources(t)
	for name, rule := range map[string]func(source) []string{
		"import directions": wrongDirections,
		"reserved packages": wrongPackages,
		"forbidden names":   forbiddenNames,
		"length of files":   tooLong,
		"no package state":  initFunctions,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, s := range all {
				for _, complaint := range rule(s) {
					t.Errorf("%s: %s", s.path, complaint)
				}
			}
		})
	}
	t.Run("one doc per package", func(t *testing.T) {
		t.Parallel()
		for _, complaint := range packageDocs(all) {
			t.Error(complaint)
		}
	})
}

func wrongDirections(s source) (complaints []string) {
	best := ""
	for dir := range directions() {
		if within(s.dir, dir) && len(dir) > len(best) {
			best = dir
		}
	}
	allowed := append([]string{"=" + s.dir}, directions()[best]...) // a test of the package from outside
	if s.test {
		allowed = append(allowed, harnesses()...)
	}
	for _, imported := range s.imports() {
		to, ours := strings.CutPrefix(imported, module)
		if ours && !withinAny(to, allowed) {
			complaints = append(complaints, fmt.Sprintf("%s must not import %s", s.dir, to))
		}
	}
	return complaints
}

func wrongPackages(s source) (complaints []string) {
	for _, imported := range s.imports() {
		for _, r := range reserved() {
			exact := r.pkg == "log" || r.pkg == "math/rand" // their children are fine
			if (imported == r.pkg || !exact && within(imported, r.pkg)) && !withinAny(s.dir, r.allowed) && !(s.test && r.testsExempt) {
				complaints = append(complaints, fmt.Sprintf("must not import %s: %s", imported, r.why))
			}
		}
	}
	return complaints
}

func forbiddenNames(s source) (complaints []string) {
	s.uses(func(pkg, name string) {
		if why := forbidden(s, pkg+"."+name); why != "" {
			complaints = append(complaints, fmt.Sprintf("%s.%s: %s", pkg, name, why))
		}
	})
	return complaints
}

func forbidden(s source, name string) string {
	switch name {
	case "golang.org/x/crypto/ssh.InsecureIgnoreHostKey":
		return "host keys are always checked"
	case "os.Getenv", "os.LookupEnv", "os.Environ", "os.Exit", "fmt.Print", "fmt.Printf", "fmt.Println":
		// remotetest asks whether missing real parts are a failure; programs that measure print.
		if !s.test && !withinAny(s.dir, []string{"cmd", "examples", "internal/remote/remotetest", "internal/remote/ssh/fanoutbench"}) {
			return "only cmd and examples read the environment, exit and print"
		}
	case "time.Now", "time.Since", "time.Until":
		pure := []string{"controller/incident", "controller/correlate", "controller/triage", "controller/rootcause", "=controller/store", "=runbooks", "=diagnostics"}
		if !s.test && withinAny(s.dir, pure) {
			return "a pure package has no clock: take now time.Time"
		}
	}
	return ""
}

func tooLong(s source) []string {
	if s.test || s.lines <= maxLines {
		return nil
	}
	return []string{fmt.Sprintf("%d lines, want at most %d: split it by concept", s.lines, maxLines)}
}

func initFunctions(s source) (complaints []string) {
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			complaints = append(complaints, "func init: everything arrives by constructor")
		}
	}
	return complaints
}

func packageDocs(all []source) (complaints []string) {
	docs := map[string]int{}
	for _, s := range all {
		if s.test {
			continue
		}
		docs[s.dir] += 0
		if s.file.Doc == nil {
			continue
		}
		docs[s.dir]++
		name, text := s.file.Name.Name, s.file.Doc.Text()
		if name != "main" && !strings.HasPrefix(text, "Package "+name+" ") {
			complaints = append(complaints, fmt.Sprintf("%s: the package doc does not begin with %q", s.path, "Package "+name))
		}
	}
	for dir, n := range docs {
		if n != 1 {
			complaints = append(complaints, fmt.Sprintf("%s: %d files carry the package doc, want exactly 1", dir, n))
		}
	}
	return complaints
}

func TestGoModDirectDependenciesAreDocumented(t *testing.T) {
	t.Parallel()
	goMod, err := os.ReadFile(filepath.Join("..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, complaint := range undocumented(string(goMod), string(doc)) {
		t.Error(complaint)
	}
}

// undocumented compares the requirements with the lines of the tables that
// begin with a module's path.
func undocumented(goMod, doc string) (complaints []string) {
	reasons := map[string]int{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9.-]+\\.[^` ]+)` \\|").FindAllStringSubmatch(doc, -1) {
		reasons[m[1]]++
	}
	required := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^(?:\t|require )([^\s()]+) v\S+(.*)$`).FindAllStringSubmatch(goMod, -1) {
		required[m[1]] = true
		if !strings.Contains(m[2], "// indirect") && reasons[m[1]] != 1 {
			complaints = append(complaints, fmt.Sprintf("%s has %d lines in docs/dependencies.md, want exactly 1", m[1], reasons[m[1]]))
		}
	}
	for mod := range reasons {
		if !required[mod] {
			complaints = append(complaints, fmt.Sprintf("docs/dependencies.md gives a reason for %s, which go.mod does not require", mod))
		}
	}
	return complaints
}
