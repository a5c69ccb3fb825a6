package web_test

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/api/apitest"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/web"
	"github.com/secondline-ops/secondline/runbooks"
)

type site struct {
	*httptest.Server
	svc *apitest.Service
}

func newSite(t *testing.T) *site {
	t.Helper()
	svc := apitest.New(t)
	pages, err := web.New(web.Options{
		Service: svc, Keeper: access.NewKeeper(svc, rand.Reader, apitest.Start), Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Now: func() time.Time { return apitest.Start().Add(7 * time.Minute) },
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(pages)
	t.Cleanup(srv.Close)
	return &site{srv, svc}
}

// browser is a client with cookies that does not follow redirects.
func (s *site) browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (s *site) as(t *testing.T, role access.Role) *http.Client {
	t.Helper()
	c := s.browser(t)
	if code, body := s.post(t, c, "/login", url.Values{"token": {s.svc.Token(t, "ann", role, nil)}}, nil); code != http.StatusSeeOther {
		t.Fatalf("login: %d %s", code, body)
	}
	return c
}

func (s *site) do(t *testing.T, c *http.Client, req *http.Request) (int, string) {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Header.Get("Content-Security-Policy") == "" {
		t.Errorf("%s has no policy", req.URL)
	}
	return resp.StatusCode, string(body)
}

func (s *site) get(t *testing.T, c *http.Client, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s.do(t, c, req)
}

func (s *site) post(t *testing.T, c *http.Client, path string, form url.Values, header http.Header) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	maps.Copy(req.Header, header)
	return s.do(t, c, req)
}

func TestStrangersSeeNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	in := s.svc.Seed(t, "Very private title")
	for _, path := range []string{"/", "/incidents/1", "/live", "/incidents/1/bundle", "/nothing"} {
		code, body := s.get(t, s.browser(t), path)
		if code != http.StatusSeeOther || strings.Contains(body, "private") {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	code, _ := s.post(t, s.browser(t), "/runs/"+in.Runs[0].ID+"/approve", url.Values{"plan_digest": {apitest.Plan().Digest}}, nil)
	if code != http.StatusUnauthorized || s.status(t, in.ID) != incident.AwaitingApproval {
		t.Errorf("a stranger's approval: %d, incident %s", code, s.status(t, in.ID))
	}
}

func (s *site) status(t *testing.T, ref string) incident.Status {
	t.Helper()
	in, err := s.svc.FindIncident(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return in.Status
}

func TestSignInRefusesWhatIsNoPersonsToken(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	expired := s.svc.Token(t, "old", access.Admin, func(tk *store.Token) { tk.ExpiresAt = apitest.Start() })
	hook := s.svc.Token(t, "am", access.Webhook, nil)
	for name, c := range map[string]struct {
		token string
		code  int
	}{"wrong": {"slt_wrong", 401}, "none": {"", 401}, "expired": {expired, 401}, "webhook": {hook, 403}} {
		b := s.browser(t)
		if code, body := s.post(t, b, "/login", url.Values{"token": {c.token}}, nil); code != c.code || !strings.Contains(body, "Not signed in") {
			t.Errorf("%s: %d %s", name, code, body)
		}
		if code, _ := s.get(t, b, "/"); code != http.StatusSeeOther {
			t.Errorf("%s: signed in nevertheless", name)
		}
	}
}

func TestSignInGoesOnlyToOwnPages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	token := s.svc.Token(t, "ann", access.Viewer, nil)
	for next, want := range map[string]string{
		"/incidents/7?x=1": "/incidents/7?x=1", "//evil.example": "/", `/\evil.example`: "/", "https://evil.example/": "/", "javascript:alert(1)": "/", "/\tx": "/", "": "/",
	} {
		resp, err := s.browser(t).PostForm(s.URL+"/login", url.Values{"token": {token}, "next": {next}})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Location"); got != want {
			t.Errorf("next %q leads to %q", next, got)
		}
		set := resp.Header.Get("Set-Cookie")
		if !strings.Contains(set, "HttpOnly") || !strings.Contains(set, "SameSite=Strict") || strings.Contains(set, token) {
			t.Errorf("cookie %q", set)
		}
	}
}

func TestSignOutEndsTheSessionEverywhere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.as(t, access.Viewer)
	home, _ := url.Parse(s.URL)
	copied := c.Jar.Cookies(home)
	if code, _ := s.post(t, c, "/logout", nil, nil); code != http.StatusSeeOther {
		t.Fatalf("logout: %d", code)
	}
	thief := s.browser(t)
	thief.Jar.SetCookies(home, copied)
	if code, _ := s.get(t, thief, "/"); code != http.StatusSeeOther {
		t.Errorf("a copied cookie still works: %d", code)
	}
}

