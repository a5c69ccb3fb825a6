package runbooks

import (
	"fmt"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/yamlx"
)

// TestWhatMayCutItsAccessCanBeTakenBack: that is all that a deadman does.
func TestWhatMayCutItsAccessCanBeTakenBack(t *testing.T) {
	t.Parallel()
	const good = "{id: shut, run: [x], may_cut_access: true, verify: {that: used.used_percent < 1.0}, undo: {run: [y]}}"
	const note = "    - {id: n, note: x}\n"
	for name, c := range map[string]struct{ steps, want string }{
		"taken back":           {"    - " + good + "\n", ""},
		"inside a block":       {"    - id: way\n      choose: [{steps: [" + good + "]}]\n", ""},
		"no undo":              {"    - " + strings.Replace(good, "{run: [y]}", "none", 1) + "\n", "cannot be taken back"},
		"that only reads":      {"    - {id: shut, effect: read, run: [uptime], may_cut_access: true}\n", "cannot be taken back"},
		"no undo, and says no": {"    - " + strings.NewReplacer("{run: [y]}", "none", "access: true", "access: false").Replace(good) + "\n", ""},
		"in on_failure":        {note + "  on_failure:\n    - " + good + "\n", "what follows a run is not taken back"},
		"in always":            {note + "  always:\n    - " + good + "\n", "what follows a run is not taken back"},
	} {
		rb, err := Parse("x.yaml", []byte(strings.Replace(flowing(c.steps), "  limits:", "  deadman: 3m\n  limits:", 1)), testOptions())
		switch all := yamlx.Errors(err); {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want == "" && (rb.Steps[0].Deadman > 0) != (name != "no undo, and says no"):
			t.Errorf("%s: %+v", name, rb.Steps[0])
		case c.want != "" && (len(all) != 1 || !strings.Contains(all[0].Message, c.want)):
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	for _, within := range []string{"29s", "61m", "0s", "-3m"} {
		text := strings.Replace(flowing("    - "+good+"\n"), "  limits:", fmt.Sprintf("  deadman: %s\n  limits:", within), 1)
		if _, err := Parse("x.yaml", []byte(text), testOptions()); err == nil || !strings.Contains(err.Error(), "deadman is ") {
			t.Errorf("deadman %s: %v", within, err)
		}
	}
}
