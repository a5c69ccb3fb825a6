package unit

import (
	"testing"

	"github.com/secondline-ops/secondline/internal/expr"
)

func TestVerdicts(t *testing.T) {
	t.Parallel()
	failed := reading{LoadState: "loaded", ActiveState: "failed", InvocationID: "1", Result: "exit-code", Changed: "5"}
	up := reading{LoadState: "loaded", ActiveState: "active", InvocationID: "2", Changed: "9"}
	again := up
	again.InvocationID = "3"
	counted := up
	counted.Restarts = 1
	oneshot := reading{LoadState: "loaded", ActiveState: "inactive", Type: "oneshot", Result: "success", InvocationID: "2"}
	starting := reading{LoadState: "loaded", ActiveState: "activating", InvocationID: "2"}
	tests := []struct {
		name  string
		state State
		after *reading
		now   reading
		want  expr.Truth
	}{
		{"restarted and up", Restarted, &up, up, expr.True},
		{"outcome lost, up", Restarted, nil, up, expr.True},
		{"never restarted", Restarted, nil, failed, expr.False},
		{"still starting", Restarted, &starting, starting, expr.False},
		{"restarted by itself since", Restarted, &up, again, expr.False},
		{"restart counter rose", Restarted, &up, counted, expr.False},
		{"oneshot has done its work", Started, &oneshot, oneshot, expr.True},
		{"started and failed", Started, &failed, failed, expr.False},
		{"reload restarted it", Reloaded, &up, again, expr.False},
	}
	for _, tt := range tests {
		if got := judge(saved{Unit: "u", State: tt.state, Before: failed}, tt.after, tt.now); got.Truth != tt.want {
			t.Errorf("%s: %s (%s), want %s", tt.name, got.Truth, got.Text, tt.want)
		}
	}
}

func TestWhetherItHappened(t *testing.T) {
	t.Parallel()
	failed := reading{ActiveState: "failed", InvocationID: "1", Changed: "5"}
	up := reading{ActiveState: "active", InvocationID: "2", Changed: "9"}
	busy := failed
	busy.Job = "77"
	tests := []struct {
		state State
		now   reading
		want  expr.Truth
	}{
		{Restarted, up, expr.True},
		{Restarted, failed, expr.False},
		{Restarted, busy, expr.CannotTell},
		{Started, up, expr.True},
		{Started, failed, expr.False},
		{Stopped, failed, expr.True},
		{Stopped, up, expr.False},
		{Reloaded, failed, expr.False},
		{Reloaded, up, expr.True},
		{ResetFailed, failed, expr.False},
		{Enabled, up, expr.False},
	}
	for _, tt := range tests {
		if got := happened(saved{State: tt.state, Before: failed}, tt.now); got.Truth != tt.want {
			t.Errorf("%s, now %s: %s, want %s", tt.state, tt.now.words(), got.Truth, tt.want)
		}
	}
}
