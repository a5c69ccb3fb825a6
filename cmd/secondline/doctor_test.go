package main

import (
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/local"
	"github.com/secondline-ops/secondline/internal/remote/remotetest"
)

func TestTheDoctorLooksForWhatBoundsCommands(t *testing.T) {
	t.Parallel()
	here := local.New()
	defer here.Close()
	if e := examineBound(t.Context(), here); e.Verdict != verdictGood {
		t.Errorf("here: %+v", e)
	}
	without := remotetest.New(t).OnRunDo(remotetest.Argv("true"), func(cmd remote.Command) (remote.Result, error) {
		if !cmd.Bounded() {
			t.Error("the doctor asks for a command that needs no bound")
		}
		return remote.Result{}, remote.NoBound()
	})
	if e := examineBound(t.Context(), without); e.Verdict != verdictWarn || !strings.Contains(e.Said, "timeout(1)") || !strings.Contains(e.Hint, "coreutils") {
		t.Errorf("without it: %+v", e)
	}
}
