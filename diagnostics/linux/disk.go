package linux

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
)

const (
	maxMeasured   = 512             // file systems measured in one reading
	maxNetMounts  = 8               // network file systems asked one by one
	statfsTimeout = 5 * time.Second // for a network file system; its server may be gone
)

// statfsFormat makes stat(1) print what statfs(2) says: blocks, free,
// available, block size, inodes, free inodes, and the path, which may hold any
// byte but NUL.
const statfsFormat = `%b %f %a %S %c %d %n\0`

// Names of readings.
const (
	rawMounts = "mountinfo"
	rawSizes  = "sizes"
	rawPath   = "path"
	rawReal   = "real_path"
	rawSize   = "size"
)

func filesystemFields() []expr.Field {
	return []expr.Field{
		str("mount", "where it is mounted"),
		str("device", "what is mounted, as mountinfo says"),
		str("type", "ext4, xfs, tmpfs, ..."),
		size("size", "bytes"),
		size("used", "bytes, as df(1): all but the free ones"),
		size("available", "bytes that an ordinary user can still write"),
		size("reserved", "bytes that are free for root only (tune2fs -m)"),
		double("used_percent", "used / (used + available), not rounded up as df(1) does"),
		integer("inodes", "how many there are; 0 where the file system makes them as needed"),
		integer("inodes_free", "how many are free"),
		double("inodes_used_percent", "of all inodes; 0 where there is no limit"),
		boolean("read_only", "mounted ro, or emergency_ro after an error"),
	}
}

func diskFilesystems() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "disk.filesystems",
			Title: "Space and inodes of every file system",
			Doc: "/proc/self/mountinfo and statfs(2) of each file system that has a size, one mount for each. " +
				"Network file systems are asked one by one; one that does not answer makes the fact truncated.",
			Outputs:     []expr.Field{list("filesystems", "by mount", filesystemFields()...)},
			CostSeconds: 0.1,
		},
		read:  readFilesystems,
		parse: parseFilesystems,
	}
}

func readFilesystems(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
	raw := rec.File(ctx, rawMounts, mountinfoPath, maxMountinfoBytes)
	mounts, err := parseMounts(raw.Data)
	if raw.Status != diagnostics.OK || err != nil {
		return nil //nolint:nilerr // Parse says so
	}
	near, far := nearAndFar(measurable(mounts))
	if len(near) > 0 {
		rec.Run(ctx, rawSizes, command(append([]string{"stat", "-f", "--printf", statfsFormat, "--"}, near...)...))
	}
	for i, point := range far {
		cmd := command("stat", "-f", "--printf", statfsFormat, "--", point)
		cmd.Timeout = statfsTimeout
		rec.Run(ctx, netSizes(i), cmd)
	}
	return nil
}

func netSizes(i int) string { return fmt.Sprintf("%s_%d", rawSizes, i) }

// nearAndFar returns the mount points that are asked at once, and those that
// are asked one by one because they may not answer. What exceeds the limits is
// in neither.
func nearAndFar(mounts []mount) (near, far []string) {
	for _, m := range mounts {
		switch {
		case overNetwork(m.fstype) && len(far) < maxNetMounts:
			far = append(far, m.point)
		case !overNetwork(m.fstype) && len(near) < maxMeasured:
			near = append(near, m.point)
		}
	}
	return near, far
}

func parseFilesystems(in readings) (diagnostics.Value, error) {
	raw, err := in.whole(rawMounts)
	if err != nil {
		return nil, notAbsent(err)
	}
	mounts, err := parseMounts(raw.Data)
	if err != nil {
		return nil, err
	}
	wanted := measurable(mounts)
	sizes := map[string]remote.FSInfo{}
	near, far := nearAndFar(wanted)
	if len(near) > 0 {
		// An exit status of 1 says that one of them was refused; it is missing then.
		raw, err := in.ran(rawSizes)
		if err != nil {
			return nil, err
		}
		parseSizes(raw.Data, sizes)
		if len(sizes) == 0 {
			return nil, cannotTell(diagnostics.Failed, "%s: exit status %d: %s", rawSizes, raw.ExitCode, raw.Error)
		}
	}
	for i := range far {
		if raw, err := in.ran(netSizes(i)); err == nil {
			parseSizes(raw.Data, sizes)
		}
	}
	filesystems, missing := []any{}, []string{}
	for _, m := range wanted {
		info, ok := sizes[m.point]
		switch {
		case !ok:
			missing = append(missing, m.point)
		case info.Total > 0: // df(1) leaves out the others, too
			filesystems = append(filesystems, map[string]any(filesystem(m, info)))
		}
	}
	value := diagnostics.Value{"filesystems": filesystems}
	if len(missing) > 0 {
		return value, cannotTell(diagnostics.Truncated, "no answer from %s", strings.Join(missing, ", "))
	}
	return value, nil
}

