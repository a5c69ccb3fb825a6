package actiontest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/runbooks"
)

// SameKeys compares the mappings of a form with the structs into which the
// package in dir reads YAML, so that editors and the loader know the same keys.
// A struct may be read in several forms, each with some of its keys. A form may
// have the words on top, which are read otherwise.
func SameKeys(t *testing.T, dir string, f *runbooks.Form, words ...string) {
	t.Helper()
	structs := yamlStructs(t, dir)
	for _, form := range mappingsOf(f, nil) {
		keys := slices.Sorted(maps.Keys(form.Fields))
		own := slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return slices.Contains(words, key) })
		if !cover(structs, keys, form.Needed) && len(own) > 0 && !cover(structs, own, form.Needed) {
			t.Errorf("no struct is read that takes %v (needed: %v)", keys, form.Needed)
		}
	}
	for _, s := range structs {
		for _, key := range s.keys {
			if !s.covered[key] {
				t.Errorf("%s: %q is read, and stands in no form", s.at, key)
			}
		}
	}
}

// cover notes the keys with every struct that takes them; false: there is none.
func cover(structs []yamlStruct, keys, needed []string) bool {
	fits := false
	for _, s := range structs {
		if !s.takes(keys, needed) {
			continue
		}
		fits = true
		for _, key := range keys {
			s.covered[key] = true
		}
	}
	return fits
}

// yamlStruct is a struct type whose fields have names for YAML.
type yamlStruct struct {
	at       token.Position
	keys     []string
	required []string
	covered  map[string]bool // by forms
}

// takes reports whether the struct can be read from a mapping of these keys.
func (s yamlStruct) takes(keys, needed []string) bool {
	for _, key := range keys {
		if !slices.Contains(s.keys, key) || slices.Contains(s.required, key) && !slices.Contains(needed, key) {
			return false
		}
	}
	return true
}

func yamlStructs(t *testing.T, dir string) []yamlStruct {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no Go files: %v", dir, err)
	}
	set := token.NewFileSet()
	var found []yamlStruct
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.StructType); ok {
				if one := readTags(s); len(one.keys) > 0 {
					one.at = set.Position(s.Pos())
					found = append(found, one)
				}
			}
			return true
		})
	}
	return found
}

func readTags(s *ast.StructType) yamlStruct {
	out := yamlStruct{covered: map[string]bool{}}
	for _, field := range s.Fields.List {
		if field.Tag == nil {
			continue
		}
		text, err := strconv.Unquote(field.Tag.Value)
		if err != nil {
			continue
		}
		tag, ok := reflect.StructTag(text).Lookup("yaml")
		if !ok {
			continue
		}
		key, option, _ := strings.Cut(tag, ",")
		out.keys = append(out.keys, key)
		if option == "required" {
			out.required = append(out.required, key)
		}
	}
	return out
}

// mappingsOf returns the forms inside f, and f itself, that have fields.
func mappingsOf(f *runbooks.Form, found []*runbooks.Form) []*runbooks.Form {
	if f == nil {
		return found
	}
	if len(f.Fields) > 0 && f.Types != nil {
		found = append(found, f)
	}
	below := slices.Concat(slices.Collect(maps.Values(f.Fields)), slices.Collect(maps.Values(f.Defs)), f.AnyOf, []*runbooks.Form{f.Items})
	if others, ok := f.Others.(*runbooks.Form); ok {
		below = append(below, others)
	}
	for _, one := range below {
		found = mappingsOf(one, found)
	}
	return found
}
