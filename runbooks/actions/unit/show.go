package unit

import (
	"context"
	"fmt"
	"strconv"

	"github.com/secondline-ops/secondline/runbooks/actions/internal/systemd"
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

// show asks systemd.
func show(ctx context.Context, env *engine.Env, name string) (reading, error) {
	p, err := systemd.Show(ctx, env, name, "SubState", "Result", "Type", "UnitFileState", "InvocationID", "MainPID", "NRestarts", "Job",
		"StateChangeTimestampMonotonic")
	if err != nil {
		return reading{}, err
	}
	r := reading{
		LoadState: p["LoadState"], ActiveState: p["ActiveState"], SubState: p["SubState"], Result: p["Result"], Type: p["Type"],
		UnitFileState: p["UnitFileState"], InvocationID: p["InvocationID"], Job: p["Job"], Changed: p["StateChangeTimestampMonotonic"],
	}
	r.MainPID, _ = strconv.Atoi(p["MainPID"]) // 0 is "none", in systemd's words too
	r.Restarts, _ = strconv.Atoi(p["NRestarts"])
	if r.Job == "0" {
		r.Job = ""
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
