package agenttest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/secondline-ops/secondline/agent"
	"github.com/secondline-ops/secondline/agent/credentials"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/runbooks"
)

const tellsSecret = `
apiVersion: secondline/v1
kind: Runbook
metadata: {name: tells, title: It tells a secret}
spec:
  probes: {one: {probe: file.lines, with: {path: DIR/one}}}
  steps:
    - id: tell
      script: {interpreter: sh, env: {KEY: secret/key, OUT: DIR/one}, body: 'echo "$KEY" > "$OUT"; echo "$KEY"; echo "it is $KEY" >&2; exit 3'}
      verify: {that: one.n >= 1}
      undo: none
`

// What stays of the secret on the agent's disk and goes to the controller is
// its name, also when the step fails and says it.
func TestASecretDoesNotLeaveItsAgent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const value = "cjzPZ3xT-the-value"
		k := newDesk(t)
		h := newHouse(t, k)
		folder := t.TempDir()
		h.edit = func(o *agent.Options) {
			o.Secrets, o.Redactor = credentials.Secrets{Dir: folder}, redact.New()
		}
		h.start()
		missing := k.do(h.planJob("missing", tellsSecret))
		if missing.Plan == nil || !strings.Contains(missing.Plan.Refused, "this agent has no secret key") {
			t.Fatalf("without the secret: %+v", missing)
		}
		if err := os.WriteFile(filepath.Join(folder, "key"), []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		r := k.do(h.runJob("r", tellsSecret))
		h.expect(r, runbooks.RunRefuted, 1, 0)
		h.stop()
		if told, err := os.ReadFile(filepath.Join(h.dir, "one")); err != nil || string(told) != value+"\n" {
			t.Errorf("the program had %q, %v", told, err)
		}
		report, err := json.Marshal(k.reports())
		if err != nil {
			t.Fatal(err)
		}
		left := string(report) + fmt.Sprintf("%+v", k.events)
		files := 0
		err = filepath.WalkDir(h.state, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			left, files = left+string(data), files+1
			return err
		})
		if err != nil || files == 0 {
			t.Errorf("%d files of the journal were read: %v", files, err)
		}
		if strings.Contains(left, value) || !strings.Contains(left, "[redacted:known]") || !strings.Contains(left, "secret/key") {
			t.Errorf("left behind:\n%s", left)
		}
	})
}
