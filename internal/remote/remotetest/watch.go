package remotetest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/remote"
)

// passAll lets everything pass: what is tested stands behind it.
type passAll struct{}

func (passAll) Allow(context.Context, string, remote.Command) error { return nil }
func (passAll) Redact(text []byte) []byte                           { return text }

// testWatch runs a command that ends only when both of its streams were shown.
func testWatch(t *testing.T, tr remote.Transport) {
	seen := filepath.Join(t.TempDir(), "seen")
	server := remote.Open(tr, remote.Options{Gate: passAll{}, Redactor: passAll{}})
	watch := &remote.Watch{Show: func(end []byte) {
		if text := string(end); strings.Contains(text, "first\n") && strings.Contains(text, "other\n") {
			if err := os.WriteFile(seen, nil, 0o600); err != nil {
				t.Error(err)
			}
		}
	}}
	script := `echo first; echo other >&2; while [ ! -e "$1" ]; do sleep 0.05; done; echo last`
	r, err := server.Run(t.Context(), remote.Command{Argv: []string{"sh", "-c", script, "sh", seen}, Timeout: patience, Watch: watch})
	if err != nil || r.ExitCode != 0 || string(r.Stdout) != "first\nlast\n" {
		t.Fatalf("it was not shown, or lost: %v %+v", err, r)
	}
}
