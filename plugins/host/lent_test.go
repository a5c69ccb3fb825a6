package host

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/plugins"
)

// server answers everything and remembers what it was asked.
type server struct{ asked *[]string }

func (s server) note(what ...string) { *s.asked = append(*s.asked, strings.Join(what, " ")) }

func (s server) Target() string { return "db1" }

func (s server) Run(_ context.Context, cmd remote.Command) (remote.Result, error) {
	s.note(append([]string{cmd.As}, cmd.Argv...)...)
	return remote.Result{}, nil
}

func (s server) ReadFile(_ context.Context, path string, _ int) (data []byte, truncated bool, err error) {
	s.note(path)
	return nil, false, nil
}

func (s server) Stat(_ context.Context, path string) (remote.FileInfo, error) {
	s.note(path)
	return remote.FileInfo{}, nil
}

func (s server) Statfs(_ context.Context, path string) (remote.FSInfo, error) {
	s.note(path)
	return remote.FSInfo{}, nil
}

func (s server) ReadDir(_ context.Context, path string, _ int) (entries []remote.FileInfo, truncated bool, err error) {
	s.note(path)
	return nil, false, nil
}

func TestWhatIsNotDeclaredNeverReachesTheTarget(t *testing.T) {
	t.Parallel()
	asked := []string{}
	may := plugins.Info{Name: "rooms", Capabilities: plugins.Capabilities{
		plugins.CapabilityRead, plugins.MayRun("psql"), plugins.MayBe("postgres"), plugins.MayRead("/etc/rooms/**"),
	}}
	h := lent{server{&asked}, may}
	run := func(cmd plugins.Command) func() error {
		return func() error { _, err := h.Run(t.Context(), cmd); return err }
	}
	for name, c := range map[string]struct {
		do   func() error
		want string // of the error; "" when it is allowed
	}{
		"declared program":          {run(plugins.Command{Argv: []string{"psql", "-l"}}), ""},
		"as a declared user":        {run(plugins.Command{Argv: []string{"psql"}, As: "postgres"}), ""},
		"another program":           {run(plugins.Command{Argv: []string{"sh", "-c", "psql"}}), `"run:sh"`},
		"the same name elsewhere":   {run(plugins.Command{Argv: []string{"/tmp/psql"}}), `"run:/tmp/psql"`},
		"as another user":           {run(plugins.Command{Argv: []string{"psql"}, As: "root"}), `"as:root"`},
		"with a library of its own": {run(plugins.Command{Argv: []string{"psql"}, Env: map[string]string{"LD_PRELOAD": "/tmp/x"}}), "LD_PRELOAD"},
		"with a path of its own":    {run(plugins.Command{Argv: []string{"psql"}, Env: map[string]string{"PATH": "/tmp"}}), "PATH"},
		"declared file":             {func() error { _, _, err := h.ReadFile(t.Context(), "/etc/rooms/a/b", 1); return err }, ""},
		"declared folder":           {func() error { _, _, err := h.ReadDir(t.Context(), "/etc/rooms", 1); return err }, ""},
		"another file":              {func() error { _, _, err := h.ReadFile(t.Context(), "/etc/shadow", 1); return err }, `"file:/etc/shadow"`},
		"climbing out":              {func() error { _, _, err := h.ReadFile(t.Context(), "/etc/rooms/../shadow", 1); return err }, "not declared"},
		"a folder that begins so":   {func() error { _, err := h.Stat(t.Context(), "/etc/rooms2"); return err }, "not declared"},
		"stat elsewhere":            {func() error { _, err := h.Stat(t.Context(), "/"); return err }, "not declared"},
		"statfs elsewhere":          {func() error { _, err := h.Statfs(t.Context(), "/"); return err }, "not declared"},
		"list elsewhere":            {func() error { _, _, err := h.ReadDir(t.Context(), "/root", 1); return err }, "not declared"},
	} {
		before := len(asked)
		err := c.do()
		reached := len(asked) > before
		switch e, ok := errors.AsType[*plugins.HostError](err); {
		case c.want == "" && (err != nil || !reached):
			t.Errorf("%s: %v, reached %t", name, err, reached)
		case c.want != "" && (!ok || e.Class != plugins.ClassNotPermitted || !strings.Contains(e.Message, c.want) || reached):
			t.Errorf("%s: %v, reached %t", name, err, reached)
		}
	}
}

func TestAPluginIsLentOnlyTheHostsItMayReach(t *testing.T) {
	t.Parallel()
	e := known(t)
	e.Targets = []string{"web*", "here2"}
	h := open(t, Options{Entries: []Entry{e}})
	p := probes(t, h)[0]
	_, err := p.Read(t.Context(), files{}, diagnostics.Args{"path": textFile(t)}) // its target is "here"
	if !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "may not be lent here") {
		t.Errorf("lent: %v", err)
	}
	if s := h.Status()[0]; s.Running {
		t.Error("a process was started for a host that it may not reach")
	}
}

func TestAKnownPluginIsStartedOnlyToRead(t *testing.T) {
	t.Parallel()
	h := open(t, Options{Entries: []Entry{known(t)}})
	p := probes(t, h)[0]
	if p.Spec().Name != "mock.lines" || h.Status()[0].Running {
		t.Errorf("%s, running %t", p.Spec().Name, h.Status()[0].Running)
	}
	raws, err := p.Read(t.Context(), files{}, diagnostics.Args{"path": textFile(t)})
	if err != nil || len(raws) != 1 || !h.Status()[0].Running {
		t.Errorf("%v, %v, running %t", raws, err, h.Status()[0].Running)
	}
}
