package web_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/api/apitest"
	"github.com/secondline-ops/secondline/runbooks"
)

// atStep is what an agent says in the middle of a step, with what a hostile
// server wrote.
func atStep() job.Activity {
	return job.Activity{
		Step: "cut", Status: runbooks.StepRunning, Since: apitest.Start().Add(5 * time.Minute), Timeout: 5 * time.Minute,
		Command: "logrotate -f /etc/logrotate.d/orders",
		Output: []string{
			"reading config file /etc/logrotate.d/orders", "\x1b[31mrotating pattern: /var/log/orders/orders.log\x1b[0m",
			"<script>document.title='owned'</script>", "copying /var/log/orders/orders.log to /var/log/orders/orders.log.1",
		},
		Cut: true, Probes: []job.PendingProbe{{Probe: "disk.usage", Target: "db1", Since: apitest.Start().Add(6 * time.Minute)}},
	}
}

func TestPageSaysWhatIsBeingDone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	in := s.svc.Seed(t, "Disk filling on db1")
	c := s.as(t, access.Viewer)
	if _, body := s.get(t, c, "/incidents/1"); strings.Contains(body, "Right now") || !strings.Contains(body, `id="now"`) {
		t.Error("something is being done although no job was sent")
	}
	if err := s.svc.WorkOn(t.Context(), in.ID, "inc.1", job.Diagnose, ""); err != nil {
		t.Fatal(err)
	}
	s.svc.Do(in.ID, "inc.1", job.Activity{Probes: []job.PendingProbe{{Probe: "mem.usage", Target: "db1", Since: apitest.Start()}}})
	for _, want := range []string{"Right now", "looking for the cause", "waits for <code>mem.usage</code>", "for 7 min", "by agent site-a"} {
		if _, body := s.get(t, c, "/incidents/1"); !strings.Contains(body, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if err := s.svc.WorkOn(t.Context(), in.ID, "inc.2", job.Run, in.Runs[0].ID); err != nil {
		t.Fatal(err)
	}
	s.svc.Do(in.ID, "inc.2", atStep())
	_, page := s.get(t, c, "/incidents/1")
	code, part := s.get(t, c, "/incidents/1/now")
	if code != http.StatusOK || !strings.Contains(page, part) || strings.Contains(part, "Timeline") {
		t.Errorf("%d: the part is another than on the page: %s", code, part)
	}
	for _, want := range []string{
		"<strong>cut</strong>", "(2 of 2, run)", "truncate-runaway-log", "for 2 min", "since 2026-03-01 03:09:05 UTC", "time-out 5m0s",
		"there were more before", `\x1b[31mrotating`, "&lt;script&gt;document.title", "disk.usage",
	} {
		if !strings.Contains(part, want) {
			t.Errorf("%q is missing: %s", want, part)
		}
	}
	if strings.Contains(page, "\x1b") || strings.Contains(page, "<script>document") || strings.Contains(page, "mem.usage") {
		t.Error("hostile output or the former job's probes are on the page")
	}
	s.svc.Do(in.ID, "inc.2", job.Activity{})
	if _, part := s.get(t, c, "/incidents/1/now"); strings.Contains(part, "cut") || !strings.Contains(part, "carrying out") {
		t.Errorf("after the step: %s", part)
	}
	if code, _ := s.get(t, s.browser(t), "/incidents/1/now"); code != http.StatusSeeOther {
		t.Errorf("a stranger: %d", code)
	}
}
