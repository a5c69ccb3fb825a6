package diagnostics

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

var errNotScripted = fault.New(fault.Internal, "not scripted")

// server is a strict remote.Runner: what was not scripted fails.
type server struct {
	files map[string]string
	runs  map[string]remote.Result
	errs  map[string]error
}

func (s server) Target() string { return "web1" }

func (s server) Run(_ context.Context, cmd remote.Command) (remote.Result, error) {
	key := quoteArgv(cmd.Argv)
	if cmd.Effect != remote.Read {
		return remote.Result{}, fmt.Errorf("%s has effect %q", key, cmd.Effect)
	}
	if err := s.errs[key]; err != nil {
		return remote.Result{}, err
	}
	res, ok := s.runs[key]
	if !ok {
		return remote.Result{}, errNotScripted
	}
	return res, nil
}

func (s server) ReadFile(_ context.Context, path string, maxBytes int) ([]byte, bool, error) {
	if err := s.errs[path]; err != nil {
		return nil, false, err
	}
	text, ok := s.files[path]
	if !ok {
		return nil, false, errNotScripted
	}
	if len(text) > maxBytes {
		return []byte(text[:maxBytes]), true, nil
	}
	return []byte(text), false, nil
}

func (s server) Stat(_ context.Context, path string) (remote.FileInfo, error) {
	text, ok := s.files[path]
	if !ok {
		return remote.FileInfo{}, &remote.Error{Class: remote.NotExist, Doing: "stat " + path}
	}
	return remote.FileInfo{Name: path, Size: int64(len(text))}, nil
}

func (s server) Statfs(context.Context, string) (remote.FSInfo, error) {
	return remote.FSInfo{Total: 100, Free: 20, Available: 10}, nil
}

func (s server) ReadDir(_ context.Context, _ string, max int) ([]remote.FileInfo, bool, error) {
	return make([]remote.FileInfo, min(max, 3)), max < 3, nil
}

// fakeProbe is a probe whose one raw is the JSON of the value that is scripted for
// its arguments.
type fakeProbe struct {
	spec   Spec
	values map[string]Value // by factKey
	crash  bool
	mu     *sync.Mutex
	reads  map[string]int // by factKey; guarded by mu
}

func (p *fakeProbe) Spec() Spec { return p.spec }

func (p *fakeProbe) CheckArgument(input, value string) error {
	if input == "room" && strings.ToLower(value) != value {
		return fmt.Errorf("%q is not a room", value)
	}
	return nil
}

func (p *fakeProbe) Read(_ context.Context, _ remote.Runner, args Args) ([]Raw, error) {
	key := factKey(p.spec.Name, args)
	p.mu.Lock()
	p.reads[key]++
	p.mu.Unlock()
	switch value, ok := p.values[key]; {
	case p.crash:
		panic("bug in a probe")
	case !ok:
		return nil, fmt.Errorf("%s: %w", key, errNotScripted)
	default:
		data, err := json.Marshal(value)
		raw := Raw{Name: "value", Command: "cat value", Status: OK, Data: data}
		raw.Seal()
		return []Raw{raw}, err
	}
}

func (p *fakeProbe) Parse(raws []Raw, _ Args) (Value, Status, error) {
	raw, ok := FindRaw(raws, "value")
	if !ok {
		return nil, Failed, errNotScripted
	}
	var v Value
	err := json.Unmarshal(raw.Data, &v)
	return v, OK, err
}

// world is a host in a test: probes over scripted values.
type world struct {
	probes map[string]*fakeProbe
	reads  map[string]int
}

func field(name string, typ expr.Type, elem ...expr.Field) expr.Field {
	return expr.Field{Name: name, Type: typ, Elem: elem}
}

// newWorld has three probes: room.list {} , room.state {room}, room.history {room}.
func newWorld() *world {
	w := &world{reads: map[string]int{}, probes: map[string]*fakeProbe{}}
	mu := &sync.Mutex{}
	room := []expr.Field{{Name: "room", Type: expr.String, Required: true}}
	for _, spec := range []Spec{
		{Name: "room.list", Outputs: []expr.Field{field("rooms", expr.List, field("room", expr.String), field("heat", expr.Double))}},
		{Name: "room.state", Inputs: room, Outputs: []expr.Field{
			field("heat", expr.Double), field("smoke", expr.Bool), {Name: "opened_at", Type: expr.Timestamp, Optional: true},
		}},
		{Name: "room.history", Inputs: append(room, expr.Field{Name: "days", Type: expr.Int}), Outputs: []expr.Field{field("alarms", expr.Int), field("owner", expr.String), field("complete", expr.Bool)}},
	} {
		w.probes[spec.Name] = &fakeProbe{spec: spec, values: map[string]Value{}, mu: mu, reads: w.reads}
	}
	return w
}

