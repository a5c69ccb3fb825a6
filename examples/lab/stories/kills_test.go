package stories

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/examples/lab/servers"
	"github.com/secondline-ops/secondline/examples/lab/servers/serverstest"
)

const killsConfig = `
listen: %s
agent_listen: %s
data_dir: data
inventory: inventory.yaml
causes: [causes]
runbooks: [runbooks]
policy:
  max_hold: 1s
  grants: [{runbook: note-and-remove, level: auto, by: lab, expires: %s}]
`

// maxTroubles bounds the signals of one story. Each is about an entity of its
// own, all of them the same target: a run whose outcome is unknown keeps its
// target locked for a while, and must not keep the others waiting.
const maxTroubles = 1000

// killsInventory lists the entities, with how their agent reaches them.
func killsInventory(reached string) string {
	var b strings.Builder
	b.WriteString("entities:\n")
	for n := range maxTroubles {
		fmt.Fprintf(&b, "  - {id: box%d, kind: host, agent: box%s}\n", n, reached)
	}
	return b.String()
}

const killsCause = `
id: trouble-file
title: A file that means trouble is there
entity: host
object: [path]
prior: 0.3
symptoms:
  alerts: [Trouble]
  holds: file.exists
  say: "${object.path} exists: ${string(file.exists)}"
  hold: 1s
candidates: 'has(hints.mount) ? [{"path": hints.mount}] : []'
needs:
  file: {probe: file.stat, with: {path: "${object.path}"}}
evidence:
  - id: there
    that: file.exists
    seen_if_cause: 0.99
    seen_otherwise: 0.01
    group: there
    role: required
    say: "${object.path} is there"
    otherwise: "${object.path} is not there"
  - id: regular
    that: file.exists && !file.is_dir
    seen_if_cause: 0.99
    seen_otherwise: 0.001
    group: there
    role: proof
    say: "${object.path} is a file"
    otherwise: "${object.path} is no file"
explains: []
cures: [note-and-remove]
next:
  - {probe: file.stat, cost: 1s}
never:
  - remove it twice
prevent:
  - do not make it
sources:
  - this test
`

// killsRunbook has a step of each kind that a crash can leave open: one whose
// effect can be looked for, and one that nobody may repeat.
const killsRunbook = `
apiVersion: secondline/v1
kind: Runbook
metadata: {name: note-and-remove, title: Note the trouble and remove it, owner: lab}
spec:
  cures: [trouble-file]
  inputs:
    path: {type: path, from: hypothesis.object.path, description: the file}
  limits: {deadline: 5m}
  probes:
    noted: {probe: file.stat, with: {path: "${inputs.path}.noted"}}
    trouble: {probe: file.stat, with: {path: "${inputs.path}"}}
  steps:
    - id: note
      effect: write
      run: [%[1]s, note, "${inputs.path}"]
      timeout: 10s
      preserve: none
      repeat: {ask: noted.exists}
      verify: {that: noted.exists, within: 10s}
      undo: none
    - id: remove
      effect: write
      run: [%[1]s, remove, "${inputs.path}"]
      timeout: 10s
      preserve: none
      repeat: never
      verify: {that: "!trouble.exists", within: 10s}
      undo: none
  autonomy: auto
  escalate: {to: lab, collect: [], say: look at the effects}
`

// killsHelper is what the steps run. It takes a while, so that kills hit
// before, at and after its effect, and it counts each effect by a line. It
// outlives an agent that is killed, as commands on servers do: its effect may
// come after the agent is back.
const killsHelper = `#!/bin/sh
echo "$1 $2" >>%[1]s.begun
r=$(od -An -N1 -tu1 /dev/urandom)
sleep $((r %% 2)).$((r %% 10))
echo "$1 $2" >>%[1]s
case $1 in
note) : >"$2.noted" ;;
remove) rm "$2" ;;
esac
sleep 0.1
`

// killSite is where a story plays: an installation that is not written yet, and
// its target.
type killSite struct {
	installation

	listen  string // of the controller, for people
	reached string // what the inventory adds on how the agent reaches the target
	root    string // the target's file system, as seen from here
	place   string // the story's folder on the target
}

