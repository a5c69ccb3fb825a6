package linux

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
)

// changesScript prints the last changes of packages; the log has a line for
// each small step as well.
const changesScript = `grep -aE '^[0-9: -]+ (install|upgrade|remove|purge) ' -- /var/log/dpkg.log | tail -n 200; echo end; tail -n 400 -- /var/log/apt/history.log 2>/dev/null; echo end`

const (
	rawChanges  = "changes"
	rawZone     = "zone"
	maxChanges  = 50
	maxRuns     = 10
	rawDpkgLog  = "dpkg_log"
	maxRunNames = 50
)

func packageChanges() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "package.changes",
			Title: "Which packages were changed lately",
			Doc: "The ends of /var/log/dpkg.log and /var/log/apt/history.log. They have local times without a zone, which are read in the zone of the host now: " +
				"an hour may be wrong around the change to summer time. What is in rotated logs is not seen. Absent where dpkg is not used.",
			Outputs: []expr.Field{
				list("changes", "at most 50, newest first",
					timestamp("at", "when it began"),
					str("deed", "install, upgrade, remove, purge"),
					str("package", "name, without the architecture"),
					str("from", "version before; \"\" when it was not there"),
					str("to", "version after; \"\" when it went")),
				list("runs", "at most 10 of apt, newest first",
					timestamp("started_at", "when it began"),
					timestamp("ended_at", "when it ended"),
					str("command", "how it was started"),
					boolean("unattended", "by unattended-upgrades"),
					list("packages", "at most 50 that it upgraded or installed, without the architecture")),
			},
			CostSeconds: 0.05,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			if rec.Stat(ctx, rawDpkgLog, "/var/log/dpkg.log").Status == diagnostics.Absent {
				return nil
			}
			rec.Run(ctx, rawChanges, command("sh", "-c", changesScript))
			rec.Run(ctx, rawZone, remote.Command{ // without TZ: the zone of the host is what is asked for
				Argv: []string{"date", "+%z"}, Env: map[string]string{"LC_ALL": "C"}, Effect: remote.Read, Timeout: commandTimeout,
			})
			return nil
		},
		parse: parsePackageChanges,
	}
}

func parsePackageChanges(in readings) (diagnostics.Value, error) {
	if _, err := in.info(rawDpkgLog); err != nil {
		return nil, err
	}
	data, err := in.output(rawChanges)
	if err != nil {
		return nil, err
	}
	offset, err := in.output(rawZone)
	if err != nil {
		return nil, err
	}
	zoned, err := time.Parse("-0700", strings.TrimSpace(string(offset)))
	if err != nil {
		return nil, cannotTell(diagnostics.Failed, "%s is not understood", rawZone)
	}
	log, history, parted := strings.Cut("\n"+string(data), "\nend\n")
	history, whole := strings.CutSuffix("\n"+history, "\nend\n")
	if !parted || !whole {
		return nil, cannotTell(diagnostics.Failed, "%s: the output has not the form of this host's usual tools", rawChanges)
	}
	return diagnostics.Value{"changes": dpkgChanges(log, zoned.Location()), "runs": aptRuns(history, zoned.Location())}, nil
}

// dpkgChanges reads "2026-11-22 01:53:56 upgrade sudo:amd64 1.9.13p3-1 1.9.13p3-1+deb12u4".
func dpkgChanges(log string, zone *time.Location) []any {
	changes := []any{}
	for line := range strings.SplitSeq(log, "\n") {
		f := strings.Fields(line)
		if len(f) != 6 {
			continue
		}
		at, err := time.ParseInLocation(time.DateTime, f[0]+" "+f[1], zone)
		if err != nil {
			continue
		}
		name, _, _ := strings.Cut(f[3], ":")
		version := func(text string) string {
			return clip(strings.TrimSuffix(strings.TrimPrefix(text, "<none>"), "<none>"), maxCommand)
		}
		changes = append(changes, map[string]any{
			"at": at.UTC(), "deed": f[2], "package": clip(name, maxCommand), "from": version(f[4]), "to": version(f[5]),
		})
	}
	slices.Reverse(changes)
	return changes[:min(len(changes), maxChanges)]
}

// aptRuns reads the paragraphs of history.log. One without an end was cut off,
// or still runs, and is left out.
func aptRuns(history string, zone *time.Location) []any {
	runs := []any{}
	for paragraph := range strings.SplitSeq(history, "\n\n") {
		p := map[string]string{}
		for line := range strings.SplitSeq(paragraph, "\n") {
			if key, value, ok := strings.Cut(line, ": "); ok {
				p[key] = value
			}
		}
		started, err1 := aptTime(p["Start-Date"], zone)
		ended, err2 := aptTime(p["End-Date"], zone)
		if err1 != nil || err2 != nil {
			continue
		}
		runs = append(runs, map[string]any{
			"started_at": started, "ended_at": ended, "command": clip(p["Commandline"], maxCommand),
			"unattended": strings.Contains(p["Commandline"], "unattended-upgrade"),
			"packages":   firstOf(slices.Concat(aptNames(p["Upgrade"]), aptNames(p["Install"])), maxRunNames),
		})
	}
	slices.Reverse(runs)
	return runs[:min(len(runs), maxRuns)]
}

// aptTime reads "2026-11-22  01:53:56", with two spaces.
func aptTime(text string, zone *time.Location) (time.Time, error) {
	at, err := time.ParseInLocation(time.DateTime, strings.Join(strings.Fields(text), " "), zone)
	return at.UTC(), err
}

// aptNames reads "libc6:amd64 (2.36-9, 2.36-9+deb12u1), sudo:amd64 (1.9)".
func aptNames(list string) []any {
	var names []any
	for one := range strings.SplitSeq(list, "), ") {
		name, _, ok := strings.Cut(one, ":")
		if ok && name != "" && len(names) < maxRunNames {
			names = append(names, clip(name, maxCommand))
		}
	}
	return names
}
