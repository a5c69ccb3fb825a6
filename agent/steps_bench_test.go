package agent

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/secondline-ops/secondline/agent/journal"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/remotetest"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/run"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// benchSteps is runbooks.MaxSteps: as many as a runbook has.
const benchSteps = 200

// BenchmarkStepsOverSSH carries out a run of 200 steps on a warm connection to
// a real sshd, with the agent's journal on disk. Of the milliseconds that a step
// takes, command is the time in the runner, and overhead all the rest: the engine
// and the journal. raw is the same command by x/crypto/ssh alone over a connection
// as warm; a command of ours starts more programs on the server, which find it
// and bound it.
func BenchmarkStepsOverSSH(b *testing.B) {
	for name, c := range map[string]struct{ step, command string }{
		"read":              {`{id: s%d, effect: read, run: [uname]}`, "uname"},
		"write-and-measure": {`{id: s%d, run: ["true"], verify: {that: one.n == 1}, undo: none}`, "true"},
	} {
		b.Run(name, func(b *testing.B) {
			sshd := remotetest.StartSSHD(b)
			raw := rawClient(b, sshd)
			runner := &stopwatch{Runner: remote.Open(sshd.Dial(b), remote.Options{Gate: remote.AllowAll(), Redactor: redact.New()})}
			rb := parseSteps(b, c.step)
			var byRaw, byRun time.Duration
			for b.Loop() {
				start := time.Now()
				rawCommands(b, raw, c.command)
				byRaw += time.Since(start)
				byRun += carryOut(b, rb, runner)
			}
			report := func(d time.Duration, what string) {
				b.ReportMetric(float64(d.Microseconds())/1000/float64(b.N*benchSteps), what+"-ms/step")
			}
			report(byRaw, "raw")
			report(runner.spent, "command")
			report(byRun-runner.spent, "overhead")
			b.ReportMetric(0, "ns/op") // both together, which says nothing
		})
	}
}

func rawClient(b *testing.B, s *remotetest.SSHD) *ssh.Client {
	b.Helper()
	pem, err := os.ReadFile(s.KeyPath)
	if err != nil {
		b.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		b.Fatal(err)
	}
	client, err := ssh.Dial("tcp", s.Addresses[0], &ssh.ClientConfig{
		User: s.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.FixedHostKey(s.HostKey()),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Close() })
	return client
}

func rawCommands(b *testing.B, client *ssh.Client, command string) {
	b.Helper()
	for range benchSteps {
		session, err := client.NewSession()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := session.Output(command); err != nil {
			b.Fatal(err)
		}
	}
}

// stopwatch notes how long its commands take. Steps come one after the other.
type stopwatch struct {
	remote.Runner
	spent time.Duration
}

func (s *stopwatch) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	start := time.Now()
	defer func() { s.spent += time.Since(start) }()
	return s.Runner.Run(ctx, cmd)
}

// carryOut plans and runs the steps with a new journal, and returns how long the
// run took. The plan has no command to run.
func carryOut(b *testing.B, rb *runbooks.Runbook, r remote.Runner) time.Duration {
	b.Helper()
	book, err := journal.Open(b.TempDir(), journal.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer book.Close()
	host := entity.Entity{ID: "sshd", Kind: entity.Host, Address: "127.0.0.1"}
	binding := engine.Binding{Runbook: rb, Entity: host, Target: host}
	deps := engine.Deps{Actions: []engine.Action{run.Action{}}, Probes: one{}, Specs: one{}, Journal: jobJournal{book, "bench"}, Now: time.Now}
	plan, err := engine.Plan(b.Context(), r, binding, deps)
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	res, err := engine.Run(b.Context(), r, binding, engine.Approved{Digest: plan.Digest}, deps)
	took := time.Since(start)
	if err != nil || res.Status != runbooks.RunVerified {
		b.Fatal(res.Status, res.Why, err)
	}
	return took
}

func parseSteps(b *testing.B, step string) *runbooks.Runbook {
	b.Helper()
	var text strings.Builder
	text.WriteString("apiVersion: secondline/v1\nkind: Runbook\nmetadata: {name: many, title: Many steps}\n" +
		"spec:\n  limits: {deadline: 24h}\n  probes: {one: {probe: one}}\n  steps:\n")
	for i := range benchSteps {
		fmt.Fprintf(&text, "    - "+step+"\n", i)
	}
	rb, err := runbooks.Parse("many.yaml", []byte(text.String()), runbooks.ParseOptions{Decoders: []runbooks.Decoder{run.Action{}}, Probes: one{}})
	if err != nil {
		b.Fatal(err)
	}
	return rb
}

// one is a probe that always reads 1, and asks nobody.
type one struct{}

func (one) Names() []string { return []string{"one"} }

func (one) Fields(probe string) (in, out []expr.Field, ok bool) {
	return nil, []expr.Field{{Name: "n", Type: expr.Int}}, probe == "one"
}

func (one) Read(context.Context, remote.Runner, string, map[string]string) (map[string]any, error) {
	return map[string]any{"n": int64(1)}, nil
}
