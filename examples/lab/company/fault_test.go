package company

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/examples/lab/faults"
	"github.com/secondline-ops/secondline/examples/lab/servers"
	"github.com/secondline-ops/secondline/examples/lab/servers/serverstest"
)

// TestFaultOnARealHost plays faults on one host: what the bench says of a fault
// rests on telling "it is not there" from "nobody can say".
func TestFaultOnARealHost(t *testing.T) {
	lab := serverstest.Open(t)
	h, err := lab.AddHost(t.Context(), servers.HostOptions{Name: "app1"})
	if err != nil {
		t.Fatal(err)
	}
	c := &Company{Lab: lab}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	on := func(inject, injected, heal string, disks ...faults.Disk) faults.Case {
		return faults.Case{Host: "app1", Fault: &faults.Fault{ID: "fault", Inject: inject, Injected: injected, Heal: heal, Disks: disks}}
	}

	t.Run("there or not", func(t *testing.T) {
		for _, q := range []struct {
			injected string
			want     bool
		}{
			{"true", true},
			{"false", false},
			{"false\ntrue", false},             // stops at the first failure
			{"echo 0; exit 3", false},          // what it prints is no verdict
			{"grep -q x /no/such/file", false}, // the file that the fault made was deleted
			{"no-such-program --really", true}, // from here on nobody can say
			{"/etc/hostname", true},            // not executable
			{"kill -KILL $$", true},            // cut short
		} {
			if got := c.Present(ctx, on("", q.injected, "")); got != q.want {
				t.Errorf("%q: present %v, want %v", q.injected, got, q.want)
			}
		}
	})
	t.Run("did not take", func(t *testing.T) {
		err := c.Inject(ctx, on("true", "echo all is well; false", "true"))
		if !errors.Is(err, ErrNotInjected) || !strings.Contains(err.Error(), "all is well") {
			t.Errorf("got %v, want that it did not take, and what the script said", err)
		}
		if err := c.Inject(ctx, on("true", "no-such-program", "true")); err == nil || errors.Is(err, ErrNotInjected) {
			t.Errorf("nobody could look whether it took, and got %v", err)
		}
	})
	t.Run("disks come and go", func(t *testing.T) {
		fault := on("echo full >/srv/films/new/file", "test -s /srv/films/new/file", "rm -f /srv/films/new/file",
			faults.Disk{Mount: "/srv/films", MiB: 16}, faults.Disk{Mount: "/srv/films/new", MiB: 8})
		for range 2 {
			if err := c.Inject(ctx, fault); err != nil {
				t.Fatal(err)
			}
			if mounts, err := h.Run(ctx, "sh", "-c", "grep -c ' /srv/films' /proc/mounts"); err != nil || mounts != "2\n" {
				t.Errorf("%q mounts, %v; want 2", mounts, err)
			}
			for range 2 {
				if err := c.Heal(ctx, fault); err != nil {
					t.Fatal(err)
				}
			}
			if mounts, err := h.Run(ctx, "grep", " /srv/films", "/proc/mounts"); err == nil {
				t.Errorf("healed, and still there: %q", mounts)
			}
		}
	})
	t.Run("a host that is off was not mended", func(t *testing.T) {
		gone := on("", "test -e /no/such/file", "")
		if c.Present(ctx, gone) {
			t.Fatal("it is there while the host runs")
		}
		if _, err := h.Run(ctx, "systemctl", "poweroff"); err != nil {
			t.Fatal(err)
		}
		if err := servers.Poll(ctx, "the end of the host", func() (bool, error) { return !h.Running(), nil }); err != nil {
			t.Fatal(err)
		}
		if !c.Present(ctx, gone) {
			t.Error("powering a host off counts as mended")
		}
	})
}
