package recording_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/local"
	"github.com/secondline-ops/secondline/internal/remote/recording"
)

func classOf(err error) remote.Class {
	if e, ok := errors.AsType[*remote.Error](err); ok {
		return e.Class
	}
	return ""
}

// asked is everything that can be asked, in a form that can be compared.
func asked(t *testing.T, r remote.Runner, dir string) []string {
	t.Helper()
	var out []string
	note := func(what string, v any, err error) {
		out = append(out, fmt.Sprintf("%s: %+v, %s %v", what, v, classOf(err), err))
	}
	for _, cmd := range []remote.Command{
		{Argv: []string{"cat", dir + "/count"}},
		{Argv: []string{"sh", "-c", "echo \xff >&2; exit 3"}},
		{Argv: []string{"/no/such"}},
		{Argv: []string{"cat"}, Stdin: []byte("one"), Effect: remote.Read},
		{Argv: []string{"cat"}, Stdin: []byte("two"), Effect: remote.Read},
		{Argv: []string{"sh", "-c", "echo $A"}, Env: map[string]string{"A": "x", "B": "y"}},
		{Argv: []string{"sh", "-c", "kill -9 $$"}, Effect: remote.Read},
	} {
		res, err := r.Run(t.Context(), cmd)
		note("run", fmt.Sprintf("%q %q %d %q", res.Stdout, res.Stderr, res.ExitCode, res.Signal), err)
	}
	for _, name := range []string{"a", "new\nline :*", ".hidden", "none"} {
		data, more, err := r.ReadFile(t.Context(), filepath.Join(dir, name), 4)
		note("read", fmt.Sprintf("%q %v", data, more), err)
	}
	info, err := r.Stat(t.Context(), dir)
	note("stat", fmt.Sprint(info.Inode, info.Mode, info.ModifiedAt.UTC()), err)
	_, err = r.Stat(t.Context(), dir+"/none")
	note("stat", "", err)
	fsInfo, err := r.Statfs(t.Context(), dir)
	note("statfs", fsInfo.Total, err)
	list, more, err := r.ReadDir(t.Context(), dir, 2)
	note("list", fmt.Sprint(len(list), more), err)
	return out
}

func server() *remote.Server {
	return remote.Open(local.New(), remote.Options{Name: "db1", Gate: remote.AllowAll(), Redactor: redact.New()})
}

func play(t *testing.T, rec *recording.Recorder, repeat bool) *recording.Replay {
	t.Helper()
	text, err := recording.Format(rec.Exchanges())
	if err != nil {
		t.Fatal(err)
	}
	list, err := recording.Parse("host.jsonl", text)
	if err != nil {
		t.Fatal(err)
	}
	return recording.Play(list, recording.Options{
		Target: rec.Target(), Start: rec.Start(), Redactor: redact.New(), MayRepeat: func() bool { return repeat },
	})
}

