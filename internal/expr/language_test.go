package expr

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// TestEnvironmentsOfALanguageAreApart: what one declares, no other can read.
func TestEnvironmentsOfALanguageAreApart(t *testing.T) {
	t.Parallel()
	var l Language
	env := func(fields ...Field) *Env {
		e, err := l.NewEnv(fields)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	evidence := []Field{{Name: "evidence", Type: Map}}
	plain := env(Field{Name: "a", Type: Object, Elem: []Field{{Name: "x", Type: Int}}})
	asks := env(Field{Name: "a", Type: Object, Elem: evidence})
	other := env(Field{Name: "b", Type: Object, Elem: evidence})
	for _, c := range []struct {
		env  *Env
		src  string
		want string // the mistake, "" for none
	}{
		{plain, "a.x == 1", ""},
		{plain, `a.has("id")`, `unknown name "has"`},
		{plain, "b.evidence", `unknown name "b"`},
		{asks, `a.has("id")`, ""},
		{asks, "a.x == 1", `no field "x"`},
		{other, `b.has("id")`, ""},
		{other, `a.has("id")`, `unknown name "a"`},
	} {
		_, err := c.env.Compile(c.src, Bool)
		if got := fmt.Sprint(err); (c.want == "") != (err == nil) || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %v, want %q", c.src, err, c.want)
		}
	}
}

func TestALanguageServesManyGoroutines(t *testing.T) {
	t.Parallel()
	var l Language
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			fields := []Field{{Name: fmt.Sprint("n", i), Type: Int}, {Name: "hypothesis", Type: Object, Elem: []Field{{Name: "evidence", Type: Map}}}}
			e, err := l.NewEnv(fields[:1+i%2])
			if err != nil {
				t.Error(err)
				return
			}
			p, err := e.Compile(fmt.Sprintf(`n%d > 1 && "ab".matches("a.")`, i), Bool)
			if err != nil {
				t.Error(err)
				return
			}
			if truth, why := p.Ask(t.Context(), map[string]any{fmt.Sprint("n", i): 2}); truth != True {
				t.Errorf("%s: %s", truth, why)
			}
		})
	}
	all.Wait()
}

func TestALanguageKeepsFewBases(t *testing.T) {
	t.Parallel()
	var l Language
	for i := range maxKept + 2 {
		name := fmt.Sprint("o", i)
		e, err := l.NewEnv([]Field{{Name: name, Type: Object, Elem: []Field{{Name: "evidence", Type: Map}}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Compile(name+`.has("id")`, Bool); err != nil {
			t.Error(err)
		}
	}
	if len(l.bases) != maxKept {
		t.Errorf("%d bases are kept", len(l.bases))
	}
}

// TestMistakesOfPlanningAreFoundAtCompile: a program is planned when it is first
// evaluated, but not if that could fail.
func TestMistakesOfPlanningAreFoundAtCompile(t *testing.T) {
	t.Parallel()
	e := environment(t)
	for src, want := range map[string]string{
		`int("x") == 1`: "type conversion error",
		`n > int("9" + "") || int(double("x")) == n`: "type conversion error",
		`"a".matches("(abcdefgh){500}")`:             "exceeds limit",
		`json.x[null] == 1`:                          "qualifier",
	} {
		if _, err := e.Compile(src, Bool); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", src, err, want)
		}
	}
}

func TestCompileRemembers(t *testing.T) {
	t.Parallel()
	e := environment(t)
	first, err := e.Compile("n", "")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := e.Compile("n", ""); err != nil || again != first {
		t.Errorf("compiled anew, %v", err)
	}
	if _, err := e.Compile("n", String); err == nil {
		t.Error("a number was taken for a string, because it was right for another place")
	}
	for i := range maxRemembered + 2 {
		p, err := e.Compile(fmt.Sprintf("n + %d", i), Int)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := p.Eval(t.Context(), map[string]any{"n": 1}); err != nil || v != int64(i+1) {
			t.Fatalf("n + %d is %v, %v", i, v, err)
		}
	}
	if len(e.programs) != maxRemembered {
		t.Errorf("%d programs are remembered", len(e.programs))
	}
}
