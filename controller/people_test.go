package controller

import (
	"errors"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/internal/fault"
)

func TestWrongInputsAreRefusedBeforeThereIsARun(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	_, _, err := d.app.people.StartRun(t.Context(), api.RunRequest{
		Runbook: "clean-directory-over-budget", Target: "web1", Inputs: map[string]string{"pth": "/x"},
	}, "ada")
	d.wantKind(err, fault.Invalid)
	lines := strings.Split(api.Message(err), "\n")
	for i, want := range []string{"clean-directory-over-budget", `no input "pth"; did you mean "path"?`, "input path cannot be told from hypothesis.object.path"} {
		if i >= len(lines) || !strings.Contains(lines[i], want) {
			t.Errorf("line %d does not have %q:\n%s", i+1, want, strings.Join(lines, "\n"))
		}
	}
	for name, inputs := range map[string]map[string]string{"missing": nil, "of the wrong type": {"name": "a\x00b"}} {
		req := request("web1", true)
		req.Inputs = inputs
		if _, _, err := d.app.people.StartRun(t.Context(), req, "ada"); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if all := d.all(); len(all) != 0 {
		t.Errorf("%d incidents were opened for calls that were wrong", len(all))
	}
}

func TestARunbookThatIsNotThereIsLookedForNearby(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	req := request("web1", true)
	for name, want := range map[string]string{"start-supervised-proces": `did you mean "start-supervised-process"?`, "of-my-own": "--runbooks"} {
		req.Runbook = name
		_, _, err := d.app.people.StartRun(t.Context(), req, "ada")
		d.wantKind(err, fault.NotFound)
		if f, ok := errors.AsType[*fault.Error](err); !ok || !strings.Contains(f.Hint, want) {
			t.Errorf("%s: got %v, want the hint %q", name, f, want)
		}
	}
}