func TestReplayAnswersAsTheServerDid(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{"a": "123\xff56", "new\nline :*": "x", ".hidden": "", "count": "1"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rec := recording.Record(server(), redact.New(), time.Now)
	want := asked(t, rec, dir)
	if err := os.WriteFile(filepath.Join(dir, "count"), []byte("2"), 0o600); err != nil {
		t.Fatal(err)
	}
	want = append(want, asked(t, rec, dir)...)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	replay := play(t, rec, false)
	got := append(asked(t, replay, dir), asked(t, replay, dir)...)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if missing, unasked := replay.Missing(), replay.Unasked(); len(missing) > 0 || len(unasked) > 0 {
		t.Errorf("missing %q, unasked %q", missing, unasked)
	}
	if !replay.Now().Equal(rec.Now()) || replay.Target() != "db1" {
		t.Errorf("it is %s on %s, and was %s", replay.Now(), replay.Target(), rec.Now())
	}
}

func TestWhatIsNotRecordedIsMissing(t *testing.T) {
	t.Parallel()
	rec := recording.Record(server(), redact.New(), time.Now)
	read := remote.Command{Argv: []string{"echo", "a b"}, Effect: remote.Read}
	write := remote.Command{Argv: []string{"true", "now"}, As: ""}
	for _, cmd := range []remote.Command{read, write} {
		if _, err := rec.Run(t.Context(), cmd); err != nil {
			t.Fatal(err)
		}
	}
	asRoot, withInput := read, read
	asRoot.As, withInput.Stdin = "root", []byte("x")
	asWrite := remote.Command{Argv: read.Argv}
	for name, cmd := range map[string]remote.Command{
		"another argument":     {Argv: []string{"echo", "a c"}, Effect: remote.Read},
		"split otherwise":      {Argv: []string{"echo", "a", "b"}, Effect: remote.Read},
		"as somebody":          asRoot,
		"with standard input":  withInput,
		"as a change":          asWrite,
		"with an environment":  {Argv: read.Argv, Effect: remote.Read, Env: map[string]string{"A": "b"}},
		"of a script's length": {Argv: []string{"sh", "-c", "a\nb"}, Effect: remote.Read},
	} {
		replay := play(t, rec, true)
		_, err := replay.Run(t.Context(), cmd)
		missing := replay.Missing()
		if classOf(err) != remote.InvalidCall || len(missing) != 1 || !strings.Contains(missing[0], "nearest that is recorded: ") || strings.Contains(missing[0], "\n") {
			t.Errorf("%s: %v, missing %q", name, err, missing)
		}
		if len(replay.Unasked()) != 1 {
			t.Errorf("%s: a recorded change is not missed: %q", name, replay.Unasked())
		}
	}
	replay := play(t, rec, true)
	_, _, err := replay.ReadFile(t.Context(), "/never/read", 10)
	if classOf(err) != remote.InvalidCall { // not looked at is not the same as not there
		t.Errorf("got %v", err)
	}
	_, _ = replay.Run(t.Context(), remote.Command{Argv: []string{"true", "late"}})
	want := []string{
		"read-file /never/read (nothing like it is recorded)",
		"write by running: true late (the nearest that is recorded: write by running: true now)",
	}
	if diff := cmp.Diff(want, replay.Missing()); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyReadsAreRepeatedAndOnlyWhenTheyMay(t *testing.T) {
	t.Parallel()
	rec := recording.Record(server(), redact.New(), time.Now)
	read := remote.Command{Argv: []string{"echo", "a"}, Effect: remote.Read}
	write := remote.Command{Argv: []string{"echo", "b"}}
	for _, cmd := range []remote.Command{read, write} {
		if _, err := rec.Run(t.Context(), cmd); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		cmd    remote.Command
		repeat bool
		again  bool
	}{{read, true, true}, {read, false, false}, {write, true, false}} {
		replay := play(t, rec, c.repeat)
		if _, err := replay.Run(t.Context(), c.cmd); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			res, err := replay.Run(t.Context(), c.cmd)
			if again := err == nil && string(res.Stdout) == "a\n"; again != c.again {
				t.Errorf("%v: repeated: %t, want %t", c, again, c.again)
			}
		}
		if missing := replay.Missing(); !c.again && (len(missing) != 2 || !strings.Contains(missing[0], "more often than the 1 times")) {
			t.Errorf("%v: missing %q", c, missing)
		}
	}
}

func TestTimeIsThatOfTheRecording(t *testing.T) {
	t.Parallel()
	clock := time.Date(2026, 3, 1, 12, 0, 0, 7, time.UTC)
	now := func() time.Time { clock = clock.Add(1500 * time.Millisecond); return clock }
	rec := recording.Record(server(), redact.New(), now)
	began := rec.Now()
	cmd := remote.Command{Argv: []string{"true"}, Effect: remote.Read}
	if _, err := rec.Run(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	if got := rec.Now().Sub(began); got != 1500*time.Millisecond {
		t.Errorf("an answer took %s", got)
	}
	if !rec.Sleep(t.Context(), 3*time.Millisecond) || rec.Now().Sub(began) != 1503*time.Millisecond {
		t.Errorf("after a sleep it is %s later", rec.Now().Sub(began))
	}
	replay := play(t, rec, false)
	if !replay.Now().Equal(began) {
		t.Errorf("it begins at %s, and began at %s", replay.Now(), began)
	}
	if !replay.Sleep(t.Context(), time.Second) || replay.Now().Sub(began) != time.Second {
		t.Errorf("after a sleep it is %s later", replay.Now().Sub(began))
	}
	res, err := replay.Run(t.Context(), cmd)
	if err != nil || replay.Now().Sub(began) != 1500*time.Millisecond || res.Took != 500*time.Millisecond {
		t.Errorf("after the answer it is %s later, took %s: %v", replay.Now().Sub(began), res.Took, err)
	}
	if !replay.Sleep(t.Context(), time.Hour) || replay.Now().Sub(began) != time.Hour+1500*time.Millisecond {
		t.Errorf("an hour later it is %s", replay.Now())
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if replay.Sleep(ended, time.Hour) || rec.Sleep(ended, time.Hour) {
		t.Error("it slept when it was told to stop")
	}
}

func TestNoSecretIsRecorded(t *testing.T) {
	t.Parallel()
	const secret = "hunter2hunter2"
	rec := recording.Record(server(), redact.New(secret), time.Now)
	cmd := remote.Command{
		Argv: []string{"echo", "--password", secret}, Env: map[string]string{"PASSWORD": secret}, Stdin: []byte(secret), Effect: remote.Read,
	}
	if _, err := rec.Run(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	list := rec.Exchanges()
	list[0].Stdout = nil // redacted by the server, which does not know this one
	text, err := recording.Format(list)
	if err != nil || strings.Contains(string(text), secret) {
		t.Errorf("recorded %s, %v", text, err)
	}
	replay := recording.Play(list, recording.Options{Redactor: redact.New(secret)})
	if _, err := replay.Run(t.Context(), cmd); err != nil {
		t.Errorf("it is not found again: %v", err)
	}
}

func TestMistakesInARecordingHaveALine(t *testing.T) {
	t.Parallel()
	good := `{"do":"read-file","after":"1s","path":"/a","data":"x"}`
	for text, want := range map[string]string{
		`{"do":"run","after":"1s","argv":["a"]}`:                           `effect "": read or write`,
		`{"do":"run","after":"1s","effect":"read"}`:                        "a run needs an argv",
		`{"do":"look","after":"1s","path":"/a"}`:                           `do "look"`,
		`{"do":"stat","after":"1s","path":"/a"}`:                           `stat without an answer`,
		`{"do":"statfs","after":"1s","path":"/a","stat":{}}`:               `statfs without an answer`,
		`{"do":"read-file","after":"1s"}`:                                  "needs a path",
		`{"do":"read-file","after":"soon","path":"/a"}`:                    "soon",
		`{"do":"read-file","after":"-1s","path":"/a"}`:                     "before the beginning",
		`{"do":"read-file","after":"1s","path":"/a","dta":"x"}`:            "dta",
		`{"do":"read-file","after":"1s","path":"/a"} {"do":"read-file"}`:   "a line holds one exchange",
		`{"do":"read-file","after":"1s","path":{"base64":"no base64 ! "}}`: "base64",
	} {
		_, err := recording.Parse("host.jsonl", []byte(good+"\n\n"+text+"\n"))
		if err == nil || !strings.Contains(err.Error(), "host.jsonl:3") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"do":"run","after":"1.5s","argv":["a",{"base64":"/w=="}],"as":"root","effect":"read","env":{"A":"b"},"stdin":"sha256:x","stdout":"<&>","exit":3}`))
	f.Add([]byte(`{"do":"read-dir","after":"0s","path":"/a","entries":[{"name":"x","mode":420}],"truncated":true,"error":{"class":"not_exist","text":"no"}}`))
	f.Add([]byte(`{"do":"statfs","after":"0s","path":"/","statfs":{"Total":1}}` + "\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := recording.Parse("host.jsonl", data)
		if err != nil {
			return
		}
		text, err := recording.Format(list)
		if err != nil {
			t.Skip(err) // a year that JSON cannot hold
		}
		again, err := recording.Parse("host.jsonl", text)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, text)
		}
		second, err := recording.Format(again)
		if err != nil || string(second) != string(text) {
			t.Fatalf("written %s, then %s: %v", text, second, err)
		}
		replay := recording.Play(list, recording.Options{Redactor: redact.New()})
		for _, e := range list {
			if e.Do == recording.ReadFile {
				_, _, _ = replay.ReadFile(t.Context(), string(e.Path), 10)
			}
		}
	})
}
