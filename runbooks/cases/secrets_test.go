package cases_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/local"
	"github.com/secondline-ops/secondline/internal/remote/recording"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions"
	"github.com/secondline-ops/secondline/runbooks/cases"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// one is an agent with one secret.
type one struct{ name, value string }

func (o one) Has(_ context.Context, name string) error {
	if name != o.name {
		return fault.New(fault.NotFound, "no secret %s", name)
	}
	return nil
}

func (o one) Get(ctx context.Context, name string) (redact.Secret, error) {
	return redact.Secret(o.value), o.Has(ctx, name)
}

func TestARecordingHoldsTheReferenceOfASecret(t *testing.T) {
	t.Parallel()
	const value = "cjzPZ3xT-the-value"
	file := filepath.Join(t.TempDir(), "log")
	text := fmt.Sprintf(`apiVersion: secondline/v1
kind: Runbook
metadata: {name: tell, title: Tell}
spec:
  probes: {log: {probe: file.lines, with: {path: %[1]s}}}
  steps:
    - id: tell
      script: {interpreter: sh, env: {KEY: secret/key, LOG: %[1]s}, body: 'echo "$KEY"; echo "$KEY" > "$LOG"'}
      verify: {that: log.n > 0}
      undo: none
`, file)
	rb, err := runbooks.Parse("tell.yaml", []byte(text), runbooks.ParseOptions{Decoders: actions.Decoders(), Probes: probes{}})
	if err != nil {
		t.Fatal(err)
	}
	redactor := redact.NewGrowing(redact.New())
	host := recording.Record(remote.Open(local.New(), remote.Options{Gate: remote.AllowAll(), Redactor: redactor}), redact.New(), time.Now)
	real := tools()
	real.Secrets = engine.Learned(one{"key", value}, redactor)
	given := cases.Given{Runbook: rb.Name, Target: cases.Host{ID: "h1"}, Start: host.Start(), Act: true, Secrets: cases.SecretsOf(t.Context(), rb, real.Secrets)}
	if !slices.Equal(given.Secrets, []string{"key"}) {
		t.Errorf("the case has the secrets %q", given.Secrets)
	}
	b, err := cases.Bind(&given, rb, host, real)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := b.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	result, err := b.CarryOut(t.Context(), nil)
	if err != nil || result.Status != runbooks.RunVerified {
		t.Fatalf("%s: %s, %v", result.Status, result.Why, err)
	}
	c := &cases.Case{Given: given, Expect: cases.Observed(plan)}
	c.Expect.Run = cases.ObservedRun(result, nil)
	lines, err := recording.Format(host.Exchanges())
	if err != nil || strings.Contains(string(lines), value) || !strings.Contains(string(lines), `"secrets":["KEY=secret/key"]`) {
		t.Errorf("recorded %s, %v", lines, err)
	}
	written, err := c.Format()
	if err != nil || strings.Contains(string(written), value) {
		t.Errorf("the case is %s, %v", written, err)
	}
	if c, err = cases.Parse("case.yaml", written); err != nil {
		t.Fatal(err)
	}
	played, err := cases.Test(t.Context(), c, rb, host.Exchanges(), redact.New(), tools())
	if err != nil || !played.OK() {
		t.Errorf("played back without the secret: %+v, %v", played, err)
	}
	other, err := runbooks.Parse("tell.yaml", []byte(strings.Replace(text, "secret/key", "secret/other", 1)), runbooks.ParseOptions{Decoders: actions.Decoders(), Probes: probes{}})
	if err != nil {
		t.Fatal(err)
	}
	if played, err = cases.Test(t.Context(), c, other, host.Exchanges(), redact.New(), tools()); err != nil || !strings.Contains(played.Got.Refused, "no secret other") {
		t.Errorf("with another secret: %+v, %v", played, err)
	}
}
