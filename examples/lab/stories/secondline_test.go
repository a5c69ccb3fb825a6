package stories

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/examples/lab/servers"
)

// program is Secondline as a user gets it, built once for all tests; or the one
// that SECONDLINE_PROGRAM names, such as that of a package.
var program = sync.OnceValues(func() (string, error) {
	if given := os.Getenv("SECONDLINE_PROGRAM"); given != "" {
		return filepath.Abs(given)
	}
	dir, err := os.MkdirTemp("", "secondline-lab-test-")
	if err != nil {
		return "", err
	}
	programDir = dir
	cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "secondline"), "./cmd/secondline")
	cmd.Dir, cmd.Env = filepath.Join("..", "..", ".."), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build secondline: %w\n%s", err, out)
	}
	return filepath.Join(dir, "secondline"), nil
})

var programDir string // of the built one, to be removed

func TestMain(m *testing.M) {
	code := m.Run()
	if programDir != "" {
		_ = os.RemoveAll(programDir)
	}
	os.Exit(code)
}

// What the tests read of the API; everything else in the answers is ignored.
type (
	incidentSummary struct {
		ID     string `json:"id"`
		Number int64  `json:"number"`
		Title  string `json:"title"`
		Status string `json:"status"`
	}
	incidentView struct {
		incidentSummary
		Entity     string `json:"entity"`
		Cause      string `json:"cause"`
		Band       string `json:"band"`
		Unverified bool   `json:"unverified"`
		Resolution string `json:"resolution"`
		Why        string `json:"why"`
		Measured   *struct {
			Gone string `json:"gone"`
			Text string `json:"text"`
		} `json:"measured"`
		Escalation *struct {
			Reason string `json:"reason"`
		} `json:"escalation"`
		Runs      []runView `json:"runs"`
		BundleURL string    `json:"bundle_url"`
	}
	runView struct {
		ID      string `json:"id"`
		Runbook string `json:"runbook"`
		Target  string `json:"target"`
		Status  string `json:"status"`
		Why     string `json:"why"`
		Steps   []struct {
			ID       string `json:"id"`
			Status   string `json:"status"`
			Verified bool   `json:"verified"`
		} `json:"steps"`
	}
	eventView struct {
		Kind   string `json:"kind"`
		Reason string `json:"reason"`
		Text   string `json:"text"`
	}
	planView struct {
		Plan *struct {
			Digest string `json:"digest"`
			Steps  []struct {
				ID   string `json:"id"`
				Diff string `json:"diff"`
			} `json:"steps"`
		} `json:"plan"`
	}
	signalView struct {
		ID         string            `json:"id"`
		Labels     map[string]string `json:"labels"`
		Action     string            `json:"action"`
		IncidentID *string           `json:"incident_id"`
		Reason     string            `json:"reason"`
	}
)

// installation is one controller and one agent, run as a user runs them.
type installation struct {
	t         *testing.T
	dir       string
	bin       string
	url       string
	agentAddr string // of the controller, for agents
	agentArgs []string
	client    *http.Client
	start     func(context.Context, servers.ProcessOptions) (*servers.Process, error)
	command   func(context.Context, ...string) *exec.Cmd

	controller, agent *servers.Process
	token             string
}

// newInstallation writes the configuration; nothing is started yet.
func newInstallation(t *testing.T, in installation, config, inventory, guard string) *installation {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	in.t, in.bin = t, bin
	for name, text := range map[string]string{"controller.yaml": config, "inventory.yaml": inventory, "guard.yaml": guard} {
		if err := os.WriteFile(in.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			in.showLogs()
		}
	})
	return &in
}

func (in *installation) path(name string) string { return filepath.Join(in.dir, name) }

func (in *installation) showLogs() {
	for _, name := range []string{"controller.log", "agent.log", "alertmanager.log"} {
		if text, err := os.ReadFile(in.path(name)); err == nil {
			in.t.Logf("--- end of %s\n%s", name, text[max(0, len(text)-6000):])
		}
	}
}

// env keeps what this machine's user has out of it.
func (in *installation) env() []string {
	return []string{"HOME=" + in.dir, "XDG_STATE_HOME=" + in.path("state"), "SSH_AUTH_SOCK=", "SECONDLINE_URL=" + in.url, "SECONDLINE_TOKEN=" + in.token}
}

func (in *installation) startController(ctx context.Context) error {
	p, err := in.start(ctx, servers.ProcessOptions{
		Name: "controller", Argv: []string{in.bin, "controller", "--config", in.path("controller.yaml")}, Env: in.env(), Log: in.path("controller.log"),
	})
	if err != nil {
		return err
	}
	in.controller = p
	if err := in.ready(ctx); err != nil {
		return err
	}
	if in.token != "" { // started again
		return nil
	}
	token, err := os.ReadFile(in.path("data/admin-token"))
	in.token = strings.TrimSpace(string(token))
	return err
}

