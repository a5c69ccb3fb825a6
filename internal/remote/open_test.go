package remote_test

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/remotetest"
)

// ways has one entry for each method that reaches the server. Target does not.
func ways() map[string]func(context.Context, remote.Runner) error {
	return map[string]func(context.Context, remote.Runner) error{
		"Run": func(ctx context.Context, r remote.Runner) error {
			_, err := r.Run(ctx, remote.Command{Argv: []string{"true"}, Effect: remote.Read})
			return err
		},
		"ReadFile": func(ctx context.Context, r remote.Runner) error { _, _, err := r.ReadFile(ctx, "/f", 10); return err },
		"Stat":     func(ctx context.Context, r remote.Runner) error { _, err := r.Stat(ctx, "/f"); return err },
		"Statfs":   func(ctx context.Context, r remote.Runner) error { _, err := r.Statfs(ctx, "/f"); return err },
		"ReadDir":  func(ctx context.Context, r remote.Runner) error { _, _, err := r.ReadDir(ctx, "/f", 10); return err },
	}
}

type records struct {
	mu   sync.Mutex // guards below
	list []remote.Record
}

func (r *records) Record(_ context.Context, rec remote.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, rec)
}

func scripted(t *testing.T) *remotetest.Host {
	return remotetest.New(t).OnRun(remotetest.Argv("true"), remote.Result{}).OnFile("/f", "x").OnStat("/f", remote.FileInfo{}).
		OnStatfs("/f", remote.FSInfo{}).OnReadDir("/f")
}

// A method added to Runner, or to Server, must be added here, and then is
// proven to pass the gate and the audit.
func TestNoWayToTheServerIsUncovered(t *testing.T) {
	t.Parallel()
	harmless := map[string]bool{"Target": true, "Close": true}
	for _, typ := range []reflect.Type{reflect.TypeFor[remote.Runner](), reflect.TypeFor[*remote.Server](), reflect.TypeFor[remote.Transport]()} {
		for method := range typ.Methods() {
			if name := method.Name; ways()[name] == nil && !harmless[name] {
				t.Errorf("%s.%s is not covered by this test", typ, name)
			}
		}
	}
	deny := gate(func(remote.Command) error { return fault.New(fault.Denied, "not today") })
	for name, call := range ways() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, told := scripted(t), &records{}
			err := call(t.Context(), remote.Open(host, remote.Options{Gate: deny, Redactor: redact.New(), Audit: told, Name: "db1"}))
			if remotetest.ClassOf(err) != remote.NotPermitted || !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "db1") {
				t.Errorf("refused: got %v", err)
			}
			if len(host.Calls()) != 0 {
				t.Errorf("the gate refused, and the server was asked: %v", host.Calls())
			}
			if len(told.list) != 1 || told.list[0].Class != remote.NotPermitted || told.list[0].Target != "db1" || told.list[0].Effect != remote.Read {
				t.Errorf("refused: audit got %+v", told.list)
			}
			if err := call(t.Context(), remote.Open(host, remote.Options{Gate: remote.ReadOnly(), Redactor: redact.New(), Audit: told})); err != nil {
				t.Error(err)
			}
			if len(told.list) != 2 || told.list[1].Class != "" || len(host.Calls()) != 1 {
				t.Errorf("allowed: audit got %+v, the server %v", told.list, host.Calls())
			}
		})
	}
}

type gate func(remote.Command) error

func (g gate) Allow(_ context.Context, _ string, cmd remote.Command) error { return g(cmd) }

func TestReadOnlyRefusesWhatMayChange(t *testing.T) {
	t.Parallel()
	host := scripted(t)
	s := remote.Open(host, remote.Options{Gate: remote.ReadOnly(), Redactor: redact.New()})
	for _, effect := range []remote.Effect{"", remote.Write} {
		_, err := s.Run(t.Context(), remote.Command{Argv: []string{"true"}, Effect: effect})
		if !fault.Is(err, fault.Denied) {
			t.Errorf("effect %q: got %v", effect, err)
		}
	}
	if len(host.Calls()) != 0 {
		t.Errorf("the server was asked: %v", host.Calls())
	}
}

func TestGatesRefuseWithTheFirstRefusal(t *testing.T) {
	t.Parallel()
	first, second := errors.New("first"), errors.New("second")
	g := remote.Gates(remote.AllowAll(), gate(func(remote.Command) error { return first }), gate(func(remote.Command) error { return second }))
	if err := g.Allow(t.Context(), "x", remote.Command{Argv: []string{"true"}}); !errors.Is(err, first) {
		t.Errorf("got %v", err)
	}
}

func TestOpenWithoutGatePanics(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("a server without a gate was opened")
		}
	}()
	remote.Open(scripted(t), remote.Options{Redactor: redact.New()})
}

