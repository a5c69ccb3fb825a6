package diagnostics

import (
	"context"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

func TestRecorderGivesEachReadingItsStatus(t *testing.T) {
	t.Parallel()
	failing := func(class remote.Class) error { return &remote.Error{Class: class, Doing: "x"} }
	s := server{
		files: map[string]string{"/etc/x": "hello", "/etc/long": strings.Repeat("y", 100)},
		runs: map[string]remote.Result{
			"ok":     {Stdout: []byte("out"), Stderr: []byte("noise")},
			"no":     {ExitCode: 3, Stderr: []byte("refused\nline 2"), Stdout: []byte("partly")},
			"silent": {ExitCode: 1, Stderr: []byte("nginx: bad")},
			"cut":    {Stdout: []byte("abc"), Truncated: true},
			"killed": {ExitCode: -1, Signal: "KILL", Stdout: []byte("abc")},
		},
		errs: map[string]error{
			"gone": failing(remote.NotExist), "denied": failing(remote.NotPermitted), "slow": failing(remote.TimedOut),
			"lost": failing(remote.Lost), "gate": fault.New(fault.Denied, "no"), "late": context.DeadlineExceeded,
		},
	}
	rec := Record(s, clock)
	run := func(argv ...string) Raw {
		return rec.Run(t.Context(), argv[0], remote.Command{Argv: argv, Effect: remote.Write})
	}
	for name, c := range map[string]struct {
		raw    Raw
		status Status
		exit   int
		data   string
		err    string
	}{
		"output":                     {run("ok"), OK, 0, "out", ""},
		"a no is an answer":          {run("no"), OK, 3, "partly", "refused"},
		"stderr where stdout is mum": {run("silent"), OK, 1, "nginx: bad", "nginx: bad"},
		"cut":                        {run("cut"), Truncated, 0, "abc", ""},
		"killed":                     {run("killed"), Failed, -1, "abc", "ended by signal KILL"},
		"program not there":          {run("gone"), Absent, 0, "", "x: not_exist"},
		"not permitted":              {run("denied"), Denied, 0, "", "x: not_permitted"},
		"gate":                       {run("gate"), Denied, 0, "", "no"},
		"time-out":                   {run("slow"), TimedOut, 0, "", "x: timed_out"},
		"deadline":                   {run("late"), TimedOut, 0, "", "context deadline exceeded"},
		"lost":                       {run("lost"), Failed, 0, "", "x: lost"},
		"file":                       {rec.File(t.Context(), "f", "/etc/x", 10), OK, 0, "hello", ""},
		"file cut":                   {rec.File(t.Context(), "l", "/etc/long", 3), Truncated, 0, "yyy", ""},
		"no file":                    {rec.Stat(t.Context(), "s", "/nope"), Absent, 0, "", "stat /nope: not_exist"},
		"fs":                         {rec.Statfs(t.Context(), "fs", "/"), OK, 0, `{"Total":100,"Free":20,"Available":10,"Inodes":0,"InodesFree":0}`, ""},
	} {
		if c.raw.Status != c.status || c.raw.ExitCode != c.exit || string(c.raw.Data) != c.data || c.raw.Error != c.err {
			t.Errorf("%s: %+v with data %q", name, c.raw, c.raw.Data)
		}
		sealed := c.raw
		sealed.Seal()
		if c.raw.SHA256 == "" || sealed.SHA256 != c.raw.SHA256 || c.raw.Bytes != len(c.data) {
			t.Errorf("%s is not sealed", name)
		}
	}
	if dir := rec.Dir(t.Context(), "d", "/etc", 2); dir.Status != Truncated || !strings.HasPrefix(string(dir.Data), "[{") {
		t.Errorf("dir %+v", dir)
	}
	if got := len(rec.Raws()); got != 16 {
		t.Errorf("%d raws kept, want 16", got)
	}
	if _, ok := FindRaw(rec.Raws(), "lost"); !ok {
		t.Error("a failed reading was not kept")
	}
}

func TestQuoteIsForPeopleAndUnambiguous(t *testing.T) {
	t.Parallel()
	if got, want := quoteArgv([]string{"cat", "a b", "it's", "", "$(x)"}), `cat 'a b' 'it'\''s' '' '$(x)'`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