func TestPageAnswersFirst(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	in := s.svc.Seed(t, "Disk filling on db1")
	c := s.as(t, access.Operator)
	if _, body := s.get(t, c, "/"); !strings.Contains(body, "Disk filling on db1") || !strings.Contains(body, "awaiting approval") || !strings.Contains(body, "7 min") {
		t.Errorf("list: %s", body)
	}
	_, body := s.get(t, c, "/incidents/1")
	_, body, _ = strings.Cut(body, "<main")
	last := -1
	for _, want := range []string{
		"awaiting approval", "Disk filling on db1", "confirmed", "A log without rotation fills the disk", "Your yes is needed", "1m35s",
		"&#43;  size 200M", "sha256:5f2b1c9a0e", "Approve this plan on db1", "/var is 98.4 % full", "Cannot tell", "permission denied reading /proc/812/fd; leaves open: open", "/var/tmp holds 12 MiB", "What was reported",
	} {
		at := strings.Index(body, want)
		if at < 0 {
			t.Errorf("%q is missing", want)
		} else if at < last {
			t.Errorf("%q comes too early", want)
		}
		last = max(last, at)
	}
	if strings.Contains(body, "javascript:") {
		t.Error("a script's link is on the page")
	}
	if code, _ := s.get(t, c, "/incidents/"+in.ID); code != http.StatusOK {
		t.Errorf("by id: %d", code)
	}
	if code, _ := s.get(t, c, "/incidents/99"); code != http.StatusNotFound {
		t.Errorf("missing incident: %d", code)
	}
}

// What all asked people approved, and a rate or a wave holds back, asks nobody.
func TestWhatIsHeldBackAsksForNoYes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	in := s.svc.Seed(t, "Disk filling on db1")
	yes := func(by string) {
		s.save(t, in.ID, func(in *incident.Incident) {
			in.Runs[0].Plan.Approvals = 2
			in.Runs[0].Decisions = append(in.Runs[0].Decisions, incident.Approval{By: by, Approved: true, PlanDigest: in.Runs[0].Plan.Digest})
		})
	}
	yes("ada")
	if _, body := s.get(t, s.as(t, access.Operator), "/incidents/1"); !strings.Contains(body, "Your yes is needed") || !strings.Contains(body, "1 said yes: ada") {
		t.Error("the second yes is not asked for")
	}
	yes("grace")
	if _, body := s.get(t, s.as(t, access.Operator), "/incidents/1"); !strings.Contains(body, "Approved, and waits for its turn") ||
		strings.Contains(body, "Your yes is needed") || strings.Contains(body, "/approve") || !strings.Contains(body, "/cancel") {
		t.Error("a yes is asked for that is there")
	}
}

// A running run is paused and goes on from its page, and every button names its run.
func TestARunIsPausedAndResumedFromItsPage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	in := s.svc.Seed(t, "Disk filling on db1")
	s.save(t, in.ID, func(in *incident.Incident) {
		in.Runs[0].Status = runbooks.RunRunning
		if err := in.Become(incident.Remediating, apitest.Start(), "person:ada", "plan_approved", "yes"); err != nil {
			t.Error(err)
		}
	})
	c := s.as(t, access.Operator)
	shown := func(want, not string) {
		t.Helper()
		if _, body := s.get(t, c, "/incidents/1"); !strings.Contains(body, want) || strings.Contains(body, not) {
			t.Errorf("%q is not there, or %q is", want, not)
		}
	}
	act := func(what string) {
		t.Helper()
		if code, body := s.post(t, c, "/runs/"+in.Runs[0].ID+"/"+what, url.Values{"text": {"the backup runs"}}, nil); code != http.StatusSeeOther && code != http.StatusOK {
			t.Fatalf("%s: %d %s", what, code, body)
		}
	}
	shown("/runs/"+in.Runs[0].ID+"/pause", "/resume")
	act("pause")
	shown("/runs/"+in.Runs[0].ID+"/resume", "/pause")
	shown("paused by ann: the backup runs", "Being carried out")
	act("resume")
	shown("Being carried out", "Go on")
}

// Beside the button stands what was found, not what a refusal would have said.
func TestPlanSaysWhyItIsAllowed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.svc.Seed(t, "Disk filling on db1")
	_, body := s.get(t, s.as(t, access.Operator), "/incidents/1")
	if want := "the log is there and is not empty (log.size = 4.1 GiB)"; !strings.Contains(body, want) || strings.Contains(body, "the log is gone or empty") {
		t.Errorf("%q is missing, or the refusal is there", want)
	}
}

