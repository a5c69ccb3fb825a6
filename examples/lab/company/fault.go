package company

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/examples/lab/faults"
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
	if err := c.script(ctx, fault, "injected.sh", f.Injected); err != nil {
		return fmt.Errorf("%w: %w", ErrNotInjected, err)
	}
	return nil
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

// Heal puts right what Inject broke; disks stay until the host ends.
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
	return errors.Join(append(errs, c.script(ctx, fault, "heal.sh", fault.Fault.Heal))...)
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
