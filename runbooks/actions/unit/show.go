package unit

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// reading is what systemd says of a unit (org.freedesktop.systemd1(5)).
type reading struct {
	LoadState     string `json:"load_state"`
	ActiveState   string `json:"active_state"`
	SubState      string `json:"sub_state"`
	Result        string `json:"result,omitempty"`
	Type          string `json:"type,omitempty"`
	UnitFileState string `json:"unit_file_state,omitempty"`
	InvocationID  string `json:"invocation_id,omitempty"`
	MainPID       int    `json:"main_pid,omitempty"`
	Restarts      int    `json:"restarts,omitempty"` // by systemd itself, since the last start by somebody
	Job           string `json:"job,omitempty"`      // of systemd, under way or queued
	Changed       string `json:"changed,omitempty"`  // StateChangeTimestampMonotonic
}

// show asks systemd. A property that this unit's type does not have is left out
// by systemctl; without the two that every unit has, nothing can be told.
func show(ctx context.Context, env *engine.Env, name string) (reading, error) {
	res, err := env.Read(ctx, "systemctl", "show", "--no-pager",
		"--property=LoadState,ActiveState,SubState,Result,Type,UnitFileState,InvocationID,MainPID,NRestarts,Job,StateChangeTimestampMonotonic",
		"--", name)
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return reading{}, fmt.Errorf("read unit %s: %w", name, err)
	}
	return parse(res.Stdout)
}

func parse(out []byte) (reading, error) {
	var r reading
	for line := range bytes.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), "=")
		switch key {
		case "LoadState":
			r.LoadState = value
		case "ActiveState":
			r.ActiveState = value
		case "SubState":
			r.SubState = value
		case "Result":
			r.Result = value
		case "Type":
			r.Type = value
		case "UnitFileState":
			r.UnitFileState = value
		case "InvocationID":
			r.InvocationID = value
		case "MainPID":
			r.MainPID, _ = strconv.Atoi(value) // 0 is "none", in systemd's words too
		case "NRestarts":
			r.Restarts, _ = strconv.Atoi(value)
		case "Job":
			if value != "0" {
				r.Job = value
			}
		case "StateChangeTimestampMonotonic":
			r.Changed = value
		}
	}
	if r.LoadState == "" || r.ActiveState == "" {
		return r, fault.New(fault.Internal, "systemctl show gave neither LoadState nor ActiveState")
	}
	return r, nil
}

// up reports whether the unit does its work. A oneshot that has done it is
// inactive again, unless it says RemainAfterExit.
func (r reading) up() bool {
	switch r.ActiveState {
	case "active", "reloading":
		return true
	case "inactive":
		return r.Type == "oneshot" && r.Result == "success" && r.InvocationID != ""
	}
	return false
}

// holds reports whether the unit is in a lasting state already. A restart and a
// reload are deeds, not states.
func (s State) holds(r reading) bool {
	switch s {
	case Started:
		return r.ActiveState == "active"
	case Stopped:
		return r.ActiveState == "inactive" || r.ActiveState == "failed"
	case ResetFailed:
		return r.ActiveState != "failed"
	case Enabled:
		return r.UnitFileState == "enabled"
	case Restarted, Reloaded:
	}
	return false
}

func (r reading) words() string {
	text := r.ActiveState
	if r.SubState != "" {
		text += " (" + r.SubState + ")"
	}
	if r.Result != "" && r.Result != "success" {
		text += ", result " + r.Result
	}
	if r.Restarts > 0 {
		text += fmt.Sprintf(", %d restarts", r.Restarts)
	}
	return text
}