// thisMachine is the target of an agent of its own, on the loopback interface.
func thisMachine(t *testing.T) killSite {
	t.Helper()
	people, agents, dir := freePort(t), freePort(t), t.TempDir()
	return killSite{listen: people, root: "/", place: dir, installation: installation{
		dir: dir, url: "http://" + people, agentAddr: agents, start: servers.StartProcess, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		command: func(ctx context.Context, argv ...string) *exec.Cmd {
			return exec.CommandContext(ctx, argv[0], argv[1:]...)
		},
	}}
}

// serverOverSSH is a server of a lab, reached by the agent of its site.
func serverOverSSH(t *testing.T) killSite {
	t.Helper()
	l := serverstest.Open(t)
	h, err := l.AddHost(t.Context(), servers.HostOptions{Name: "box"})
	if err != nil {
		t.Fatal(err)
	}
	return killSite{listen: "127.0.0.1:7420", reached: fmt.Sprintf(", via: ssh, address: %s, user: root", h.Address), root: h.Root, place: "/srv/kills", installation: installation{
		dir: l.Dir, url: "http://127.0.0.1:7420", agentAddr: "127.0.0.1:7421", start: l.Start, command: l.Command,
		agentArgs: []string{"--known-hosts", l.KnownHosts(), "--identity", l.SSHKey(), "--ssh-config", filepath.Join(l.Dir, "none")},
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return l.Dial(ctx, address)
		}}},
	}}
}

// killStory is one installation that is killed again and again while signals
// come in.
type killStory struct {
	*installation
	random *rand.Rand
	root   string // see killSite
	place  string
	// accepted are the signals that were answered with 202, by id, with the
	// file that they are about, as the target names it. Written by one goroutine.
	accepted map[string]string
}

// seen is a file of the target, as named there, as it is named here.
func (s *killStory) seen(file string) string { return filepath.Join(s.root, file) }

func (s *killStory) effects() string { return filepath.Join(s.place, "effects") }

// TestKillsDoNotLoseOrRepeat kills the controller and the agent at random
// moments: with this machine as the target, which needs neither root nor a lab,
// and with a server over SSH, where what a killed agent has started goes on.
// SECONDLINE_KILLS is how often in all; SECONDLINE_SEED repeats the moments of an
// earlier run as far as the machine lets them be repeated.
func TestKillsDoNotLoseOrRepeat(t *testing.T) {
	t.Parallel()
	kills, seed := number(t, "SECONDLINE_KILLS", 6), number(t, "SECONDLINE_SEED", rand.Uint64()>>1)
	t.Logf("SECONDLINE_SEED=%d SECONDLINE_KILLS=%d", seed, kills)
	for _, variant := range []struct {
		name  string
		open  func(*testing.T) killSite
		kills uint64
	}{{"this machine", thisMachine, (kills + 1) / 2}, {"a server over SSH", serverOverSSH, kills / 2}} {
		t.Run(variant.name, func(t *testing.T) {
			t.Parallel()
			openKillStory(t, seed, variant.open(t)).tell(variant.kills)
		})
	}
}

// tell posts signals until the last kill, and then judges what came of them.
func (s *killStory) tell(kills uint64) {
	t := s.t
	var wait sync.WaitGroup
	defer wait.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute+time.Duration(kills)*10*time.Second)
	defer cancel()
	killing, stopPosting := context.WithCancel(ctx)
	defer stopPosting()
	var postErr error
	wait.Go(func() { postErr = s.post(killing, ctx) })
	for n := range kills {
		if err := s.kill(ctx, n%3 == 1); err != nil {
			t.Fatalf("kill %d: %v", n+1, err)
		}
	}
	stopPosting()
	wait.Wait()
	if postErr != nil {
		t.Fatal(postErr)
	}
	if uint64(len(s.accepted)) < kills {
		t.Fatalf("only %d signals were accepted during %d kills, which shows nothing", len(s.accepted), kills)
	}
	s.judge(ctx)
}

