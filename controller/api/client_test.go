package api_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/secondline-ops/secondline/controller/api"
)

// TestTheClientAsksWhatItsNamesSay: one deed of the client, one route.
func TestTheClientAsksWhatItsNamesSay(t *testing.T) {
	t.Parallel()
	asked := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.URL.EscapedPath()
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
	}))
	defer server.Close()
	c, ctx := api.NewClient(server.URL, "t", server.Client()), t.Context()
	for want, do := range map[string]func() error{
		"GET /v1/incidents":             func() error { return only(c.ListIncidents(ctx, api.IncidentQuery{})) },
		"GET /v1/incidents/7":           func() error { return only(c.FindIncident(ctx, "7")) },
		"GET /v1/incidents/7/events":    func() error { return only(c.ListEvents(ctx, "7", 0)) },
		"GET /v1/incidents/7/why":       func() error { return only(c.Why(ctx, "7")) },
		"POST /v1/incidents/7/ack":      func() error { return only(c.Acknowledge(ctx, "7", "")) },
		"POST /v1/incidents/7/resolve":  func() error { return only(c.Resolve(ctx, "7", "")) },
		"POST /v1/incidents/7/reopen":   func() error { return only(c.Reopen(ctx, "7", "")) },
		"POST /v1/incidents/7/escalate": func() error { return only(c.Escalate(ctx, "7", "")) },
		"POST /v1/incidents/7/note":     func() error { return only(c.Note(ctx, "7", "")) },
		"GET /v1/signals":               func() error { return only(c.ListSignals(ctx, api.SignalQuery{})) },
		"GET /v1/signals/s%2F1":         func() error { return only(c.FindSignal(ctx, "s/1")) },
		"GET /v1/signals/s/why":         func() error { return only(c.SignalWhy(ctx, "s")) },
		"GET /v1/runs":                  func() error { return only(c.ListRuns(ctx, api.RunQuery{})) },
		"POST /v1/runs":                 func() error { return only(c.StartRun(ctx, api.RunRequest{})) },
		"POST /v1/rollouts":             func() error { return only(c.StartRollout(ctx, api.RolloutRequest{})) },
		"GET /v1/runs/r":                func() error { return only(c.FindRun(ctx, "r")) },
		"GET /v1/runs/r/plan":           func() error { return only(c.Plan(ctx, "r")) },
		"POST /v1/runs/r/approve":       func() error { return only(c.Approve(ctx, "r", "d", "")) },
		"POST /v1/runs/r/reject":        func() error { return only(c.Reject(ctx, "r", "")) },
		"POST /v1/runs/r/cancel":        func() error { return only(c.CancelRun(ctx, "r", "")) },
		"POST /v1/runs/r/pause":         func() error { return only(c.PauseRun(ctx, "r", "")) },
		"POST /v1/runs/r/resume":        func() error { return only(c.ResumeRun(ctx, "r", "")) },
		"GET /v1/runbooks":              func() error { return only(c.ListRunbooks(ctx)) },
		"GET /v1/runbooks/stats":        func() error { return only(c.RunbookStats(ctx, api.StatsQuery{})) },
		"GET /v1/causes":                func() error { return only(c.ListCauses(ctx)) },
		"GET /v1/inventory":             func() error { return only(c.ListEntities(ctx)) },
		"GET /v1/agents":                func() error { return only(c.ListAgents(ctx)) },
		"GET /v1/checks":                func() error { return only(c.ListChecks(ctx)) },
		"POST /v1/runbooks/rb/form":     func() error { return only(c.Form(ctx, "rb", api.FormRequest{})) },
		"POST /v1/agents/enrol-token":   func() error { return only(c.EnrolToken(ctx, api.EnrolRequest{})) },
		"POST /v1/agents/web1/revoke":   func() error { return only(c.RevokeAgent(ctx, "web1")) },
		"GET /v1/catalogue":             func() error { return only(c.Catalogue(ctx)) },
		"POST /v1/reload":               func() error { return only(c.Reload(ctx)) },
		"GET /v1/tokens":                func() error { return only(c.ListTokens(ctx)) },
		"POST /v1/tokens":               func() error { return only(c.CreateToken(ctx, api.TokenRequest{})) },
		"POST /v1/tokens/tok/revoke":    func() error { return only(c.RevokeToken(ctx, "tok")) },
	} {
		asked = ""
		if err := do(); err != nil {
			t.Errorf("%s: %v", want, err)
		}
		if asked != want {
			t.Errorf("asked %s, want %s", asked, want)
		}
	}
}

func only[T any](_ T, err error) error { return err }
