package diagnostics

import (
	"slices"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/entity"
)

const ofRooms = `id: too-hot
title: Too hot
plugin: rooms
entity: host
object: [room]
prior: 0.1
symptoms: {alerts: [Heat], holds: "state.heat > 30.0", say: hot, hold: 1m}
survey:
  state: {probe: rooms.state}
candidates: '[{"room": "hall"}]'
evidence:
  - {id: hot, that: "state.heat > 30.0", seen_if_cause: 0.9, seen_otherwise: 0.1, group: heat, role: required, say: hot}
cures: [open-window]
next: [{probe: rooms.state, cost: 1s}]
never: [close the window]
forbids: [process]
`

func TestACauseWhosePluginIsNotOfferedIsSkippedWithASentence(t *testing.T) {
	t.Parallel()
	none, err := NewProbeSet(nil)
	if err != nil {
		t.Fatal(err)
	}
	cause, err := ParseCause("too-hot.yaml", []byte(ofRooms), none)
	if err != nil || cause.Diagnosed() || cause.Plugin != "rooms" || cause.Lacks == "" {
		t.Fatalf("%+v, %v", cause, err)
	}
	if !slices.Equal(cause.Cures, []string{"open-window"}) || !slices.Equal(cause.Forbids, []string{"process"}) || len(cause.Never) != 1 {
		t.Errorf("what needs no probe is lost: %+v", cause)
	}
	cat, err := NewCatalogue([]*Cause{cause})
	if err != nil {
		t.Fatal(err)
	}
	d := Rank(cat, nil, Subject{Entity: entity.Entity{ID: "web1", Kind: entity.Host}})
	if len(d.Hypotheses) != 0 || !slices.Contains(d.NotLookedAt, "plugin rooms is not offered here; leaves open: too-hot") {
		t.Errorf("not looked at: %q, hypotheses %v", d.NotLookedAt, d.Hypotheses)
	}
	other := strings.Replace(ofRooms, "plugin: rooms\n", "", 1)
	if _, err := ParseCause("too-hot.yaml", []byte(other), none); err == nil || !strings.Contains(err.Error(), `there is no probe "rooms.state"`) {
		t.Errorf("a mistyped probe passes: %v", err)
	}
}

func TestACauseWhosePluginIsThereIsWholeOrRefused(t *testing.T) {
	t.Parallel()
	set, err := NewProbeSet([]Probe{newWorld().probes["room.list"]})
	if err != nil {
		t.Fatal(err)
	}
	ofRoom := strings.ReplaceAll(ofRooms, "rooms", "room")
	if _, err := ParseCause("too-hot.yaml", []byte(ofRoom), set); err == nil || !strings.Contains(err.Error(), `there is no probe "room.state"`) {
		t.Errorf("a probe that the plugin does not have: %v", err)
	}
}
