package linux

import (
	"context"
	"path"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

// mountsScript prints the mounts with what is known of each of their devices,
// and what /etc/fstab asks for. Its exit status is that of the last command: some
// of the files are on few hosts.
const mountsScript = `grep -aHs '' /proc/self/mountinfo /etc/fstab /sys/fs/ext4/*/errors_count /sys/class/block/*/dev; echo end`

const (
	rawMountStates = "mounts"
	fileFstab      = "/etc/fstab"
)

func diskMounts() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "disk.mounts",
			Title: "How file systems are mounted, against how they should be",
			Doc: "/proc/self/mountinfo, /etc/fstab and /sys/fs/ext4/DEVICE/errors_count. Nothing is asked of the file systems themselves, " +
				"so that one that hangs does not matter.",
			Outputs: []expr.Field{list("mounts", "those that have a device or a server, one for each file system",
				str("mount", "where"),
				str("device", "what, as mountinfo says: /dev/mapper/vg-root, nas1:/export"),
				str("kernel_name", "of the device, as the kernel's log says it: dm-0, sda1; \"\" when it has none"),
				str("type", "ext4, xfs, nfs4, ..."),
				boolean("network", "its server may not answer"),
				boolean("read_only", "mounted ro, or emergency_ro after an error"),
				boolean("emergency", "the options say emergency_ro: ext4 stopped writing after an error (Linux 6.10 and later)"),
				str("fstab", "rw or ro as /etc/fstab asks for this mount point; \"\" when it is not there"),
				integer("errors", "that ext4 counted since it was last checked; 0 for other types"))},
			CostSeconds: 0.02,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			cmd := command("sh", "-c", mountsScript)
			cmd.MaxOutputBytes = maxMountinfoBytes
			rec.Run(ctx, rawMountStates, cmd)
			return nil
		},
		parse: parseMountStates,
	}
}

func parseMountStates(in readings) (diagnostics.Value, error) {
	data, err := in.output(rawMountStates)
	if err != nil {
		return nil, err
	}
	text, ended := strings.CutSuffix(string(data), "end\n")
	if !ended {
		return nil, cannotTell(diagnostics.Failed, "%s: the output was cut", rawMountStates)
	}
	files := byFile(grepLines([]byte(text), '\n'))
	mounts, err := parseMounts([]byte(strings.Join(append(files[mountinfoPath], ""), "\n")))
	if err != nil {
		return nil, err
	}
	names, errors := blockDevices(files)
	wanted := fstabModes(files[fileFstab])
	found := []any{}
	for _, m := range measurable(mounts) {
		if !strings.HasPrefix(m.source, "/dev/") && !overNetwork(m.fstype) {
			continue
		}
		name := names[m.dev]
		if name == "" && strings.HasPrefix(m.source, "/dev/") && m.fstype == "btrfs" { // its devices have numbers of their own
			name = path.Base(m.source)
		}
		found = append(found, map[string]any{
			"mount": m.point, "device": m.source, "kernel_name": name, "type": m.fstype, "network": overNetwork(m.fstype),
			"read_only": m.readOnly, "emergency": m.has(emergencyRO), "fstab": wanted[m.point], "errors": errors[name],
		})
	}
	return diagnostics.Value{"mounts": found}, nil
}

// blockDevices returns the names by major:minor, and the errors that ext4 counted by name.
func blockDevices(files map[string][]string) (names map[string]string, errors map[string]int64) {
	names, errors = map[string]string{}, map[string]int64{}
	for file, lines := range files {
		dir, base := path.Split(file)
		name := path.Base(dir)
		switch {
		case strings.HasPrefix(file, "/sys/class/block/") && base == "dev":
			names[lines[0]] = name
		case strings.HasPrefix(file, "/sys/fs/ext4/") && base == "errors_count":
			if n, err := strconv.ParseUint(lines[0], 10, 48); err == nil {
				errors[name] = toInt(n)
			}
		}
	}
	return names, errors
}

// fstabModes returns rw or ro by mount point, see fstab(5).
func fstabModes(lines []string) map[string]string {
	modes := map[string]string{}
	for _, line := range lines {
		words := strings.Fields(line)
		if len(words) < 3 || strings.HasPrefix(words[0], "#") || !strings.HasPrefix(words[1], "/") {
			continue
		}
		mode := "rw"
		if len(words) > 3 && isReadOnly(words[3]) {
			mode = "ro"
		}
		modes[path.Clean(unescape(words[1]))] = mode
	}
	return modes
}
