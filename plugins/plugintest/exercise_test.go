package plugintest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/plugins"
)

// toy reads /f and counts its bytes; bent makes it break one duty.
type toy struct {
	bent  string
	calls int
}

func (p *toy) Spec() plugins.Spec {
	s := plugins.Spec{Name: "size", Title: "Size", Outputs: []plugins.Field{{Name: "bytes", Type: plugins.Int}}}
	if p.bent == "spec" {
		s.Outputs[0].Type = "integer"
	}
	return s
}

func (p *toy) Read(ctx context.Context, h plugins.Host, _ plugins.Args) ([]plugins.Raw, error) {
	switch p.bent {
	case "unscripted":
		_, _ = h.Run(ctx, plugins.Command{Argv: []string{"rm", "-rf", "/"}})
	case "deadline":
		if h.Target() == "silent" {
			<-context.Background().Done()
		}
	case "error":
		return nil, errors.New("no reason")
	case "status":
		return []plugins.Raw{{Name: "f", Command: "x", Status: "fine", At: time.Now()}}, nil
	}
	rec := plugins.NewRecorder(h)
	rec.ReadFile(ctx, "f", "/f", 100)
	return rec.Raws(), nil
}

func (p *toy) Parse(raws []plugins.Raw, _ plugins.Args) (plugins.Value, plugins.Status, error) {
	p.calls++
	raw, ok := plugins.Find(raws, "f")
	switch {
	case p.bent == "liar":
		return plugins.Value{"bytes": 0}, plugins.OK, nil
	case p.bent == "undeclared" && ok:
		return plugins.Value{"bytes": len(raw.Data), "more": true}, plugins.OK, nil
	case p.bent == "impure" && ok:
		return plugins.Value{"bytes": p.calls}, plugins.OK, nil
	case p.bent == "panics" && ok && len(raw.Data) == 1:
		panic("one byte")
	case !ok:
		return nil, plugins.Failed, errors.New("nothing was read")
	case raw.Status != plugins.OK:
		return nil, raw.Status, nil
	}
	return plugins.Value{"bytes": len(raw.Data)}, plugins.OK, nil
}

func exercise(t *testing.T, bent string) {
	t.Helper()
	host := NewHost(t).File("/f", "12345678", nil)
	Exercise(t, &toy{bent: bent}, Case{Name: "file", Host: host, Status: plugins.OK, Value: plugins.Value{"bytes": int64(8)}})
}

const bentEnv = "SECONDLINE_TEST_BENT"

func TestGoodProbePasses(t *testing.T) { exercise(t, os.Getenv(bentEnv)) }

// TestBrokenProbeFails runs the test above in a process of its own, where it
// must fail and say why.
func TestBrokenProbeFails(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for bent, want := range map[string]string{
		"spec":       `unknown type "integer"`,
		"unscripted": "was not scripted",
		"deadline":   "ignores its deadline",
		"error":      "no reason",
		"status":     `unknown status "fine"`,
		"liar":       "nothing was read, yet Parse says ok",
		"undeclared": "not declared",
		"impure":     "not pure",
		"panics":     "one byte",
	} {
		t.Run(bent, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestGoodProbePasses$")
			cmd.Env = append(os.Environ(), bentEnv+"="+bent)
			out, err := cmd.CombinedOutput()
			if _, failed := errors.AsType[*exec.ExitError](err); !failed || !strings.Contains(string(out), want) {
				t.Errorf("passed, or gave another reason (%v):\n%s", err, out)
			}
		})
	}
}
