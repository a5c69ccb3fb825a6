package company

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/examples/lab/faults"
	"github.com/secondline-ops/secondline/examples/lab/servers"
)

// scriptLimit bounds each script of a fault.
const scriptLimit = 40 * time.Second

// ErrNotInjected says that a fault's scripts ran and the fault is not there, so
// that nothing can be said of a tool that does not see it.
var ErrNotInjected = errors.New("the fault did not take")

// Inject breaks a host, and says ErrNotInjected when it did not break.
func (c *Company) Inject(ctx context.Context, fault faults.Case) error {
	h, err := c.Lab.Host(fault.Host)
	if err != nil {
		return err
	}
	f := fault.Fault
	for _, d := range f.Disks {
		if err := h.AddDisk(ctx, d.Mount, d.MiB<<20, d.Mkfs...); err != nil {
			return fmt.Errorf("fault %s: %w", f.ID, err)
		}
	}
	if f.MemoryMiB > 0 {
		if err := h.LimitMemory(int64(f.MemoryMiB) << 20); err != nil {
			return fmt.Errorf("fault %s: %w", f.ID, err)
		}
	}
	if err := c.script(ctx, fault, "inject.sh", f.Inject); err != nil {
		return err
	}
	if f.Tasks > 0 { // last: the script needs processes, too
		if err := h.LimitTasks(f.Tasks); err != nil {
			return fmt.Errorf("fault %s: %w", f.ID, err)
		}
	}
	v, err := c.verdict(ctx, fault)
	if err == nil && !v.there {
		err = fmt.Errorf("%w: injected.sh of fault %s on %s ended with %d: %s", ErrNotInjected, f.ID, fault.Host, v.code, v.text)
	}
	return err
}

// Complain tells what a person says about a fault that no rule alerts on.
func (c *Company) Complain(ctx context.Context, fault faults.Case) error {
	if fault.Fault.Complaint == "" {
		return nil
	}
	about := cmp.Or(fault.Fault.About, fault.Host)
	_, err := c.Secondline(ctx, "signal", "send", "--host", about, "--title", fault.Fault.Complaint)
	return err
}

// Heal puts right what Inject broke. It may be called again, and after somebody
// else has mended it.
func (c *Company) Heal(ctx context.Context, fault faults.Case) error {
	h, err := c.Lab.Host(fault.Host)
	if err != nil {
		return err
	}
	var errs []error
	if fault.Fault.Tasks > 0 {
		errs = append(errs, h.LimitTasks(0))
	}
	if fault.Fault.MemoryMiB > 0 {
		errs = append(errs, h.LimitMemory(0))
	}
	errs = append(errs, c.script(ctx, fault, "heal.sh", fault.Fault.Heal))
	for _, d := range slices.Backward(fault.Fault.Disks) { // one may be mounted on another
		errs = append(errs, h.RemoveDisk(ctx, d.Mount))
	}
	return errors.Join(errs...)
}

func (c *Company) script(ctx context.Context, fault faults.Case, name, text string) error {
	h, err := c.Lab.Host(fault.Host)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, scriptLimit)
	defer cancel()
	if _, err := h.Script(ctx, text); err != nil {
		return fmt.Errorf("%s of fault %s on %s: %w", name, fault.Fault.ID, fault.Host, err)
	}
	return nil
}

// Present says whether the fault is there now. A host that cannot be asked has
// not been mended.
func (c *Company) Present(ctx context.Context, fault faults.Case) bool {
	v, err := c.verdict(ctx, fault)
	return err != nil || v.there
}

// verdict is what injected.sh said of a fault.
type verdict struct {
	there bool
	code  int    // with which it ended
	text  string // what it printed
}

// askInjected runs the text of injected.sh, and after all that it printed prints
// how it ended: the exit code of the whole would be that of the way to the host
// as well.
const askInjected = `sh -euc "$1" 2>&1 && code=0 || code=$?; printf '\n%s\n' "$code"`