// notAbsent is for what every Linux server has: when it is not there, nothing
// is proved but that we are somewhere odd.
func notAbsent(err error) error {
	if isStatus(err, diagnostics.Absent) {
		return cannotTell(diagnostics.Failed, "%v", err)
	}
	return err
}

// parseSizes adds the records of statfsFormat to sizes, by path. A record that
// was cut or is malformed is left out.
func parseSizes(data []byte, sizes map[string]remote.FSInfo) {
	for {
		record, rest, whole := bytes.Cut(data, []byte{0})
		if !whole {
			return
		}
		data = rest
		parts := strings.SplitN(string(record), " ", 7)
		if len(parts) < 7 {
			continue
		}
		var n [6]uint64
		malformed := false
		for i := range n {
			var err error
			n[i], err = strconv.ParseUint(parts[i], 10, 64)
			malformed = malformed || err != nil
		}
		if malformed {
			continue
		}
		sizes[parts[6]] = remote.FSInfo{
			Total: times(n[0], n[3]), Free: times(n[1], n[3]), Available: times(n[2], n[3]),
			Inodes: n[4], InodesFree: n[5],
		}
	}
}

// filesystem is a mount with its sizes, as df(1) counts.
func filesystem(m mount, info remote.FSInfo) diagnostics.Value {
	used, reserved := info.Total-min(info.Free, info.Total), info.Free-min(info.Available, info.Free)
	return diagnostics.Value{
		"mount": m.point, "device": m.source, "type": m.fstype,
		"size": toInt(info.Total), "used": toInt(used), "available": toInt(info.Available), "reserved": toInt(reserved),
		"used_percent": percent(used, used+info.Available),
		"inodes":       toInt(info.Inodes), "inodes_free": toInt(info.InodesFree),
		"inodes_used_percent": percent(info.Inodes-min(info.InodesFree, info.Inodes), info.Inodes),
		"read_only":           m.readOnly,
	}
}

func diskUsage() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:        "disk.usage",
			Title:       "Space and inodes of one file system",
			Doc:         "mountinfo and statfs(2) of the file system that holds the path, links followed. Absent when there is no such path.",
			Inputs:      mountInput("a mount point, or any path on the file system"),
			Outputs:     filesystemFields(),
			CostSeconds: 0.05,
		},
		read:  readUsage,
		parse: parseUsage,
	}
}

func readUsage(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
	if err := checkPath(argMount, args[argMount]); err != nil {
		return err
	}
	rec.File(ctx, rawMounts, mountinfoPath, maxMountinfoBytes)
	if resolve(ctx, rec, args[argMount]) != "" {
		rec.Statfs(ctx, rawSize, args[argMount])
	}
	return nil
}

// resolve reads where a path leads to, and returns that, or "" when it leads nowhere.
func resolve(ctx context.Context, rec *diagnostics.Recorder, path string) string {
	if raw := rec.Stat(ctx, rawPath, path); raw.Status != diagnostics.OK {
		return ""
	}
	target, _ := realPath(rec.Run(ctx, rawReal, command("readlink", "-e", "-z", "--", path)))
	return target
}

// realPath is what readlink -z printed, when that is one whole clean path.
func realPath(raw diagnostics.Raw) (string, bool) {
	path, ended := strings.CutSuffix(string(raw.Data), "\x00")
	if raw.Status != diagnostics.OK || raw.ExitCode != 0 || !ended || checkPath("", path) != nil {
		return "", false
	}
	return path, true
}

// resolved is what resolve read. Absent only when the path itself is not there.
func (in readings) resolved() (string, error) {
	if _, err := in.info(rawPath); err != nil {
		return "", err
	}
	if _, err := in.output(rawReal); err != nil {
		return "", err
	}
	raw, _ := in.raw(rawReal)
	path, ok := realPath(raw)
	if !ok {
		return "", cannotTell(diagnostics.Failed, "%s: no path was printed", rawReal)
	}
	return path, nil
}

func parseUsage(in readings) (diagnostics.Value, error) {
	path, err := in.resolved()
	if err != nil {
		return nil, err
	}
	raw, err := in.whole(rawMounts)
	if err != nil {
		return nil, notAbsent(err)
	}
	mounts, err := parseMounts(raw.Data)
	if err != nil {
		return nil, err
	}
	m, ok := growTree(mounts).holding(path)
	if !ok {
		return nil, cannotTell(diagnostics.Failed, "no mount holds %s", path)
	}
	var info remote.FSInfo
	if err := in.decode(rawSize, &info); err != nil {
		return nil, notAbsent(err)
	}
	return filesystem(m, info), nil
}