// The cut must not leave the half of a secret that no detector knows.
func TestRedactsBeforeTheCut(t *testing.T) {
	t.Parallel()
	const secret = "AKIAIOSFODNN7EXAMPLE"
	for limit := 1; limit < 40; limit++ {
		host := remotetest.New(t).OnFile("/f", "0123456789 "+secret+" end").
			OnRun(remotetest.Argv("x"), remote.Result{Stdout: []byte("0123456789 " + secret + " end"), Stderr: []byte("password=" + secret)})
		s := remote.Open(host, remote.Options{Gate: remote.AllowAll(), Redactor: redact.New()})
		data, _, err := s.ReadFile(t.Context(), "/f", limit)
		r, errRun := s.Run(t.Context(), remote.Command{Argv: []string{"x"}, MaxOutputBytes: limit})
		if err != nil || errRun != nil {
			t.Fatal(err, errRun)
		}
		for _, out := range [][]byte{data, r.Stdout, r.Stderr} {
			if bytes.Contains(out, []byte("AKIA")) || len(out) > limit {
				t.Errorf("limit %d: got %q", limit, out)
			}
		}
	}
}

// The secret at the cut of a long output lies where the transport itself cuts
// when everything before it shrank.
func TestSecretAtTheTransportsOwnCutIsNotShown(t *testing.T) {
	t.Parallel()
	const secret = "AKIAIOSFODNN7EXAMPLE"
	before := "password=" + strings.Repeat("x", 100<<10) + "\n"
	for offset := range len(secret) + 2 {
		// The transport's cut lies offset bytes into the secret.
		limit := len(before) + offset - remote.RedactionSlack
		host := remotetest.New(t).OnFile("/f", before+secret+strings.Repeat(" z", 100<<10))
		s := remote.Open(host, remote.Options{Gate: remote.AllowAll(), Redactor: redact.New()})
		data, truncated, err := s.ReadFile(t.Context(), "/f", limit)
		if err != nil || !truncated || bytes.Contains(data, []byte("AK")) {
			t.Errorf("offset %d: got %q, truncated %v, %v", offset, data, truncated, err)
		}
	}
}

func TestAuditShowsNoSecretArgument(t *testing.T) {
	t.Parallel()
	told := &records{}
	host := remotetest.New(t).OnRun(remotetest.Prefix("app"), remote.Result{})
	s := remote.Open(host, remote.Options{Gate: remote.AllowAll(), Redactor: redact.New(), Audit: told})
	for _, argv := range [][]string{{"app", "--password=hunter22"}, {"app", "--password", "hunter22"}} {
		if _, err := s.Run(t.Context(), remote.Command{Argv: argv}); err != nil {
			t.Fatal(err)
		}
	}
	for _, rec := range told.list {
		if strings.Contains(strings.Join(rec.Argv, " "), "hunter22") {
			t.Errorf("the audit shows %q", rec.Argv)
		}
	}
}

func TestErrorsShowNoSecret(t *testing.T) {
	t.Parallel()
	host := remotetest.New(t).OnFileError("/f", &remote.Error{Class: remote.BrokenServer, Err: errors.New("got token=hunter22"), Hint: "look at password=hunter22"})
	s := remote.Open(host, remote.Options{Gate: remote.AllowAll(), Redactor: redact.New()})
	_, _, err := s.ReadFile(t.Context(), "/f", 10)
	e, ok := errors.AsType[*remote.Error](err)
	if !ok || strings.Contains(err.Error()+e.Hint, "hunter22") {
		t.Errorf("got %v, hint %q", err, e.Hint)
	}
}

// What waits for a slot is bounded by its context, and the limit holds.
func TestParallelWorkIsLimited(t *testing.T) {
	t.Parallel()
	began, goOn := make(chan struct{}, 10), make(chan struct{})
	host := remotetest.New(t).OnRunDo(remotetest.Argv("slow"), func(remote.Command) (remote.Result, error) {
		began <- struct{}{}
		<-goOn
		return remote.Result{}, nil
	})
	s := remote.Open(host, remote.Options{Gate: remote.AllowAll(), Redactor: redact.New(), MaxParallel: 2})
	done := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := s.Run(t.Context(), remote.Command{Argv: []string{"slow"}})
			done <- err
		}()
	}
	<-began
	<-began
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Run(ctx, remote.Command{Argv: []string{"slow"}})
	if err == nil || len(began) != 0 {
		t.Errorf("a third command was started: %v", err)
	}
	if e, ok := errors.AsType[*remote.Error](err); ok && e.Class.MayHaveRun() {
		t.Errorf("it never started, and its class is %s", e.Class)
	}
	close(goOn)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
