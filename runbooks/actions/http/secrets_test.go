package http_test

import (
	"fmt"
	nethttp "net/http"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/http"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/actiontest"
)

func TestAHeaderMayBeASecret(t *testing.T) {
	t.Parallel()
	const token = `Bearer "it's \n $(id) #é`
	s := newService(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if r.Header.Get("X-Token") != token {
			w.WriteHeader(nethttp.StatusForbidden)
		}
	})
	for part, asked := range map[string]string{
		`url: "%s/a", headers: {X-Token: secret/api}, expect: {status: 200}`:                                                                    "GET /a  ",
		`url: "%s/b", method: POST, headers: {X-Token: secret/api}, expect: {status: 200}`:                                                      "POST /b  ",
		`url: "%s/c", method: PUT, headers: {X-Token: secret/api, Content-Type: a/b}, body: "@/etc/passwd\n \"a\\b\" é", expect: {status: 200}`: "PUT /c a/b @/etc/passwd\n \"a\\b\" é",
	} {
		spec := fmt.Sprintf("\n  steps:\n    - {id: act, http: {"+part+"}, undo: none, timeout: 20s, verify: {within: 300ms}}\n", s.URL)
		story := actiontest.New(t, http.Action{}, actiontest.Local(), spec, nil)
		story.Deps.Secrets = actiontest.Secrets{"api": token}
		p := story.Plan()
		if !strings.Contains(p.Steps[0].Diff, "# header X-Token is secret/api\n") {
			t.Errorf("the plan shows %q", p.Steps[0].Diff)
		}
		story.Want(story.RunPlan(p), runbooks.RunVerified, "")
		s.mu.Lock()
		if len(s.asked) == 0 || s.asked[len(s.asked)-1] != asked {
			t.Errorf("asked %q, want %q", s.asked, asked)
		}
		s.mu.Unlock()
		for _, cmd := range story.Host.Writes() {
			if strings.Contains(strings.Join(cmd.Argv, " ")+string(cmd.Stdin), "Bearer") {
				t.Errorf("it stands in %q %q", cmd.Argv, cmd.Stdin)
			}
		}
		story = actiontest.New(t, http.Action{}, actiontest.Local(), spec, nil)
		story.Deps.Secrets = actiontest.Secrets{"api": "tell\r\ntale"}
		res := story.Run()
		if res.Status == runbooks.RunVerified || strings.Contains(fmt.Sprint(res), "tale") {
			t.Errorf("a header with a line end: %v", res)
		}
	}
}

func TestWhereNoSecretGoes(t *testing.T) {
	t.Parallel()
	for _, part := range []string{
		`url: "http://h/?key=secret/api"`, `url: secret/api`, `url: "http://h/", headers: {Authorization: "Bearer secret/api"}`,
		`url: "http://h/", method: POST, headers: {Content-Type: a/b}, body: secret/api`, `url: "http://h/", expect: {body_has: secret/api}`,
		`url: "http://h/", headers: {Authorization: "Bearer abc"}`, `url: "http://h/", headers: {X-Api-Key: abc}`, `url: "http://h/", expect: {json: {token: secret/api}}`,
	} {
		_, err := actiontest.Parse(http.Action{}, "\n  steps:\n    - {id: act, http: {"+part+"}, undo: none}\n")
		if found := yamlx.Errors(err); len(found) == 0 || found[0].Rule != runbooks.RuleSecrets {
			t.Errorf("%s: %v", part, err)
		}
	}
	_, err := actiontest.Parse(http.Action{}, "\n  steps:\n    - {id: act, http: {url: 'http://h/', follow: 2, headers: {X-Token: secret/api}}, undo: none}\n")
	if err == nil || !strings.Contains(err.Error(), "somebody else") {
		t.Errorf("redirects: %v", err)
	}
}