func (in *installation) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return servers.Poll(ctx, "a ready controller", func() (bool, error) {
		select {
		case <-in.controller.Done():
			text, _ := os.ReadFile(in.controller.Log)
			return false, fmt.Errorf("the controller ended: %s", text[max(0, len(text)-2000):])
		default:
		}
		status, _, err := in.call(ctx, http.MethodGet, "/readyz", nil)
		return err == nil && status == http.StatusOK, nil
	})
}

func (in *installation) enrolAgent(ctx context.Context, name string) error {
	token, err := in.cli(ctx, "agents", "enrol-token", name)
	if err != nil {
		return err
	}
	lines := strings.Fields(token)
	if len(lines) == 0 {
		return fmt.Errorf("enrol-token printed nothing")
	}
	_, err = in.cli(ctx, "agent", "enroll", "--controller", in.agentAddr, "--token", lines[0], "--name", name, "--state", in.path("agent"))
	return err
}

func (in *installation) startAgent(ctx context.Context) error {
	argv := append([]string{in.bin, "agent", "run", "--controller", in.agentAddr, "--state", in.path("agent"), "--guard", in.path("guard.yaml")}, in.agentArgs...)
	p, err := in.start(ctx, servers.ProcessOptions{Name: "agent", Argv: argv, Env: in.env(), Log: in.path("agent.log")})
	if err == nil {
		in.agent = p
	}
	return err
}

// cli runs a command of Secondline as a person would, without a terminal.
func (in *installation) cli(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := in.command(ctx, append([]string{in.bin}, args...)...)
	cmd.Env, cmd.Dir = append(os.Environ(), in.env()...), in.dir
	return servers.Output(cmd)
}

// call makes one request of the API. An error means that no answer came.
func (in *installation) call(ctx context.Context, method, path string, body []byte) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, in.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+in.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := in.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

func (in *installation) get(ctx context.Context, path string, into any) error {
	status, answer, err := in.call(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("GET %s: %d: %s", path, status, answer)
	}
	return json.Unmarshal(answer, into)
}

func (in *installation) incident(ctx context.Context, id string) (incidentView, error) {
	var v incidentView
	err := in.get(ctx, "/v1/incidents/"+id, &v)
	return v, err
}

func (in *installation) incidents(ctx context.Context) ([]incidentSummary, error) {
	var page struct {
		Incidents  []incidentSummary `json:"incidents"`
		NextCursor string            `json:"next_cursor"`
	}
	var all []incidentSummary
	for cursor := ""; ; cursor = page.NextCursor {
		page.NextCursor = ""
		if err := in.get(ctx, "/v1/incidents?limit=100&cursor="+cursor, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Incidents...)
		if page.NextCursor == "" {
			return all, nil
		}
	}
}

func (in *installation) signals(ctx context.Context) ([]signalView, error) {
	var page struct {
		Signals    []signalView `json:"signals"`
		NextCursor string       `json:"next_cursor"`
	}
	var all []signalView
	for cursor := ""; ; cursor = page.NextCursor {
		page.NextCursor = ""
		if err := in.get(ctx, "/v1/signals?limit=100&cursor="+cursor, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Signals...)
		if page.NextCursor == "" {
			return all, nil
		}
	}
}

func (in *installation) events(ctx context.Context, id string) ([]eventView, error) {
	var list struct {
		Events []eventView `json:"events"`
	}
	err := in.get(ctx, "/v1/incidents/"+id+"/events", &list)
	return list.Events, err
}

// timeline is an incident's events for a failed test's log.
func (in *installation) timeline(ctx context.Context, id string) string {
	events, err := in.events(ctx, id)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "  %-12s %-24s %s\n", e.Kind, e.Reason, e.Text)
	}
	return b.String()
}

// until waits for the incident to be as asked, and fails with its timeline.
func (in *installation) until(ctx context.Context, t *testing.T, id, what string, asked func(incidentView) bool) incidentView {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	var v incidentView
	if err := servers.Poll(ctx, what, func() (bool, error) {
		got, err := in.incident(ctx, id)
		if err != nil {
			return false, nil
		}
		v = got
		return asked(v), nil
	}); err != nil {
		t.Fatalf("%v: incident %d is %s\n%s", err, v.Number, v.Status, in.timeline(t.Context(), id))
	}
	return v
}
