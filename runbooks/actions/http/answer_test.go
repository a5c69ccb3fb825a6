package http

import (
	"testing"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
)

func TestWhatWasRedactedCannotBeTold(t *testing.T) {
	t.Parallel()
	e := expectation{BodyHas: "well"}
	if truth, why := e.holds([]byte("[redacted:password] ill")); truth != expr.CannotTell {
		t.Errorf("%s%s", truth, why)
	}
	if truth, why := e.holds([]byte("[redacted:password] well")); truth != expr.True {
		t.Errorf("%s%s", truth, why)
	}
}

// FuzzJudge holds arbitrary answers against an expectation: what is taken has
// the status and the words.
func FuzzJudge(f *testing.F) {
	f.Add([]byte("{\"a\": 1}\n200"), "a")
	f.Add([]byte("\n000"), "")
	f.Add([]byte("[[[["), "0.0.0")
	f.Fuzz(func(t *testing.T, out []byte, path string) {
		r := request{Method: "GET", URL: "http://h/", Expect: expectation{JSON: map[string]string{path: "1"}}}
		got := r.judge(remote.Result{Stdout: out})
		if status, body, ok := parse(out); got.Truth == expr.True && (!ok || status/100 != 2 || len(body) == 0) {
			t.Errorf("%q was taken", out)
		}
	})
}
