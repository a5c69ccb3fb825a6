package runbooks

import (
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/yamlx"
)

// TestWhatIsTakenBackInTimeEndsInTime: a command that is still at work when the
// deadman's time is over is not taken back.
func TestWhatIsTakenBackInTimeEndsInTime(t *testing.T) {
	t.Parallel()
	for timeout, good := range map[string]bool{"timeout: 30s": true, "timeout: 3m": true, "timeout: 4m": false} {
		text := strings.Replace(string(minimal("a", "b").Data), "    - {id: look, effect: read, run: [uptime]}",
			"    - {id: cut, run: [x], "+timeout+", may_cut_access: true, verify: {that: used.used_percent < 1.0}, repeat: {ask: used.used_percent < 1.0}, undo: {run: [y]}}", 1)
		text = strings.Replace(text, "  steps:", "  deadman: 3m\n  limits: {deadline: 2h}\n  probes: {used: {probe: disk.usage, with: {mount: /}}}\n  steps:", 1)
		if _, err := Parse("a.yaml", []byte(text), testOptions()); (err == nil) != good || err != nil && yamlx.Errors(err)[0].Rule != RuleBounded {
			t.Errorf("%s: %v", timeout, err)
		}
	}
}
