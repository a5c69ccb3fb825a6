package linux

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
)

// halfwayScript prints the packages that are neither installed nor away, see
// deb-pkg's status in dpkg(1). "Package:" is the line before "Status:".
const halfwayScript = `grep -aE -B1 '^Status: [a-z]+ ([a-z]+ (half-installed|half-configured|unpacked|triggers-awaited)|reinstreq [a-z-]+)$' /var/lib/dpkg/status; echo "end $?"`

const (
	rawHalfway    = "halfway"
	rawUpdates    = "updates"
	rawLock       = "lock"
	rawLocks      = "locks"
	rawHolderStat = "holder_stat"
	rawHolderArgs = "holder_cmdline"
	dpkgLockPath  = "/var/lib/dpkg/lock-frontend" // since dpkg 1.19 whoever works with packages takes it first
	maxLocksBytes = 1 << 20
)

func packageState() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "package.state",
			Title: "Packages whose installation was cut off, and who works with packages now",
			Doc:   "/var/lib/dpkg/status and updates, and in /proc/locks who holds /var/lib/dpkg/lock-frontend, see dpkg(1) --audit. Absent where dpkg is not used.",
			Outputs: []expr.Field{
				list("broken", "at most 50 packages",
					str("package", "name"),
					str("state", "half-installed, half-configured, unpacked, triggers-awaited")),
				boolean("interrupted", "dpkg was ended at work, and asks for dpkg --configure -a"),
				boolean("locked", "a process works with packages, or holds their lock"),
				integer("holder_pid", "that process; 0 when there is none, or it may not be known"),
				str("holder", "its arguments, cut at 500 bytes"),
				str("holder_state", "R, S, D, T, Z"),
				integer("holder_seconds", "how long it runs"),
			},
			CostSeconds: 0.05,
		},
		read:  readPackageState,
		parse: parsePackageState,
	}
}

func readPackageState(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
	if rec.Stat(ctx, "status", "/var/lib/dpkg/status").Status == diagnostics.Absent {
		return nil
	}
	rec.Run(ctx, rawHalfway, command("sh", "-c", halfwayScript))
	rec.Dir(ctx, rawUpdates, "/var/lib/dpkg/updates", maxUpdates)
	rec.Stat(ctx, rawLock, dpkgLockPath)
	rec.File(ctx, rawLocks, "/proc/locks", maxLocksBytes)
	in := readings{raws: rec.Raws()}
	if pid, _ := in.lockHolder(); pid > 0 {
		rec.File(ctx, rawHolderStat, fmt.Sprintf("/proc/%d/stat", pid), maxStatBytes)
		rec.File(ctx, rawHolderArgs, fmt.Sprintf("/proc/%d/cmdline", pid), maxPIDFileBytes)
		rec.File(ctx, rawUptime, "/proc/uptime", maxStatBytes)
	}
	return nil
}

// lockHolder returns the process that has the lock of dpkg; -1 when somebody
// has it who may not be known, 0 when nobody has it.
func (in readings) lockHolder() (int64, error) {
	file, err := in.info(rawLock)
	if isStatus(err, diagnostics.Absent) {
		return 0, nil // nobody ever took it
	}
	if err != nil {
		return 0, err
	}
	raw, err := in.whole(rawLocks)
	if err != nil {
		return 0, notAbsent(err)
	}
	// The device is MAJOR:MINOR in hex of dev_t, see makedev(3) and proc(5).
	major, minor := file.Dev>>8&0xfff|file.Dev>>32&^0xfff, file.Dev&0xff|file.Dev>>12&^0xff
	where := fmt.Sprintf("%02x:%02x:%d", major, minor&0xffffffff, file.Inode)
	if len(raw.Data) > 0 && raw.Data[len(raw.Data)-1] != '\n' {
		return 0, cannotTell(diagnostics.Truncated, "%s: the last line has no end", rawLocks)
	}
	for line := range strings.SplitSeq(string(raw.Data), "\n") {
		fields := strings.Fields(line) // "1: POSIX  ADVISORY  WRITE 1234 fe:00:10715474 0 EOF"
		if len(fields) < 8 || fields[1] == "->" || fields[5] != where {
			continue
		}
		if pid, err := strconv.ParseInt(fields[4], 10, 32); err == nil && pid > 0 {
			return pid, nil
		}
		return -1, nil
	}
	return 0, nil
}

func parsePackageState(in readings) (diagnostics.Value, error) {
	if _, err := in.info("status"); err != nil {
		return nil, err
	}
	data, err := in.output(rawHalfway)
	if err != nil {
		return nil, err
	}
	text, none := strings.CutSuffix(string(data), "end 1\n")
	if !none {
		if text, none = strings.CutSuffix(text, "end 0\n"); !none {
			return nil, cannotTell(diagnostics.Failed, "%s: the output has not the form of this host's usual tools", rawHalfway)
		}
	}
	var updates []remote.FileInfo
	if err := in.decode(rawUpdates, &updates); err != nil {
		return nil, notAbsent(err)
	}
	pid, err := in.lockHolder()
	if err != nil {
		return nil, err
	}
	value := diagnostics.Value{
		"broken": halfway(text), "interrupted": len(updates) > 0, "locked": pid != 0, "holder_pid": max(pid, 0), "holder": "", "holder_state": "", "holder_seconds": int64(0),
	}
	if pid <= 0 {
		return value, nil
	}
	return value, in.addHolder(value, pid)
}

// addHolder says who has the lock. One that ended meanwhile has it no more.
func (in readings) addHolder(value diagnostics.Value, pid int64) error {
	raw, err := in.whole(rawHolderStat)
	if isStatus(err, diagnostics.Absent) {
		value["locked"], value["holder_pid"] = false, int64(0)
		return nil
	}
	if err != nil {
		return err
	}
	argv, err := in.whole(rawHolderArgs)
	if err != nil {
		return notAbsent(err)
	}
	uptime, err := in.whole(rawUptime)
	if err != nil {
		return notAbsent(err)
	}
	stat, ok := parseStat(pid, string(raw.Data))
	up, err := firstNumber(string(uptime.Data))
	if !ok || err != nil {
		return cannotTell(diagnostics.Failed, "the holder of the lock is not understood")
	}
	value["holder"] = clip(strings.TrimSpace(strings.ReplaceAll(string(argv.Data), "\x00", " ")), maxCommand)
	value["holder_state"], value["holder_seconds"] = stat.state, max(int64(up)-toInt(stat.startedAt)/userHZ, 0)
	return nil
}

// halfway reads pairs of "Package: x" and "Status: install ok unpacked", parted
// by "--" where other packages lie between.
func halfway(text string) []any {
	const most = 50
	found, name := []any{}, ""
	for line := range strings.SplitSeq(text, "\n") {
		if p, ok := strings.CutPrefix(line, "Package: "); ok {
			name = p
		}
		status, ok := strings.CutPrefix(line, "Status: ")
		words := strings.Fields(status)
		if ok && len(words) == 3 && name != "" && len(found) < most {
			found = append(found, map[string]any{"package": clip(name, maxCommand), "state": words[2]})
			name = ""
		}
	}
	return found
}
