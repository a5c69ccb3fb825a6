package api_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

func TestAFormHasAllThatAPageNeedsToAsk(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.svc.Books = []*runbooks.Runbook{{Name: "give", SelfService: true, Inputs: []runbooks.Input{
		{Name: "scope", Type: runbooks.InputString, Choices: []string{"security", "all"}, Default: "security", Description: "which updates"},
		{Name: "ticket", Type: runbooks.InputString, Pattern: "[A-Z]+-[0-9]+", Required: true},
		{Name: "limit", Type: runbooks.InputPercent, Max: "99", Required: true},
		{Name: "unit", Type: runbooks.InputUnit, ChoicesFrom: "entity.self_service.units", Required: true},
	}}}
	c := r.client(t, access.Viewer)
	got, err := c.Form(t.Context(), "give", api.FormRequest{Target: "db1", Inputs: map[string]string{"limit": "100", "scope": "all"}})
	if err != nil {
		t.Fatal(err)
	}
	none := []string{}
	want := api.Form{Runbook: "give", Target: "db1", Inputs: []api.FormInput{
		{api.InputInfo{Name: "scope", Type: "string", Default: "security", Description: "which updates", Choices: []string{"security", "all"}}, "all", ""},
		{api.InputInfo{Name: "ticket", Type: "string", Required: true, Pattern: "[A-Z]+-[0-9]+", Choices: none}, "", "is missing"},
		{api.InputInfo{Name: "limit", Type: "percent", Required: true, Max: "99", Choices: none}, "", "is 100, above its max of 99"},
		{
			InputInfo: api.InputInfo{Name: "unit", Type: "unit", Required: true, Choices: none, ChoicesFrom: "entity.self_service.units"},
			Problem:   "has nothing to choose from: entity.self_service.units is empty for this host",
		},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("form (-want +got):\n%s", diff)
	}
	for words, in := range map[string]api.InputInfo{
		"string, one of: security, all": got.Inputs[0].InputInfo, "string, matching [A-Z]+-[0-9]+": got.Inputs[1].InputInfo,
		"percent, at most 99": got.Inputs[2].InputInfo, "unit, one of what entity.self_service.units gives": got.Inputs[3].InputInfo,
	} {
		if in.Accepts() != words {
			t.Errorf("got %q, want %q", in.Accepts(), words)
		}
	}
	if list, err := c.ListRunbooks(t.Context()); err != nil || !list.Runbooks[0].SelfService || list.Runbooks[0].Inputs[1].Pattern == "" {
		t.Errorf("listed %+v, %v", list, err)
	}
}

func TestWhatNoFormIsFor(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.svc.Books = []*runbooks.Runbook{{Name: "give", Inputs: []runbooks.Input{{Name: "a", Type: runbooks.InputInt, Default: "1"}}}}
	c := r.client(t, access.Viewer)
	for want, ask := range map[fault.Kind]func() error{
		fault.NotFound: func() error { _, err := c.Form(t.Context(), "none", api.FormRequest{Target: "db1"}); return err },
		fault.Invalid:  func() error { _, err := c.Form(t.Context(), "give", api.FormRequest{}); return err },
	} {
		if err := ask(); !fault.Is(err, want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := c.Form(t.Context(), "give", api.FormRequest{Target: "db1", Inputs: map[string]string{"b": "1"}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("what is no input: %v", err)
	}
	if got, _ := r.call(t, http.MethodPost, "/v1/runbooks/give/form", "", `{"target":"db1"}`); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("a stranger got %d", got.StatusCode)
	}
}
