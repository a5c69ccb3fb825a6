package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/secondline-ops/secondline/"

// source is one hand-written Go file.
type source struct {
	path  string // relative to the module, with slashes
	dir   string
	test  bool
	lines int
	file  *ast.File
}

// imports returns the paths of what the file imports, by the name that the file
// uses for them.
func (s source) imports() map[string]string {
	out := map[string]string{}
	for _, spec := range s.file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser would have refused it
		}
		name := path.Base(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if name == "_" || name == "." || out[name] != "" {
			name = name + " " + p // still listed, under a name that no code can use
		}
		out[name] = p
	}
	return out
}

// uses calls found with every "package.Name" in the file, the package by path.
func (s source) uses(found func(pkg, name string)) {
	names := s.imports()
	ast.Inspect(s.file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && names[x.Name] != "" {
			found(names[x.Name], sel.Sel.Name)
		}
		return true
	})
}

func parse(t *testing.T, rel string, text []byte) (source, bool) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, rel, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return source{
		path: rel, dir: path.Dir(rel), test: strings.HasSuffix(rel, "_test.go"),
		lines: fset.File(f.FileStart).LineCount(), file: f,
	}, !ast.IsGenerated(f)
}

// sources returns every hand-written Go file of the module.
func sources(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var all []source
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if p != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin" || isModule(p)) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if s, ours := parse(t, filepath.ToSlash(rel), text); ours {
			all = append(all, s)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("%d Go files found: the rules would check nothing", len(all))
	}
	return all
}

func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

func withinAny(p string, dirs []string) bool {
	for _, d := range dirs {
		if exact, ok := strings.CutPrefix(d, "="); ok && p == exact || !ok && within(p, d) {
			return true
		}
	}
	return false
}
