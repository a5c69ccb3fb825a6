package bench

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func shell(script string, args ...string) Peer {
	return Peer{Argv: append([]string{"/bin/sh", "-c", script, "peer"}, args...)}
}

func task() Task {
	return Task{SSHConfig: "/lab/ssh_config", Inventory: "/lab/inventory.yaml", Deadline: time.Minute}
}

func TestPeerGetsTheCaseAndAnswers(t *testing.T) {
	t.Parallel()
	seen := filepath.Join(t.TempDir(), "seen")
	script := `{ cat; printf '\n%s %s %s %s' "$HOSTRCA_SSH_CONFIG" "$HOSTRCA_INVENTORY" "$HOSTRCA_DEADLINE" "$MINE"; } >"$1"
echo chatter >&2
echo '{"hypotheses": [{"cause": "port-conflict", "entity": "app1", "band": "likely"}]}'`
	peer := shell(script, seen)
	peer.Env = []string{"MINE=yes", "PATH=/usr/bin:/bin"}
	work := task()
	work.Alerts = []json.RawMessage{[]byte(`{"version":"4"}`), []byte(`{"version":"4","status":"resolved"}`)}
	got, err := peer.Ask(t.Context(), work)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, Answer{Hypotheses: []Hypothesis{hypothesis("port-conflict", "app1", Likely)}}); diff != "" {
		t.Error(diff)
	}
	text, err := os.ReadFile(seen)
	if want := `[{"version":"4"},{"version":"4","status":"resolved"}]` + "\n/lab/ssh_config /lab/inventory.yaml 60 yes"; err != nil || string(text) != want {
		t.Errorf("it was given %s, %v; want %s", text, err, want)
	}
}

func TestPeerWithoutAlertsGetsAnEmptyArray(t *testing.T) {
	t.Parallel()
	if _, err := shell(`[ "$(cat)" = "[]" ] && echo '{}'`).Ask(t.Context(), task()); err != nil {
		t.Error(err)
	}
}

func TestPeerThatFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		peer Peer
		want string // in the error
		not  string
	}{
		"an exit code":    {shell(`echo '{}'; echo the reason >&2; exit 3`), "exit status 3; it said: the reason", ""},
		"much to say":     {shell(`echo first >&2; head -c 100000 /dev/zero | tr '\0' x >&2; echo last >&2; exit 1`), "xlast", "first"},
		"no answer":       {shell(`echo sorry >&2`), "not a JSON object; it said: sorry", ""},
		"a wrong answer":  {shell(`echo '{"chain": [""]}'`), "chain 1", ""},
		"too much":        {shell(`cat /dev/zero`), "more than 1048576 bytes", ""},
		"is not there":    {Peer{Argv: []string{"/no/such/tool"}}, "start /no/such/tool", ""},
		"reads no alerts": {shell(`exec 0<&-; exit 4`), "exit status 4", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			work := task()
			work.Alerts = []json.RawMessage{[]byte(`"` + strings.Repeat("x", 200_000) + `"`)}
			_, err := c.peer.Ask(t.Context(), work)
			var failed *PeerError
			if !errors.As(err, &failed) || !strings.Contains(err.Error(), c.want) || c.not != "" && strings.Contains(err.Error(), c.not) {
				t.Errorf("error %v, want %q in it and not %q", err, c.want, c.not)
			}
			if failed != nil && len(failed.Stderr) > maxStderrBytes {
				t.Errorf("%d bytes of standard error", len(failed.Stderr))
			}
		})
	}
}

func TestWrongTaskIsNoFailureOfThePeer(t *testing.T) {
	t.Parallel()
	short := task()
	short.Deadline = time.Millisecond
	var failed *PeerError
	if _, err := shell("echo '{}'").Ask(t.Context(), short); err == nil || errors.As(err, &failed) {
		t.Errorf("no deadline: %v", err)
	}
	if _, err := (Peer{}).Ask(t.Context(), task()); err == nil || errors.As(err, &failed) {
		t.Errorf("no program: %v", err)
	}
}

// TestPeerIsKilledWithItsChildren: the shell and its child both hold the FIFO
// open for writing, and nobody but them.
func TestPeerIsKilledWithItsChildren(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script string
		end    bool // the caller gives up
		want   error
	}{
		"at the deadline":        {`exec 3>"$1"; sleep 600 & echo late >&2; wait`, false, ErrDeadline},
		"when the caller ends":   {`exec 3>"$1"; sleep 600 & echo up >&3; wait`, true, context.Canceled},
		"left behind":            {`exec 3>"$1"; sleep 600 >/dev/null 2>&1 & echo '{}'`, false, nil},
		"left behind with pipes": {`exec 3>"$1"; sleep 600 & echo '{}'`, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fifo := filepath.Join(t.TempDir(), "fifo")
			if err := syscall.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			// Held open for reading, so that the end of the last writer shows.
			keep, err := os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer keep.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.end { // when the peer has shown that it runs
				go func() {
					defer cancel()
					if ready, err := os.Open(fifo); err == nil {
						ready.Read(make([]byte, len("up\n")))
						ready.Close()
					}
				}()
			}
			work := task()
			if errors.Is(c.want, ErrDeadline) {
				work.Deadline = time.Second
			}
			if _, err := shell(c.script, fifo).Ask(ctx, work); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if err := keep.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
				t.Fatal(err)
			}
			if n, err := keep.Read(make([]byte, 8)); n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a process still holds the FIFO: %d, %v", n, err)
			}
		})
	}
}

func TestComplaintIsABodyOfTheWebhook(t *testing.T) {
	t.Parallel()
	text, err := Complaint("lb1", "the shop is slow", time.Unix(1700000000, 0))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Version string
		Status  string
		Alerts  []struct {
			Status              string
			Labels, Annotations map[string]string
			StartsAt            time.Time
			Fingerprint         string
		}
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != "4" || len(got.Alerts) != 1 || got.Alerts[0].Labels["instance"] != "lb1" ||
		got.Alerts[0].Annotations["summary"] != "the shop is slow" || !got.Alerts[0].StartsAt.Equal(time.Unix(1700000000, 0)) {
		t.Errorf("%s", text)
	}
}