func number(t *testing.T, variable string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

func openKillStory(t *testing.T, seed uint64, site killSite) *killStory {
	t.Helper()
	s := &killStory{random: rand.New(rand.NewPCG(seed, seed)), root: site.root, place: site.place, accepted: map[string]string{}}
	helper := filepath.Join(s.place, "helper")
	for name, text := range map[string]string{
		filepath.Join(site.dir, "causes/trouble-file.yaml"): killsCause, filepath.Join(site.dir, "runbooks/note-and-remove.yaml"): fmt.Sprintf(killsRunbook, helper),
		s.seen(s.effects()): "", s.seen(filepath.Join(s.place, "trouble/.keep")): "", s.seen(helper): fmt.Sprintf(killsHelper, s.effects()),
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(s.seen(helper), 0o700); err != nil {
		t.Fatal(err)
	}
	expires := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	config := fmt.Sprintf(killsConfig, site.listen, site.agentAddr, expires)
	s.installation = newInstallation(t, site.installation, config, killsInventory(site.reached), "mode: act\nmax_jobs: 16\n")
	t.Cleanup(func() {
		for _, p := range []*servers.Process{s.agent, s.controller} {
			if p == nil {
				continue
			}
			if err := p.Stop(20 * time.Second); err != nil {
				t.Error(err)
			}
		}
	})
	for _, step := range []func() error{
		func() error { return s.startController(t.Context()) },
		func() error { return s.enrolAgent(t.Context(), "box") },
		func() error { return s.startAgent(t.Context()) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// freePort returns an address that was free a moment ago: it must be the same
// again after each restart.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// post makes trouble and tells of it, again and again until it is accepted, as
// any alert source does; then the next. It ends with the signal in hand when
// killing ends.
func (s *killStory) post(killing, ctx context.Context) error {
	for n := 0; killing.Err() == nil && n < maxTroubles; n++ {
		file := filepath.Join(s.place, "trouble", strconv.Itoa(n))
		if err := os.WriteFile(s.seen(file), nil, 0o600); err != nil {
			return err
		}
		body, err := json.Marshal(map[string]any{
			"title": "trouble", "host": fmt.Sprintf("box%d", n), "severity": "high", "fingerprint": file, "labels": map[string]string{"alertname": "Trouble", "path": file},
		})
		if err != nil {
			return err
		}
		if err := servers.Poll(ctx, "an accepted signal", func() (bool, error) { return s.postOnce(ctx, file, body) }); err != nil {
			return err
		}
		pause(killing, 400*time.Millisecond)
	}
	return nil
}

func (s *killStory) postOnce(ctx context.Context, file string, body []byte) (bool, error) {
	status, answer, err := s.call(ctx, http.MethodPost, "/v1/signals/generic/kills", body)
	switch {
	case err != nil || status >= http.StatusInternalServerError: // it is down, or says come again
		return false, nil
	case status != http.StatusAccepted:
		return false, fmt.Errorf("the signal was refused: %d: %s", status, answer)
	}
	var got struct {
		Accepted int `json:"accepted"`
		Signals  []struct {
			ID string `json:"id"`
		} `json:"signals"`
	}
	if err := json.Unmarshal(answer, &got); err != nil || got.Accepted != 1 || len(got.Signals) != 1 || got.Signals[0].ID == "" {
		return false, fmt.Errorf("202 with %s (%w)", answer, err)
	}
	s.accepted[got.Signals[0].ID] = file
	return true, nil
}

// pause waits for the time, or for the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// kill ends one of the two at a random moment, and starts it again. The agent,
// which is the one that acts, gets it more often.
func (s *killStory) kill(ctx context.Context, theController bool) error {
	s.awaitStep(ctx)
	pause(ctx, time.Duration(s.random.IntN(1500))*time.Millisecond)
	victim, start := &s.agent, s.startAgent
	if theController {
		victim, start = &s.controller, s.startController
	}
	select {
	case <-(*victim).Done():
		return fmt.Errorf("%s had ended by itself", (*victim).Name)
	default:
	}
	s.t.Logf("killing the %s", (*victim).Name)
	if err := (*victim).Kill(); err != nil {
		return err
	}
	pause(ctx, time.Duration(s.random.IntN(400))*time.Millisecond)
	return start(ctx)
}

// awaitStep waits until one more step has begun, for a while. A moment chosen
// blindly would mostly hit a diagnosis, where little is at stake.
func (s *killStory) awaitStep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	begun := func() int64 {
		info, err := os.Stat(s.seen(s.effects()) + ".begun")
		if err != nil {
			return 0
		}
		return info.Size()
	}
	before := begun()
	_ = servers.Poll(ctx, "a step", func() (bool, error) { return begun() > before, nil })
}

// judge waits until nothing moves any more, and then compares what was
// promised with what happened.
func (s *killStory) judge(ctx context.Context) {
	t := s.t
	have := map[string]signalView{}
	deciding, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := servers.Poll(deciding, "every accepted signal to be there and decided on", func() (bool, error) {
		signals, err := s.signals(deciding)
		for _, sig := range signals {
			have[sig.ID] = sig
		}
		undecided := func(id string) bool { return have[id].IncidentID == nil }
		return err == nil && !slices.ContainsFunc(slices.Collect(maps.Keys(s.accepted)), undecided), nil
	}); err != nil {
		t.Error(err)
	}
	for id, file := range s.accepted {
		if _, ok := have[id]; !ok {
			t.Errorf("signal %s (%s) was accepted and is lost", id, filepath.Base(file))
		}
	}
	incidents := s.settled(ctx)
	done := s.countEffects()
	seen := map[string]bool{}
	for id, file := range s.accepted {
		sig := have[id]
		if sig.IncidentID == nil {
			continue
		}
		seen[file] = true
		v, ok := incidents[*sig.IncidentID]
		if !ok {
			t.Errorf("incident %s of signal %s is lost", *sig.IncidentID, id)
			continue
		}
		s.judgeIncident(ctx, v, file, done)
	}
	for effect, times := range done {
		if _, file, _ := strings.Cut(effect, " "); !seen[file] {
			t.Errorf("%s happened %d times without a signal", effect, times)
		}
	}
	outcomes := map[string]int{}
	for _, v := range incidents {
		outcomes[v.Status]++
	}
	t.Logf("%d accepted signals, %d incidents: %v", len(s.accepted), len(incidents), outcomes)
}

// settled returns all incidents once each of them is resolved or with a person.
func (s *killStory) settled(ctx context.Context) map[string]incidentView {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	out := map[string]incidentView{}
	err := servers.Poll(ctx, "every incident to come to rest", func() (bool, error) {
		list, err := s.incidents(ctx)
		if err != nil {
			return false, nil
		}
		resting := true
		for _, sum := range list {
			if old, ok := out[sum.ID]; ok && old.Status == sum.Status && atRest(sum.Status) {
				continue
			}
			v, err := s.incident(ctx, sum.ID)
			if err != nil {
				return false, nil
			}
			out[sum.ID] = v
			resting = resting && atRest(v.Status)
		}
		return resting, nil
	})
	if err != nil {
		s.t.Error(err)
	}
	return out
}

func atRest(status string) bool {
	return status == "resolved" || status == "escalated" || status == "closed"
}

// countEffects counts the lines "STEP FILE" that the steps have written.
func (s *killStory) countEffects() map[string]int {
	text, err := os.ReadFile(s.seen(s.effects()))
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[string]int{}
	for line := range strings.Lines(string(text)) {
		out[strings.TrimSpace(line)]++
	}
	return out
}

func (s *killStory) judgeIncident(ctx context.Context, v incidentView, file string, done map[string]int) {
	t := s.t
	bad := func(format string, args ...any) {
		t.Errorf("incident %d (trouble %s): %s\n%s", v.Number, filepath.Base(file), fmt.Sprintf(format, args...), s.timeline(ctx, v.ID))
	}
	for _, step := range []string{"note", "remove"} {
		begun := 0 // by how many runs; another run is another decision
		for _, run := range v.Runs {
			for _, st := range run.Steps {
				if st.ID == step && st.Status != "planned" {
					begun++
				}
			}
		}
		if times := done[step+" "+file]; times > begun {
			bad("step %s happened %d times in %d runs", step, times, begun)
		}
	}
	_, err := os.Lstat(s.seen(file))
	gone := errors.Is(err, fs.ErrNotExist)
	switch v.Status {
	case "resolved", "closed":
		if !gone || v.Unverified || done["note "+file] != 1 || done["remove "+file] != 1 {
			bad("resolved (unverified: %v); the trouble is gone: %v; noted %d and removed %d times", v.Unverified, gone, done["note "+file], done["remove "+file])
		}
	case "escalated":
		events, err := s.events(ctx, v.ID)
		unknown := slices.ContainsFunc(v.Runs, func(r runView) bool { return r.Status == "unknown" && r.Why != "" })
		if err != nil || !unknown || !slices.ContainsFunc(events, func(e eventView) bool { return e.Reason == "outcome_unknown" }) {
			bad("a person was called for another reason than an unknown outcome: %+v, runs %+v (%v)", v.Escalation, v.Runs, err)
		}
	default:
		bad("it is still %s", v.Status)
	}
}
