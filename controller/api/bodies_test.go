package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/api/apitest"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/redact"
)

// What a source sent may hold passwords: people below engineer see the signal
// made of it, which is redacted.
func TestRawBodiesAreForEngineers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	in := r.svc.Seed(t, "Disk filling")
	if err := r.svc.AppendBody(t.Context(), store.Body{ID: "body-1", Source: "alertmanager", Data: []byte("hunter2"), ReceivedAt: apitest.Start()}); err != nil {
		t.Fatal(err)
	}
	for role, may := range map[access.Role]bool{access.Viewer: false, access.Operator: false, access.Engineer: true, access.Admin: true} {
		token := r.svc.Token(t, string(role), role, nil)
		path := "/v1/signals/" + in.Symptoms[0].Signal
		resp, body := r.call(t, http.MethodGet, path+"/body", token, "")
		if may && (resp.StatusCode != http.StatusOK || body != "hunter2") {
			t.Errorf("%s gets %d %s", role, resp.StatusCode, body)
		}
		if !may && (resp.StatusCode != http.StatusForbidden || strings.Contains(body, "hunter2") || !strings.Contains(body, "this needs engineer")) {
			t.Errorf("%s gets %d %s", role, resp.StatusCode, body)
		}
		sig, err := api.NewClient(r.URL, redact.Secret(token), r.Server.Client()).FindSignal(t.Context(), in.Symptoms[0].Signal)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(sig.Body.Data); (got == "hunter2") != may || sig.Body.Withheld == may || sig.Body.ID != "body-1" {
			t.Errorf("%s sees the body %+v", role, sig.Body)
		}
	}
}
