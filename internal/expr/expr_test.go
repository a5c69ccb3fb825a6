package expr

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/internal/fault"
)

// declared is what a runbook about a full disk reads.
func declared() []Field {
	return []Field{
		{Name: "used", Type: Object, Elem: []Field{
			{Name: "used_percent", Type: Double},
			{Name: "bytes", Type: Int},
			{Name: "mount", Type: String},
			{Name: "read_at", Type: Timestamp},
			{Name: "inodes", Type: Int, Optional: true},
			{Name: "owner", Type: Object, Optional: true, Elem: []Field{{Name: "name", Type: String}}},
		}},
		{Name: "processes", Type: List, Elem: []Field{
			{Name: "pid", Type: Int},
			{Name: "cpu", Type: Double, Optional: true},
			{Name: "argv", Type: List},
		}},
		{Name: "labels", Type: Map},
		{Name: "groups", Type: List},
		{Name: "inputs", Type: Object, Elem: []Field{
			{Name: "unit", Type: String}, {Name: "limit", Type: Double}, {Name: "wait", Type: Duration},
		}},
		{Name: "hypothesis", Type: Object, Elem: []Field{{Name: "cause", Type: String}, {Name: "evidence", Type: Map}}},
		{Name: "json", Type: Object},
		{Name: "a", Type: Bool},
		{Name: "b", Type: Bool},
		{Name: "n", Type: Int},
	}
}

func values() map[string]any {
	return map[string]any{
		"used": map[string]any{
			"used_percent": 91.5, "bytes": int64(1 << 31), "mount": "/var",
			"read_at": time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		},
		"processes": []any{
			map[string]any{"pid": 10, "cpu": 99.0, "argv": []string{"orders", "--serve"}},
			map[string]any{"pid": int64(11), "argv": []any{"sh"}},
		},
		"labels":     map[string]string{"env": "prod"},
		"groups":     []string{"db", "eu"},
		"inputs":     map[string]any{"unit": "orders.service", "limit": 90, "wait": 5 * time.Minute},
		"hypothesis": map[string]any{"cause": "disk-full-logs", "evidence": map[string]string{"big-log": "true", "deleted-open": "false", "inodes": "cannot_tell"}},
		"json":       map[string]any{"ok": true, "list": []any{1.0, 2.0}},
		"a":          true, "b": false, "n": 0,
	}
}

