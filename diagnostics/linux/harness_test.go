package linux

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

const recordings = "testdata/debian12"

// recorded is one file of testdata.
type recorded struct {
	name  string
	probe diagnostics.Probe
	args  diagnostics.Args
	raws  []diagnostics.Raw
}

func probeNamed(tb testing.TB, name string) diagnostics.Probe {
	tb.Helper()
	for _, p := range Probes(time.Now) {
		if p.Spec().Name == name {
			return p
		}
	}
	tb.Fatalf("no probe %q", name)
	return nil
}

func readRecorded(tb testing.TB, name string) recorded {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(recordings, name+".txt"))
	if err != nil {
		tb.Fatal(err)
	}
	probe, _, _ := strings.Cut(name, "-")
	c := recorded{name: name, probe: probeNamed(tb, probe)}
	first, rest, _ := bytes.Cut(text, []byte("\n"))
	if err := json.Unmarshal(bytes.TrimPrefix(first, []byte("args ")), &c.args); err != nil {
		tb.Fatal(err)
	}
	header := regexp.MustCompile(`(?m)^-- (\{"at":.*\}) --\n`)
	at := header.FindAllSubmatchIndex(rest, -1)
	for i, m := range at {
		end := len(rest)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		var raw diagnostics.Raw
		if err := json.Unmarshal(rest[m[2]:m[3]], &raw); err != nil {
			tb.Fatal(err)
		}
		data := strings.TrimSuffix(string(rest[m[1]:end]), "\\\n")
		raw.Data = []byte(strings.NewReplacer(`\\`, `\`, `\0`, "\x00", `\1`, "\x01").Replace(data))
		raw.Seal()
		c.raws = append(c.raws, raw)
	}
	return c
}

func allRecorded(tb testing.TB) []recorded {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(recordings, "*.txt"))
	if err != nil || len(files) == 0 {
		tb.Fatalf("no recordings: %v", err)
	}
	var all []recorded
	for _, f := range files {
		all = append(all, readRecorded(tb, strings.TrimSuffix(filepath.Base(f), ".txt")))
	}
	return all
}

// conform fails the test unless the value has exactly what the fields declare.
func conform(tb testing.TB, where string, fields []expr.Field, value map[string]any) {
	tb.Helper()
	declared := map[string]bool{}
	for _, f := range fields {
		declared[f.Name] = true
		v, has := value[f.Name]
		if !has && !f.Optional {
			tb.Errorf("%s.%s is missing", where, f.Name)
		}
		if has && !hasType(tb, where+"."+f.Name, f, v) {
			tb.Errorf("%s.%s is a %T, declared %s", where, f.Name, v, f.Type)
		}
	}
	for name := range value {
		if !declared[name] {
			tb.Errorf("%s.%s is not declared", where, name)
		}
	}
}

func hasType(tb testing.TB, where string, f expr.Field, v any) (ok bool) {
	tb.Helper()
	if u, unknown := v.(expr.Unknown); unknown {
		return u.Why != ""
	}
	switch f.Type {
	case expr.String:
		_, ok = v.(string)
	case expr.Int:
		_, ok = v.(int64)
	case expr.Double:
		var d float64
		d, ok = v.(float64)
		ok = ok && d-d == 0 // finite
	case expr.Bool:
		_, ok = v.(bool)
	case expr.Timestamp:
		var at time.Time
		at, ok = v.(time.Time)
		if _, err := at.MarshalJSON(); err != nil {
			tb.Errorf("%s: %v", where, err)
		}
	case expr.List:
		var list []any
		list, ok = v.([]any)
		for _, e := range list {
			if f.Elem == nil {
				_, isString := e.(string)
				ok = ok && isString
				continue
			}
			object, isObject := e.(map[string]any)
			ok = ok && isObject
			conform(tb, where, f.Elem, object)
		}
	case expr.Map, expr.Object:
	}
	return ok
}

// checkParsed checks what must hold of any outcome of Parse.
func checkParsed(tb testing.TB, p diagnostics.Probe, raws []diagnostics.Raw, args diagnostics.Args) (diagnostics.Value, diagnostics.Status) {
	tb.Helper()
	value, status, err := p.Parse(raws, args)
	name := p.Spec().Name
	if (status == diagnostics.OK) != (err == nil) {
		tb.Errorf("%s: status %s with error %v", name, status, err)
	}
	if status == diagnostics.OK || value != nil {
		conform(tb, name, p.Spec().Outputs, value)
	}
	return value, status
}
