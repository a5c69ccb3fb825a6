// Package plugintest is the harness for authors of plugins: Exercise puts a
// probe behind real gRPC in the test's own process and checks that it keeps the
// contract of package plugins, on a scripted Host that fails what it was not
// told to expect. It starts no process; how a host treats one that crashes is
// the host's business.
package plugintest

import (
	"bytes"
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-plugin"

	"github.com/secondline-ops/secondline/plugins"
)

// Case is one reading: what is on the target, what is asked, and what must come
// of it.
type Case struct {
	Name   string
	Host   plugins.Host
	Args   plugins.Args
	Status plugins.Status
	Value  plugins.Value // what must be in the value, as it comes off the wire; more may be
	Fails  bool          // Read gives an error: nothing could be looked at
}

const (
	patience = time.Minute            // of the test with the probe
	deadline = 300 * time.Millisecond // given to a probe whose host does not answer
	lateness = 10 * time.Second       // after which it ignores its deadline: a busy machine is late, too
)

// Exercise checks the probe's declaration, each case through the wire, and what
// must hold for any bytes: Parse is pure, does not panic, and tells nothing
// when nothing was read.
func Exercise(t *testing.T, p plugins.Probe, cases ...Case) {
	t.Helper()
	checker := plugins.NewChecker()
	spec := p.Spec()
	info := plugins.Info{Name: "exercise", Version: "1", Capabilities: plugins.Capabilities{plugins.CapabilityRead}}
	if err := checker.Plugin(info, []plugins.Spec{spec}); err != nil {
		t.Fatalf("declaration: %v", err)
	}
	if len(cases) == 0 {
		t.Fatal("no case: the harness would check nothing")
	}
	w := wire{probe: p, spec: spec, checker: checker, client: connect(t, info, p)}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			raws := w.read(t, c)
			if c.Fails || t.Failed() {
				return
			}
			w.understand(t, c, raws)
			w.hostile(t, c, raws)
			w.unanswered(t, c)
		})
	}
}

// wire is the probe behind gRPC, with what is known of it.
type wire struct {
	probe   plugins.Probe
	spec    plugins.Spec
	checker *plugins.Checker
	client  *plugins.Client
}

func connect(t *testing.T, info plugins.Info, p plugins.Probe) *plugins.Client {
	t.Helper()
	conn, server := plugin.TestPluginGRPCConn(t, false, plugins.Set(info, p))
	client, err := plugins.Dispense(conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		_ = conn.Close() // asks the server to stop, and may be told that it has
		select {
		case <-server.DoneCh: // to stop it here as well would be a race inside go-plugin
		case <-time.After(patience):
			t.Error("the plugin's server did not stop")
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, specs, err := client.Describe(ctx)
	if err != nil || len(specs) != 1 || specs[0].Name != p.Spec().Name {
		t.Fatalf("described as %+v, %v", specs, err)
	}
	return client
}

func (w wire) read(t *testing.T, c Case) []plugins.Raw {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	raws, err := w.client.Read(ctx, plugins.Call{Probe: w.spec.Name, Args: c.Args, Host: c.Host, Timeout: patience / 2})
	if (err != nil) != c.Fails {
		t.Fatalf("Read: error %v, want one: %t", err, c.Fails)
	}
	if err := w.checker.Raws(raws); err != nil {
		t.Errorf("Read: %v", err)
	}
	for _, r := range raws {
		if r.At.IsZero() || r.Command == "" {
			t.Errorf("raw %q does not say when or how it was read: %+v", r.Name, r)
		}
	}
	return raws
}

func (w wire) understand(t *testing.T, c Case, raws []plugins.Raw) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	value, status, err := w.client.Parse(ctx, w.spec.Name, raws, c.Args)
	if status != c.Status || (err != nil && status.Tells()) {
		t.Errorf("Parse: status %s (%v), want %s", status, err, c.Status)
	}
	if err := w.checker.Answer(w.spec, value, status); err != nil {
		t.Errorf("Parse: %v", err)
	}
	for name, want := range c.Value {
		if got := value[name]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %#v, want %#v", name, got, want)
		}
	}
	again, status2, _ := w.client.Parse(ctx, w.spec.Name, raws, c.Args)
	if status2 != status || !reflect.DeepEqual(again, value) {
		t.Errorf("Parse is not pure: %v (%s), then %v (%s)", value, status, again, status2)
	}
}

// hostile parses what no honest server sends. A panic fails the test by itself.
func (w wire) hostile(t *testing.T, c Case, raws []plugins.Raw) {
	t.Helper()
	nothing := func(raws []plugins.Raw, what string) {
		if _, status, err := w.probe.Parse(raws, c.Args); err == nil && status.Tells() {
			t.Errorf("%s, yet Parse says %s", what, status)
		}
	}
	nothing(nil, "nothing was read")
	failed := slices.Clone(raws)
	for i := range failed {
		failed[i].Status, failed[i].Data, failed[i].Error = plugins.Failed, nil, "scripted"
	}
	nothing(failed, "every reading failed")
	for i := range raws {
		for _, data := range [][]byte{nil, {0}, bytes.Repeat([]byte{0xff, '\n'}, 1000), raws[i].Data[:len(raws[i].Data)/2]} {
			bent := slices.Clone(raws)
			bent[i].Data = data
			if _, status, err := w.probe.Parse(bent, c.Args); err == nil && !known(status) {
				t.Errorf("on bent data: unknown status %q", status)
			}
		}
	}
}

func known(s plugins.Status) bool {
	switch s {
	case plugins.OK, plugins.Absent, plugins.Failed, plugins.TimedOut, plugins.Truncated, plugins.Denied:
		return true
	}
	return false
}

// unanswered reads from a host that never answers: the probe must come back
// when its time is up.
func (w wire) unanswered(t *testing.T, c Case) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline+lateness)
	defer cancel()
	began := time.Now()
	raws, err := w.client.Read(ctx, plugins.Call{Probe: w.spec.Name, Args: c.Args, Host: plugins.Silent(), Timeout: deadline})
	// gRPC may notice the end of ctx a moment before ctx says so.
	if ctx.Err() != nil || time.Since(began) > lateness {
		t.Fatalf("Read ignores its deadline: %v", err)
	}
	if err == nil && !slices.ContainsFunc(raws, func(r plugins.Raw) bool { return !r.Status.Tells() }) {
		t.Errorf("the host did not answer, yet every raw tells something: %+v", raws)
	}
}