func environment(t testing.TB) *Env {
	t.Helper()
	e, err := NewEnv(declared())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func compile(t testing.TB, src string, want Type) *Program {
	t.Helper()
	p, err := environment(t).Compile(src, want)
	if err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	return p
}

func TestThreeValuedLogic(t *testing.T) {
	t.Parallel()
	e := environment(t)
	unknown := Unknown{Why: "timed out"}
	truth := map[Truth]any{True: true, False: false, CannotTell: unknown}
	for _, c := range []struct {
		op   string
		a, b Truth
		want Truth
	}{
		{"&&", True, True, True},
		{"&&", True, False, False},
		{"&&", False, True, False},
		{"&&", False, CannotTell, False},
		{"&&", CannotTell, False, False},
		{"&&", True, CannotTell, CannotTell},
		{"&&", CannotTell, True, CannotTell},
		{"&&", CannotTell, CannotTell, CannotTell},
		{"||", False, False, False},
		{"||", True, False, True},
		{"||", False, True, True},
		{"||", True, CannotTell, True},
		{"||", CannotTell, True, True},
		{"||", False, CannotTell, CannotTell},
		{"||", CannotTell, False, CannotTell},
		{"||", CannotTell, CannotTell, CannotTell},
		{"==", True, CannotTell, CannotTell},
		{"!=", CannotTell, False, CannotTell},
	} {
		p, err := e.Compile("a "+c.op+" b", Bool)
		if err != nil {
			t.Fatal(err)
		}
		got, why := p.Ask(t.Context(), map[string]any{"a": truth[c.a], "b": truth[c.b]})
		if got != c.want {
			t.Errorf("%s %s %s = %s (%s), want %s", c.a, c.op, c.b, got, why, c.want)
		}
		if (got == CannotTell) != strings.Contains(why, "timed out") {
			t.Errorf("%s %s %s: reason %q", c.a, c.op, c.b, why)
		}
	}
}

func TestAsk(t *testing.T) {
	t.Parallel()
	nothing := map[string]any{}
	part := map[string]any{"used": map[string]any{"mount": "/var", "used_percent": Unknown{Why: "df was cut"}}}
	for _, c := range []struct {
		src  string
		vars map[string]any
		want Truth
		why  string
	}{
		{"used.used_percent > 90", nil, True, ""},
		{"used.used_percent > inputs.limit", nil, True, ""},
		{"used.used_percent > percent(95)", nil, False, ""},
		{`used.bytes >= bytesize("2GiB") && inputs.wait == duration("5m")`, nil, True, ""},
		{`processes.exists(p, has(p.cpu) && p.cpu > 90)`, nil, True, ""},
		{`processes.exists(p, p.cpu > 90)`, nil, True, ""}, // one true element decides
		{`processes.all(p, p.cpu > 90)`, nil, CannotTell, "no such key: cpu"},
		{`processes[0].argv[0] == "orders" && "db" in groups`, nil, True, ""},
		{`processes[5].pid == 1`, nil, CannotTell, "index"},
		{`has(used.inodes)`, nil, False, ""},
		{`used.inodes > 3`, nil, CannotTell, "no such key: inodes"},
		{`used.inodes > 3 || used.mount == "/var"`, nil, True, ""},
		{`used.inodes == 3`, nil, CannotTell, "no such key"},
		{`used.inodes != 3`, nil, CannotTell, "no such key"},
		{`!(used.inodes == 3)`, nil, CannotTell, "no such key"},
		{`has(used.owner.name)`, nil, CannotTell, "no such key: owner"},
		{`labels.env == "prod" && labels.get("zone", "-") == "-"`, nil, True, ""},
		{`labels.zone == "eu"`, nil, CannotTell, "no such key: zone"},
		{`"zone" in labels`, nil, False, ""},
		{`10 / n > 1`, nil, CannotTell, "division by zero"},
		{`hypothesis.has("big-log")`, nil, True, ""},
		{`hypothesis.has("deleted-open")`, nil, False, ""},
		{`hypothesis.has("inodes")`, nil, CannotTell, "cannot tell"},
		{`hypothesis.has("other")`, nil, CannotTell, "not looked at"},
		{`json.ok`, nil, True, ""},
		{`json.missing`, nil, CannotTell, "no such key"},
		{`json.list`, nil, CannotTell, "not a bool"},
		{`json.list[1] > 1`, nil, True, ""},
		{`used.read_at > timestamp("2026-01-01T00:00:00Z")`, nil, True, ""},
		{`used.used_percent > 90`, nothing, CannotTell, "used: has no value"},
		{`has(used.inodes)`, nothing, CannotTell, "used: has no value"},
		{`a || true`, nothing, True, ""},
		{`used.mount == "/var"`, part, True, ""},
		{`used.used_percent > 90`, part, CannotTell, "df was cut"},
		{`has(used.used_percent)`, part, CannotTell, "df was cut"},
		{`used.mount == "/" && used.used_percent > 90`, part, False, ""},
		{`used.mount == "/var"`, map[string]any{"used": map[string]any{"mount": 5}}, CannotTell, "used.mount is a int, not a string"},
		{`used.mount != "/var"`, map[string]any{"used": "text"}, CannotTell, "used is a string, not a object"},
		{`groups.exists(g, g == "x")`, map[string]any{"groups": []any{"y", Unknown{Why: "cut"}}}, CannotTell, "cut"},
		{`processes.exists(p, p.pid == 1)`, map[string]any{"processes": []any{map[string]any{"pid": Unknown{Why: "denied"}}}}, CannotTell, "denied"},
		{`size(groups) == 0`, map[string]any{"groups": Unknown{Why: "denied"}}, CannotTell, "denied"},
		{`glob("orders*", inputs.unit) ? a : b`, nil, True, ""},
		{`(a ? n : 1) == 0`, map[string]any{"a": Unknown{Why: "gone"}, "n": 0}, CannotTell, "gone"},
	} {
		p := compile(t, c.src, Bool)
		vars := c.vars
		if vars == nil {
			vars = values()
		}
		got, why := p.Ask(t.Context(), vars)
		if got != c.want || !strings.Contains(why, c.why) || (got == CannotTell) != (why != "") {
			t.Errorf("%s: %s %q, want %s %q", c.src, got, why, c.want, c.why)
		}
	}
}

// TestWhatIsToldHoldsWhateverTheUnknownIs takes every expression with every
// choice of unknowns: an answer that was given must be the answer for all values
// that the unknowns could have had.
func TestWhatIsToldHoldsWhateverTheUnknownIs(t *testing.T) {
	t.Parallel()
	told := 0
	for _, src := range []string{
		"a && b", "a || b && n > 0", "!(a && !b)", "a ? b : n == 1", "a == b", "a != b || n in [0, 1]", "[a, b].exists(x, x)", "[a, b].all(x, x)",
		"[a, b].exists_one(x, x)", "size([a, b].filter(x, x)) == 1", "[1, 2].exists(x, x == n && a)", "n > 0 && 10 / n > 5", "a in [b]", "{\"k\": a}.k || b",
		"(a || b) == (n == 1)", "[a, b].map(x, !x).exists(y, y)", "string(n) == \"1\" || a",
	} {
		p := compile(t, src, Bool)
		choices := map[string][]any{"a": {true, false, Unknown{}}, "b": {true, false, Unknown{}}, "n": {0, 1, Unknown{}}}
		for _, a := range choices["a"] {
			for _, b := range choices["b"] {
				for _, n := range choices["n"] {
					given := map[string]any{"a": a, "b": b, "n": n}
					answer, _ := p.Ask(t.Context(), given)
					if answer == CannotTell {
						continue
					}
					told++
					for _, full := range completions(given, choices) {
						if got, _ := p.Ask(t.Context(), full); got != answer {
							t.Errorf("%s: %s with %v, but %s with %v", src, answer, given, got, full)
						}
					}
				}
			}
		}
	}
	if told < 100 {
		t.Errorf("only %d answers", told)
	}
}

func completions(given map[string]any, choices map[string][]any) []map[string]any {
	all := []map[string]any{{}}
	for name, v := range given {
		values := []any{v}
		if _, unknown := v.(Unknown); unknown {
			values = choices[name][:2]
		}
		var next []map[string]any
		for _, m := range all {
			for _, value := range values {
				c := maps.Clone(m)
				c[name] = value
				next = append(next, c)
			}
		}
		all = next
	}
	return all
}

func TestProgramsAreSharedByGoroutines(t *testing.T) {
	t.Parallel()
	e := environment(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			p, err := e.Compile(`used.used_percent > 90 && processes.exists(p, p.pid == 11) && hypothesis.has("big-log")`, Bool)
			if err != nil {
				t.Error(err)
				return
			}
			for range 50 {
				if got, why := p.Ask(t.Context(), values()); got != True {
					t.Errorf("%s %s", got, why)
				}
			}
		})
	}
	group.Wait()
}

func TestEvalGivesPlainValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		src  string
		want Type
		got  any
	}{
		{"used.mount", String, "/var"},
		{"used.bytes", Int, int64(1 << 31)},
		{"used.bytes", Double, float64(1 << 31)},
		{"inputs.limit", Double, 90.0},
		{"used.read_at", Timestamp, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		{`inputs.wait + duration("1m")`, Duration, 6 * time.Minute},
		{"processes.map(p, p.pid)", List, []any{int64(10), int64(11)}},
		{"processes[1]", Object, map[string]any{"pid": int64(11), "argv": []any{"sh"}}},
		{"labels", Map, map[string]any{"env": "prod"}},
		{"json", "", map[string]any{"ok": true, "list": []any{int64(1), int64(2)}}},
	} {
		got, err := compile(t, c.src, c.want).Eval(t.Context(), values())
		if err != nil {
			t.Errorf("%s: %v", c.src, err)
		} else if diff := cmp.Diff(c.got, got); diff != "" {
			t.Errorf("%s: %s", c.src, diff)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	e := environment(t)
	for _, c := range []struct {
		src          string
		want         Type
		line, column int
		message      string
		hint         string
	}{
		{"used.used_percnt > 90", Bool, 1, 6, `no field "used_percnt"`, `did you mean "used_percent"?`},
		{"a &&\n  used.mont == ''", Bool, 2, 8, `no field "mont"`, `did you mean "mount"?`},
		{"processes.exists(p, p.pdi == 1)", Bool, 1, 23, `no field "pdi"`, `did you mean "pid"?`},
		{"used.owner.nmae == ''", Bool, 1, 12, `no field "nmae"`, `did you mean "name"?`},
		{"usde.mount == ''", Bool, 1, 1, `unknown name "usde"`, `did you mean "used"?`},
		{"qqqqqqqq", Bool, 1, 1, `unknown name "qqqqqqqq"`, "known: used, "},
		{"bytesiz('2GB') == 1", Bool, 1, 8, `unknown name "bytesiz"`, `did you mean "bytesize"?`},
		{"now() > used.read_at", Bool, 1, 4, `unknown name "now"`, ""},
		{"dyn(n) == 'x'", Bool, 1, 4, `unknown name "dyn"`, ""},
		{"used.mount > 90", Bool, 1, 12, "no matching overload for '>'", ""},
		{"used.used_percent + 1 > 2.0", Bool, 1, 19, "no matching overload for '+'", "one kind"},
		{"used == 1", Bool, 1, 6, "no matching overload", ""},
		{"used.used_percent", Bool, 1, 1, "expression gives double, not bool", ""},
		{"labels", List, 1, 1, "not list", ""},
		{"1 +", Int, 1, 4, "ends too early", ""},
		{"true and true", Bool, 1, 6, `"and" is no operator`, "&&"},
		{"1 = 1", Bool, 1, 3, `"=" alone is no operator`, "=="},
		{"1 2", Int, 1, 3, `"2" is not expected here`, ""},
		{`1.0 < "85%"`, Bool, 1, 5, "'<'", "without quotes"},
		{"", Bool, 1, 1, "empty", ""},
		{" \n", Bool, 1, 1, "empty", ""},
		{`bytesize("2GB ib") > 1`, Bool, 1, 10, "bytesize", ""},
		{`duration("5 minutes") > inputs.wait`, Bool, 1, 10, "duration", ""},
		{`timestamp("yesterday") > used.read_at`, Bool, 1, 11, "timestamp", ""},
		{`used.mount.matches("(")`, Bool, 1, 20, "", ""},
		{`glob("[a", used.mount)`, Bool, 1, 6, "without its ]", ""},
		{`percent(-1) > 2.0`, Bool, 1, 0, "percent", ""},
		{`percent("many") > 2.0`, Bool, 1, 9, "percent", ""},
		{strings.Repeat("(", 500) + "1" + strings.Repeat(")", 500), Int, 1, 0, "", ""},
		{strings.Repeat("a&&", 6000) + "a", Bool, 1, 1, "bytes", ""},
		{"'" + strings.Repeat("x", 20_000) + "' == ''", Bool, 1, 1, "bytes", ""},
	} {
		_, err := e.Compile(c.src, c.want)
		var got *Error
		if !errors.As(err, &got) {
			t.Errorf("%.60q: error %v, want an *Error", c.src, err)
			continue
		}
		if got.Line != c.line || (c.column > 0 && got.Column != c.column) || !strings.Contains(got.Message, c.message) || !strings.Contains(got.Hint, c.hint) {
			t.Errorf("%.60q: %v (hint %q), want %d:%d %q (hint %q)", c.src, got, got.Hint, c.line, c.column, c.message, c.hint)
		}
		if fault.KindOf(err) != fault.Invalid {
			t.Errorf("%.60q: kind %s", c.src, fault.KindOf(err))
		}
	}
}

func TestErrorPointsAtThePlace(t *testing.T) {
	t.Parallel()
	_, err := environment(t).Compile("a &&\n\tused.mont == ''", Bool)
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatal(err)
	}
	want := "2:7: no field \"mont\"\n   used.mont == ''\n        ^\nhint: did you mean \"mount\"?"
	if diff := cmp.Diff(want, e.Detail()); diff != "" {
		t.Error(diff)
	}
}

func TestVarsLeavesOutMacroNames(t *testing.T) {
	t.Parallel()
	p := compile(t, `processes.exists(a, a.pid > n) && b && {"x": groups}.x[0] == used.mount`, Bool)
	if diff := cmp.Diff([]string{"b", "groups", "n", "processes", "used"}, p.Vars()); diff != "" {
		t.Error(diff)
	}
	if p.Source() == "" {
		t.Error("no source")
	}
}

func TestCostAndContextAreBounds(t *testing.T) {
	t.Parallel()
	list := make([]any, 3000)
	for i := range list {
		list[i] = "x"
	}
	p := compile(t, "groups.all(x, groups.all(y, groups.all(z, x == y && y == z)))", Bool)
	if got, why := p.Ask(t.Context(), map[string]any{"groups": list}); got != CannotTell || !strings.Contains(why, "cost limit") {
		t.Errorf("%s %q", got, why)
	}
	wide, err := NewEnv(declared(), WithCostLimit(1<<60))
	if err != nil {
		t.Fatal(err)
	}
	p, err = wide.Compile(p.Source(), Bool)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = p.Eval(ctx, map[string]any{"groups": list})
	if e, ok := errors.AsType[*CannotTellError](err); !ok || !errors.Is(e, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
	huge := make([]string, maxValues+1)
	if got, why := p.Ask(t.Context(), map[string]any{"groups": huge}); got != CannotTell || !strings.Contains(why, "too many") {
		t.Errorf("%s %q", got, why)
	}
	glob := compile(t, `glob("*a*a*a*a*b", inputs.unit)`, Bool)
	vars := map[string]any{"inputs": map[string]any{"unit": strings.Repeat("a", 1<<20)}}
	if got, why := glob.Ask(t.Context(), vars); got != CannotTell || !strings.Contains(why, "cost limit") && got != False {
		t.Errorf("%s %q", got, why)
	}
}

func TestNewEnvRefusesWrongDeclarations(t *testing.T) {
	t.Parallel()
	for _, f := range [][]Field{
		{{Name: "a b", Type: Bool}},
		{{Name: "a", Type: Bool}, {Name: "a", Type: Int}},
		{{Name: "a", Type: "number"}},
		{{Name: "a", Type: Bool, Elem: []Field{{Name: "b", Type: Int}}}},
		{{Name: "a", Type: Object, Elem: []Field{{Name: "", Type: Int}}}},
	} {
		if _, err := NewEnv(f); err == nil {
			t.Errorf("%v: no error", f)
		}
	}
}

func TestEveryFunctionIsDocumentedAndWorks(t *testing.T) {
	t.Parallel()
	e, err := NewEnv(nil)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, f := range Functions() {
		known[f.Name] = true
		p, err := e.Compile(f.Example, Bool)
		if err != nil {
			t.Errorf("%s: %v", f.Name, err)
			continue
		}
		if got, why := p.Ask(t.Context(), nil); got != True {
			t.Errorf("%s: %s is %s %s", f.Name, f.Example, got, why)
		}
		short := f.Name[strings.LastIndex(f.Name, ".")+1:]
		if !strings.Contains(f.Example, short) || f.Doc == "" || !strings.Contains(f.Signature, short) {
			t.Errorf("%s: incomplete", f.Name)
		}
	}
	for name := range e.cel.Functions() {
		if !known[name] && !strings.ContainsAny(name, "_@!-") && name != "in" {
			t.Errorf("function %s is not documented", name)
		}
	}
	for _, m := range e.cel.Macros() {
		if !known[m.Function()] && !known["math."+m.Function()] && m.Function() != "existsOne" {
			t.Errorf("macro %s is not documented", m.Function())
		}
	}
}
