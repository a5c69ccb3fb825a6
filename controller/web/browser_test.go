package web_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/incident"
)

// TestBrowserApprovesAndSeesItLive is the 3 a.m. story in a real browser: sign
// in, open the incident, approve, and watch it become resolved without a
// reload. With SECONDLINE_SCREENSHOTS set to a folder it leaves pictures there.
func TestBrowserApprovesAndSeesItLive(t *testing.T) {
	t.Parallel()
	const chromium = "/usr/bin/chromium"
	if _, err := os.Stat(chromium); err != nil {
		if os.Getenv("SECONDLINE_REQUIRE_REAL") == "1" {
			t.Fatal(err)
		}
		t.Skip("no " + chromium)
	}
	s := newSite(t)
	in := s.svc.Seed(t, "Disk filling on db1 <script>document.title='owned'</script>")
	token := s.svc.Token(t, "ann", access.Operator, nil)

	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1200, 1500))
	if os.Geteuid() == 0 {
		opts = append(opts, chromedp.NoSandbox) // chromium refuses to run as root with one
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	ctx, end := chromedp.NewExecAllocator(ctx, opts...)
	defer end()
	ctx, closeTab := chromedp.NewContext(ctx)
	defer closeTab()

	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatal(err)
		}
	}
	picture := func(name string) { t.Helper(); takePicture(ctx, t, name) }

	do(chromedp.Navigate(s.URL+"/"), chromedp.WaitVisible("#token"))
	picture("login")
	do(chromedp.SendKeys("#token", token+"\r"), chromedp.WaitVisible(".rows .row"))
	picture("list")
	do(chromedp.Click(".rows .row a"), chromedp.WaitVisible("#approve"), chromedp.WaitVisible(".live.on"))
	picture("waiting")
	title := ask(ctx, t, chromedp.Title())
	do(chromedp.SendKeys("#why", "looks right"), chromedp.Click("#approve"), chromedp.WaitVisible("#status.s-remediating"), chromedp.WaitVisible(".live.on"))
	ask(ctx, t, chromedp.Evaluate[bool](`window.notReloaded = true`))
	if err := s.svc.WorkOn(t.Context(), in.ID, "inc.2", job.Run, in.Runs[0].ID); err != nil {
		t.Fatal(err)
	}
	do(chromedp.WaitVisible("#now .now"))
	picture("sent")
	s.svc.Do(in.ID, "inc.2", atStep())
	do(chromedp.WaitVisible("#now .output"), chromedp.WaitVisible("#now .waits"))
	picture("running")
	if text := ask(ctx, t, chromedp.Text("#now")); !strings.Contains(text, "step cut (2 of 2, run) of truncate-runaway-log") || !strings.Contains(text, "<script>document.title='owned'</script>") {
		t.Errorf("right now: %s", text)
	}
	s.svc.Do(in.ID, "inc.2", job.Activity{})
	do(chromedp.WaitNotPresent("#now .output"))
	if err := s.svc.Finish(t.Context(), in.Runs[0].ID); err != nil {
		t.Fatal(err)
	}
	do(chromedp.WaitVisible("#status.s-resolved"), chromedp.WaitNotPresent("#now .now"))
	status := ask(ctx, t, chromedp.Text("#status"))
	same := ask(ctx, t, chromedp.Evaluate[bool](`window.notReloaded === true`))
	picture("resolved")
	do(chromedp.EmulateViewport(390, 844))
	if wide := ask(ctx, t, chromedp.Evaluate[int](`document.documentElement.scrollWidth`)); wide > 390 {
		t.Errorf("the page is %d wide on a telephone of 390", wide)
	}
	picture("mobile")
	if title == "owned" || status != "resolved" || !same {
		t.Errorf("title %q, status %q, still the same page: %t", title, status, same)
	}
	if got, _ := s.svc.FindIncident(t.Context(), in.ID); got.Status != incident.Resolved || got.Runs[0].Decisions[0].By != "ann" || got.Runs[0].Decisions[0].Why != "looks right" {
		t.Errorf("stored: %s %+v", got.Status, got.Runs[0].Decisions)
	}
}

func ask[T any](ctx context.Context, t *testing.T, a chromedp.Action[T]) T {
	t.Helper()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func takePicture(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	folder := os.Getenv("SECONDLINE_SCREENSHOTS")
	if folder == "" {
		return
	}
	png := ask(ctx, t, chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(folder, name+".png"), png, 0o600); err != nil {
		t.Fatal(err)
	}
}
