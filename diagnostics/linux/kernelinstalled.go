package linux

import (
	"context"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
)

const (
	rawRelease = "release"
	rawModules = "modules"
	rawBoot    = "boot"
	rawReboot  = "reboot_required"
	maxKernels = 500
)

func kernelInstalled() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "kernel.installed",
			Title: "The kernel that runs, and the one that would run after a reboot",
			Doc:   "/proc/sys/kernel/osrelease against /boot/vmlinuz-* and /lib/modules, and /run/reboot-required; no process is started. A container has no kernels of its own.",
			Outputs: []expr.Field{
				str("running", "release of the running kernel"),
				str("newest", "the highest release of /boot; \"\" when there is none"),
				boolean("newer_installed", "that is higher than the running one"),
				optional(timestamp("installed_at", "when the newest came to /boot; missing when there is none")),
				boolean("modules_missing", "there are modules of other kernels, and none of the running one"),
				boolean("reboot_required", "a package asked for a reboot (/run/reboot-required)"),
			},
			CostSeconds: 0.02,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			rec.File(ctx, rawRelease, "/proc/sys/kernel/osrelease", maxStatBytes)
			rec.Dir(ctx, rawModules, "/lib/modules/", maxKernels) // with a slash: /lib is a link
			rec.Dir(ctx, rawBoot, "/boot", maxKernels)
			rec.Stat(ctx, rawReboot, "/run/reboot-required")
			return nil
		},
		parse: parseKernelInstalled,
	}
}

func parseKernelInstalled(in readings) (diagnostics.Value, error) {
	raw, err := in.whole(rawRelease)
	if err != nil {
		return nil, notAbsent(err)
	}
	running := strings.TrimSpace(string(raw.Data))
	modules, err1 := in.entries(rawModules)
	boot, err2 := in.entries(rawBoot)
	_, err3 := in.info(rawReboot)
	switch {
	case running == "":
		return nil, cannotTell(diagnostics.Failed, "%s is empty", rawRelease)
	case err1 != nil:
		return nil, err1
	case err2 != nil:
		return nil, err2
	case err3 != nil && !isStatus(err3, diagnostics.Absent):
		return nil, err3
	}
	value := diagnostics.Value{"running": clip(running, maxCommand), "newest": "", "newer_installed": false, "reboot_required": err3 == nil}
	has := func(e remote.FileInfo) bool { return e.Name == running }
	isRelease := func(e remote.FileInfo) bool { return e.Name != "" && e.Name[0] >= '0' && e.Name[0] <= '9' }
	value["modules_missing"] = slices.ContainsFunc(modules, isRelease) && !slices.ContainsFunc(modules, has)
	newest := ""
	for _, e := range boot {
		release, ok := strings.CutPrefix(e.Name, "vmlinuz-")
		rescue := strings.HasPrefix(release, "0-rescue") // of dracut, named after the machine
		if ok && !rescue && compareReleases(release, newest) > 0 {
			newest = release
			value["newest"], value["installed_at"] = clip(release, maxCommand), e.ModifiedAt.UTC()
		}
	}
	value["newer_installed"] = newest != "" && compareReleases(newest, running) > 0
	return value, nil
}

// entries is a directory; one that is not there has none.
func (in readings) entries(name string) ([]remote.FileInfo, error) {
	var list []remote.FileInfo
	err := in.decode(name, &list)
	if isStatus(err, diagnostics.Absent) {
		return nil, nil
	}
	return list, err
}

// compareReleases compares two releases number by number: 6.1.0-9 is before
// 6.1.0-10. What is no number is compared as text.
func compareReleases(a, b string) int {
	for a != "" && b != "" {
		digits := func(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }
		na, nb := digits(a), digits(b)
		if na == 0 || nb == 0 {
			if a[0] != b[0] {
				return strings.Compare(a[:1], b[:1])
			}
			a, b = a[1:], b[1:]
			continue
		}
		x, y := strings.TrimLeft(a[:na], "0"), strings.TrimLeft(b[:nb], "0")
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
		a, b = a[na:], b[nb:]
	}
	return len(a) - len(b)
}