// verdict asks injected.sh. An error says that it could not be run, of which
// nothing follows.
func (c *Company) verdict(ctx context.Context, fault faults.Case) (verdict, error) {
	h, err := c.Lab.Host(fault.Host)
	if err != nil {
		return verdict{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, scriptLimit)
	defer cancel()
	out, err := h.Run(ctx, "sh", "-c", askInjected, "sh", fault.Fault.Injected)
	if err == nil {
		var v verdict
		if v, err = parseVerdict(out); err == nil {
			return v, nil
		}
	}
	return verdict{}, fmt.Errorf("injected.sh of fault %s could not be run: %w", fault.Fault.ID, err)
}

// parseVerdict reads what askInjected printed. From 126 on the script did not
// come to its end: a program of it could not be run, was not found, or was
// killed (POSIX, "Exit Status for Commands").
func parseVerdict(out string) (verdict, error) {
	out = strings.TrimSuffix(out, "\n")
	at := strings.LastIndex(out, "\n") + 1
	code, err := strconv.Atoi(out[at:])
	v := verdict{there: code == 0, code: code, text: strings.TrimSpace(out[:at])}
	if err != nil || code >= 126 {
		return v, fmt.Errorf("it ended with %q: %s", out[at:], v.text)
	}
	return v, nil
}

// Broken returns what was noted as injected and not healed, as "fault@host".
func (c *Company) Broken() ([]string, error) {
	text, err := os.ReadFile(c.brokenFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return strings.Fields(string(text)), err
}

// NoteBroken notes what is injected now.
func (c *Company) NoteBroken(refs []string) error {
	slices.Sort(refs)
	return os.WriteFile(c.brokenFile(), []byte(strings.Join(slices.Compact(refs), "\n")), 0o600)
}

func (c *Company) brokenFile() string { return filepath.Join(c.Lab.Dir, "broken") }

// Times of a fault, for its author.
type Times struct {
	Alerts map[string]time.Duration // from injection to firing, by the name of the alert
	Healed time.Duration            // from healing to no alert on the host
}

// alertLimit bounds the wait for an alert, and for its end.
const alertLimit = 60 * time.Second

// Rehearse injects the fault, waits for its alerts on a host of its truth, heals
// it twice, as on a host that somebody has mended, and waits until they are gone:
// what must hold before a fault can measure anything. An error says what does not.
func (c *Company) Rehearse(ctx context.Context, fault faults.Case) (t Times, err error) {
	t.Alerts = map[string]time.Duration{}
	if err := c.until(ctx, "a company without alerts", func(alerts []Alert) string {
		if len(alerts) > 0 {
			return fmt.Sprint(alerts)
		}
		return ""
	}); err != nil {
		return t, err
	}
	if v, err := c.verdict(ctx, fault); err != nil || v.there {
		return t, errors.Join(err, errors.New("injected.sh does not say that the fault is not there before it is injected"))
	}
	began := time.Now()
	err = c.Inject(ctx, fault)
	if err == nil {
		err = c.until(ctx, "alerts", func(alerts []Alert) string { return t.note(fault, alerts, time.Since(began)) })
	}
	healing := time.Now()
	for range 2 {
		if herr := c.Heal(ctx, fault); herr != nil {
			return t, errors.Join(err, herr)
		}
		if v, verr := c.verdict(ctx, fault); verr != nil || v.there {
			return t, errors.Join(err, verr, errors.New("injected.sh does not say that the fault is gone after it was healed"))
		}
	}
	if herr := c.until(ctx, "the end of the alerts", func(alerts []Alert) string {
		for _, a := range alerts {
			if a.host() == fault.Host || slices.Contains(fault.Fault.Alerts, a.Labels["alertname"]) {
				return a.State + " " + a.Labels["alertname"] + " " + a.Labels["instance"]
			}
		}
		return ""
	}); herr != nil {
		return t, errors.Join(err, herr)
	}
	t.Healed = time.Since(healing)
	return t, err
}

// note notes which of the fault's alerts fire on a host of its truth, and says
// which do not yet.
func (t Times) note(fault faults.Case, alerts []Alert, after time.Duration) string {
	near := append([]string{fault.Host, fault.Entity()}, fault.Fault.Truth.Chain...)
	for _, a := range alerts {
		name := a.Labels["alertname"]
		expected := slices.Contains(fault.Fault.Alerts, name) && slices.Contains(near, a.host())
		if _, seen := t.Alerts[name]; !seen && a.State == "firing" && expected {
			t.Alerts[name] = after
		}
	}
	if len(t.Alerts) < len(fault.Fault.Alerts) {
		return fmt.Sprintf("of %v only %v fire", fault.Fault.Alerts, t.Alerts)
	}
	return ""
}

// until waits until problem returns "".
func (c *Company) until(ctx context.Context, what string, problem func([]Alert) string) error {
	ctx, cancel := context.WithTimeout(ctx, alertLimit)
	defer cancel()
	last := ""
	err := servers.Poll(ctx, what, func() (bool, error) {
		alerts, err := c.Alerts(ctx)
		if err != nil {
			return false, nil // Prometheus may be what is broken
		}
		last = problem(alerts)
		return last == "", nil
	})
	if err != nil {
		return fmt.Errorf("%w: %s", err, last)
	}
	return nil
}