func (w *world) set(probe string, args Args, value Value) *world {
	w.probes[probe].values[factKey(probe, args)] = value
	return w
}

// rooms scripts rooms with their heat, smoke and alarms.
func (w *world) rooms(heat map[string]float64, smoke bool, alarms int) *world {
	list := []any{}
	for _, name := range slices.Sorted(maps.Keys(heat)) {
		list = append(list, map[string]any{"room": name, "heat": heat[name]})
		args := Args{"room": name}
		w.set("room.state", args, Value{"heat": heat[name], "smoke": smoke})
		w.set("room.history", args, Value{"alarms": alarms, "owner": "ann", "complete": true})
	}
	return w.set("room.list", Args{}, Value{"rooms": list})
}

func (w *world) probeSet(t *testing.T) *ProbeSet {
	t.Helper()
	var all []Probe
	for _, p := range w.probes {
		all = append(all, p)
	}
	set, err := NewProbeSet(all)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

const fireYAML = `
id: fire
title: A room is on fire
entity: host
object: [room]
prior: 0.1
symptoms:
  alerts: [HeatHigh]
  holds: state.heat > 50.0
  say: "${object.room} has ${state.heat} degrees"
  hold: 1m
survey:
  all: {probe: room.list}
candidates: 'all.rooms.filter(r, r.heat > 40.0).map(r, {"room": r.room})'
needs:
  state: {probe: room.state, with: {room: "${object.room}"}}
  history: {probe: room.history, with: {room: "${object.room}"}}
details:
  owner: "${history.owner}"
evidence:
  - {id: hot, that: state.heat > 50.0, seen_if_cause: 0.95, seen_otherwise: 0.1, group: heat, role: required, say: "${object.room} is hot", otherwise: "${object.room} is cool"}
  - {id: smoke, that: state.smoke, seen_if_cause: 0.9, seen_otherwise: 0.01, group: smoke, role: proof, say: "there is smoke in ${object.room}"}
  - {id: alarms, that: history.alarms > 2, conclusive: history.complete, seen_if_cause: 0.8, seen_otherwise: 0.2, group: past, role: supporting, say: it happened before}
  - {id: oven, that: history.alarms > 100, seen_if_cause: 0.01, seen_otherwise: 0.3, group: oven, role: refuting, say: it is an oven}
explains: [ash]
cures: [extinguish]
next: [{probe: room.history, cost: 1s}]
never: [open the door]
`

const ashYAML = `
id: ash
title: Ash everywhere
entity: host
object: [room]
prior: 0.05
symptoms: {alerts: [AshHigh], holds: state.heat > 30.0, say: "${state.heat}"}
survey:
  all: {probe: room.list}
candidates: 'all.rooms.map(r, {"room": r.room})'
needs:
  state: {probe: room.state, with: {room: "${object.room}"}}
evidence:
  - {id: warm, that: state.heat > 30.0, seen_if_cause: 0.9, seen_otherwise: 0.3, group: a, role: required, say: warm}
  - {id: burnt, that: state.smoke, seen_if_cause: 0.9, seen_otherwise: 0.3, group: b, role: proof, say: burnt}
`

func mustCause(t *testing.T, set *ProbeSet, text string) *Cause {
	t.Helper()
	c, err := ParseCause("cause.yaml", []byte(text), set)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustCatalogue(t *testing.T, causes ...*Cause) *Catalogue {
	t.Helper()
	cat, err := NewCatalogue(causes)
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

func host(hints map[string]string) Subject {
	return Subject{Entity: entity.Entity{ID: "web1", Kind: entity.Host}, Hints: hints, Onset: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)}
}

func clock() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func collector(set *ProbeSet) *Collector { return &Collector{Probes: set, Now: clock} }

// diagnose collects and ranks.
func diagnose(t *testing.T, w *world, subject Subject, causes ...string) (Diagnosis, []Fact, *Catalogue) {
	t.Helper()
	set := w.probeSet(t)
	var parsed []*Cause
	for _, text := range causes {
		parsed = append(parsed, mustCause(t, set, text))
	}
	facts, err := collector(set).Collect(t.Context(), server{}, parsed, subject)
	if err != nil {
		t.Fatal(err)
	}
	cat := mustCatalogue(t, parsed...)
	return Rank(cat, facts, subject), facts, cat
}
