package remote_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/remotetest"
)

// talking is a server whose command writes as the test says.
type talking struct {
	remote.Transport
	write func(*remote.Watch)
}

func (s talking) Run(_ context.Context, cmd remote.Command) (remote.Result, error) {
	s.write(cmd.Watch)
	return remote.Result{}, nil
}

// watched runs such a command, and returns what was shown of it.
func watched(t *testing.T, write func(*remote.Watch)) []string {
	t.Helper()
	var shown []string
	s := remote.Open(talking{remotetest.New(t), write}, remote.Options{
		Gate: gate(func(remote.Command) error { return nil }), Redactor: redact.New("known-secret"), Name: "db1",
	})
	watch := &remote.Watch{Show: func(end []byte) { shown = append(shown, string(end)) }}
	if _, err := s.Run(t.Context(), remote.Command{Argv: []string{"true"}, Effect: remote.Read, Watch: watch}); err != nil {
		t.Fatal(err)
	}
	return shown
}

// aSecond lets the watcher look.
func aSecond() { time.Sleep(1100 * time.Millisecond) } // of the bubble: nobody waits

func TestWatchShowsWholeLinesWhileTheCommandRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		got := watched(t, func(w *remote.Watch) {
			w.Stdout([]byte("one\ntw"))
			aSecond()
			aSecond() // nothing new: not shown again
			w.Stdout([]byte("o\n"))
			w.Stderr([]byte("trouble\n"))
			aSecond()
			w.Stdout([]byte("too late to be shown\n"))
		})
		if want := []string{"one\n", "one\ntwo\ntrouble\n"}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("shown: %q", got)
		}
	})
}

func TestWatchShowsNoSecretWhereverItIsCut(t *testing.T) {
	t.Parallel()
	key := "-----BEGIN PRIVATE KEY-----\n" + strings.Repeat("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n", 200)
	for name, write := range map[string]func(*remote.Watch){
		"in the line being written": func(w *remote.Watch) { w.Stdout([]byte("fine\nknown-sec")) },
		"the other stream between": func(w *remote.Watch) {
			w.Stdout([]byte("known-"))
			w.Stderr([]byte("x\n"))
			w.Stdout([]byte("secret\n"))
		},
		"a key without its end": func(w *remote.Watch) { w.Stdout([]byte("fine\n" + key)) },
		"a key without its begin": func(w *remote.Watch) {
			w.Stdout([]byte(key + strings.Repeat("fine\n", (64<<10-len(key)/2)/5)))
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			got := strings.Join(watched(t, func(w *remote.Watch) { write(w); aSecond() }), "")
			if strings.Contains(got, "known-") || strings.Contains(got, "secret\n") || strings.Contains(got, "MIIEv") || got == "" {
				t.Errorf("%s: shown %.200q", name, got)
			}
		})
	}
}

func TestWatchKeepsLittleOfMuch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		got := watched(t, func(w *remote.Watch) {
			for i := range 200_000 {
				w.Stdout(fmt.Appendf(nil, "line %d of many that are written\n", i))
			}
			aSecond()
		})
		if len(got) != 1 || len(got[0]) > 64<<10 || !strings.HasSuffix(got[0], "line 199999 of many that are written\n") || !strings.HasPrefix(got[0], "line ") {
			t.Errorf("shown %d times, %d bytes", len(got), len(strings.Join(got, "")))
		}
	})
}
