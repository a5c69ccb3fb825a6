package account_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/account"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/actiontest"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// states is a machine on which the state of the account is what it is told to
// be: each look takes the next one, and the last one stays.
func states(t *testing.T, list ...string) *actiontest.Host {
	t.Helper()
	return actiontest.Fake(t, func(cmd remote.Command) actiontest.Answer {
		if cmd.Argv[0] == "usermod" {
			return actiontest.Says(0, "")
		}
		now := list[0]
		if len(list) > 1 {
			list = list[1:]
		}
		if now == "unreadable" {
			return actiontest.Answer{Err: errors.New("the connection was lost")}
		}
		return actiontest.Says(0, now+"\n")
	})
}

// lock is the change that locks the password which was set on the day 20000.
func lock(t *testing.T) engine.Change {
	t.Helper()
	saved, err := json.Marshal(map[string]any{"name": "deploy", "state": "locked", "before": map[string]string{"password": "set", "changed": "20000"}})
	if err != nil {
		t.Fatal(err)
	}
	return engine.Change{Saved: saved}
}

// TestAnUndoLooksWhatItHasDone: usermod says that all is well, and the password
// is not what it was.
func TestAnUndoLooksWhatItHasDone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after string
		kind  fault.Kind // "" when it is what it was
	}{
		"back":            {"set 20000", ""},
		"still locked":    {"locked 20000", fault.Internal},
		"set another day": {"set 20001", fault.Internal},
		"gone":            {"no-entry", fault.Internal},
	} {
		host := states(t, "locked 20000", c.after)
		env := &engine.Env{Runner: host, Step: runbooks.Step{ID: "act", Effect: runbooks.Write, Timeout: time.Minute}}
		err := account.Action{}.Undo(t.Context(), env, lock(t))
		if c.kind == "" && err != nil || c.kind != "" && (!fault.Is(err, c.kind) || !strings.Contains(err.Error(), "the password of deploy was set and is")) {
			t.Errorf("%s: %v", name, err)
		}
		if n := len(host.Writes()); n != 1 {
			t.Errorf("%s: %d commands", name, n)
		}
	}
	host := states(t, "locked 20000", "unreadable")
	env := &engine.Env{Runner: host, Step: runbooks.Step{ID: "act", Effect: runbooks.Write, Timeout: time.Minute}}
	if err := (account.Action{}).Undo(t.Context(), env, lock(t)); err == nil {
		t.Error("what could not be looked at is said to be taken back")
	}
}

// TestWhetherItHappenedCannotBeToldOfWhatIsNeither as it was, nor as wanted.
func TestWhetherItHappenedCannotBeToldOfWhatIsNeither(t *testing.T) {
	t.Parallel()
	for now, want := range map[string]expr.Truth{
		"set 20000":    expr.False,
		"locked 20000": expr.True,
		"none 20000":   expr.True,
		"set 20001":    expr.CannotTell, // somebody set another one: it may have been locked in between
		"open 20000":   expr.CannotTell,
		"no-entry":     expr.CannotTell,
		"unreadable":   expr.CannotTell,
		"nonsense":     expr.CannotTell,
	} {
		env := &engine.Env{Runner: states(t, now), Step: runbooks.Step{ID: "act"}}
		if got := (account.Action{}).DidItHappen(t.Context(), env, lock(t), time.Time{}); got.Truth != want {
			t.Errorf("%s: %s (%s), want %s", now, got.Truth, got.Text, want)
		}
	}
}