// save changes the stored incident.
func (s *site) save(t *testing.T, id string, change func(*incident.Incident)) {
	t.Helper()
	err := s.svc.Update(t.Context(), func(tx store.Tx) error {
		in, err := tx.FindIncident(t.Context(), id)
		if err != nil {
			return err
		}
		change(in)
		return tx.SaveIncident(t.Context(), in)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPageNamesNoCauseThatWasRuledOut(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	in := s.svc.Seed(t, "Disk filling on db1")
	s.save(t, in.ID, func(in *incident.Incident) {
		in.Diagnosis.Hypotheses = in.Diagnosis.Hypotheses[1:]
		in.Diagnosis.Why = "symptom not confirmed: /var is 25 % full"
	})
	c := s.as(t, access.Operator)
	if _, list := s.get(t, c, "/"); strings.Contains(list, "disk-full-tmp") {
		t.Error("the list names it")
	}
	_, body := s.get(t, c, "/incidents/1")
	answer, _, _ := strings.Cut(body, "</section>")
	if strings.Contains(answer, "Temporary files") || !strings.Contains(answer, "symptom not confirmed: /var is 25 % full") {
		t.Errorf("answer: %s", answer)
	}
	if !strings.Contains(body, "/var/tmp holds 12 MiB") {
		t.Error("what was looked at is gone from the page")
	}
}

func TestPageSaysWhetherAnybodyWasCalled(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	in := s.svc.Seed(t, "Disk filling on db1")
	c := s.as(t, access.Operator)
	for want, e := range map[string]incident.Escalation{
		"NOBODY WAS CALLED, no channel is configured (notify:)": {NoChannel: true},
		"A person was called by mail":                           {Notified: []string{"mail"}},
		"A person is being called":                              {},
		"People are told together":                              {Together: true},
	} {
		s.save(t, in.ID, func(in *incident.Incident) { e.Reason, in.Escalation = "no agent reaches db1", &e })
		if _, body := s.get(t, c, "/incidents/1"); !strings.Contains(body, want) || !strings.Contains(body, "no agent reaches db1") {
			t.Errorf("%q is missing", want)
		}
	}
}

func TestAFailedRunDoesNotLookLikeAResolution(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	in := s.svc.Seed(t, "restart-my-app on db1")
	run := func(dry bool, status runbooks.RunStatus) (list, page string) {
		t.Helper()
		s.save(t, in.ID, func(in *incident.Incident) {
			in.Symptoms, in.Status, in.Unverified = nil, incident.Resolved, true
			in.Runs[0].DryRun, in.Runs[0].Status, in.Runs[0].EndedAt = dry, status, apitest.Start()
		})
		c := s.as(t, access.Operator)
		_, list = s.get(t, c, "/")
		_, page = s.get(t, c, "/incidents/1")
		return list, page
	}
	list, page := run(false, runbooks.RunFailed)
	for name, body := range map[string]string{"list": list, "page": page} {
		if !strings.Contains(body, "s-run_failed") || !strings.Contains(body, "run failed") || strings.Contains(body, "s-resolved") {
			t.Errorf("%s: a failed run looks resolved", name)
		}
	}
	if list, page = run(false, runbooks.RunVerified); !strings.Contains(list, "s-resolved") || !strings.Contains(page, "s-resolved") {
		t.Error("a verified run does not look resolved")
	}
	if list, page = run(true, runbooks.RunPlanned); strings.Contains(list, "restart-my-app") || !strings.Contains(page, "dry run") {
		t.Error("a dry run is in the list, or its page does not say what it is")
	}
}

func TestPageShowsWhatTheAlertSaid(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.svc.Seed(t, "Disk filling on db1")
	_, body := s.get(t, s.as(t, access.Operator), "/incidents/1")
	_, symptoms, _ := strings.Cut(body, `id="symptoms"`)
	for _, want := range []string{"/var on db1:9100 is filling up", "db1:9100", "mount /var"} {
		if !strings.Contains(symptoms, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

func TestSignInSaysWhereTheFirstTokenIs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if _, body := s.get(t, s.browser(t), "/login"); !strings.Contains(body, "admin-token") {
		t.Errorf("sign in: %s", body)
	}
}

func TestOnlyThoseWhoMayApproveCan(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	in := s.svc.Seed(t, "Disk filling on db1")
	path, form := "/runs/"+in.Runs[0].ID+"/approve", url.Values{"plan_digest": {apitest.Plan().Digest}, "text": {"go"}}
	viewer, operator := s.as(t, access.Viewer), s.as(t, access.Operator)

	if _, body := s.get(t, viewer, "/incidents/1"); strings.Contains(body, "/approve") || strings.Contains(body, "/resolve") {
		t.Error("a viewer is offered to act")
	}
	deny := func(what string, want int, c *http.Client, form url.Values, h http.Header) {
		t.Helper()
		if code, body := s.post(t, c, path, form, h); code != want || s.status(t, in.ID) != incident.AwaitingApproval {
			t.Errorf("%s: %d, incident %s: %s", what, code, s.status(t, in.ID), body)
		}
	}
	deny("viewer", 403, viewer, form, nil)
	deny("stale digest", 409, operator, url.Values{"plan_digest": {"sha256:old"}}, nil)
	deny("no digest", 400, operator, url.Values{}, nil)
	deny("cross site", 403, operator, form, http.Header{"Sec-Fetch-Site": {"cross-site"}})
	deny("cross origin", 403, operator, form, http.Header{"Origin": {"https://evil.example"}})
	if code, _ := s.get(t, operator, path); code == http.StatusOK || s.status(t, in.ID) != incident.AwaitingApproval {
		t.Errorf("a GET acted or answered: %d", code)
	}
	if code, body := s.post(t, operator, path, form, nil); code != http.StatusSeeOther || s.status(t, in.ID) != incident.Remediating {
		t.Errorf("operator: %d, incident %s: %s", code, s.status(t, in.ID), body)
	}
	got, _ := s.svc.FindIncident(t.Context(), in.ID)
	if d := got.Runs[0].Decisions; len(d) != 1 || d[0].By != "ann" || d[0].Why != "go" {
		t.Errorf("decision %+v", d)
	}
}

func TestWhatCannotBeUndoneNeedsAnEngineer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	in := s.svc.Seed(t, "Disk filling on db1")
	err := s.svc.Update(t.Context(), func(tx store.Tx) error {
		cur, err := tx.FindIncident(t.Context(), in.ID)
		if err != nil {
			return err
		}
		cur.Runs[0].Plan.Effect = runbooks.Irreversible
		return tx.SaveIncident(t.Context(), cur)
	})
	if err != nil {
		t.Fatal(err)
	}
	operator := s.as(t, access.Operator)
	if _, body := s.get(t, operator, "/incidents/1"); !strings.Contains(body, "needs the role engineer") || strings.Contains(body, "/approve") {
		t.Error("an operator is offered to approve it")
	}
	form := url.Values{"plan_digest": {apitest.Plan().Digest}}
	if code, _ := s.post(t, operator, "/runs/"+in.Runs[0].ID+"/approve", form, nil); code != http.StatusForbidden {
		t.Errorf("operator: %d", code)
	}
	if code, _ := s.post(t, s.as(t, access.Engineer), "/runs/"+in.Runs[0].ID+"/approve", form, nil); code != http.StatusSeeOther {
		t.Errorf("engineer: %d", code)
	}
}

func TestHostileTextIsHarmless(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	hostile := "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\x1b[2J\u202egnp.exe{{.}}"
	in := s.svc.Seed(t, hostile)
	c := s.as(t, access.Operator)
	if code, body := s.post(t, c, "/incidents/1/note", url.Values{"text": {hostile + "\r\nSet-Cookie: x=y"}}, nil); code != http.StatusSeeOther {
		t.Fatalf("note: %d %s", code, body)
	}
	for _, path := range []string{"/", "/incidents/1", "/?q=" + url.QueryEscape(hostile), "/nothing/" + url.PathEscape(hostile)} {
		_, body := s.get(t, c, path)
		for _, bad := range []string{"<script>alert", "<img src=x", "\x1b", "\u202e", "onerror=alert(1)>"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s contains %q", path, bad)
			}
		}
	}
	_ = in
}

func TestCrossSiteVisitIsBouncedSoThatTheCookieComesAlong(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/incidents/1", nil)
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	req.Header.Set("Sec-Fetch-Mode", "navigate")
	if code, body := s.do(t, s.browser(t), req); code != http.StatusOK || !strings.Contains(body, "0;url=/incidents/1") {
		t.Errorf("%d %s", code, body)
	}
}

func TestLiveTellsOfAChange(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	in := s.svc.Seed(t, "Disk filling on db1")
	c := s.as(t, access.Viewer)
	for _, path := range []string{"/live", "/live?incident=1"} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		event := func() string {
			buf := make([]byte, 4096)
			for {
				n, err := resp.Body.Read(buf)
				if err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				if _, text, ok := strings.Cut(string(buf[:n]), "id: "); ok {
					return text
				}
			}
		}
		first := event()
		if err := s.svc.Note(t.Context(), in.ID, "ann", "x"); err != nil {
			t.Fatal(err)
		}
		second := event()
		if path != "/live" && first == second {
			t.Errorf("%s: told the same twice: %q", path, first)
		}
		resp.Body.Close()
		cancel()
	}
}
