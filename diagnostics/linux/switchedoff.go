package linux

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
)

const (
	rawUnitDir     = "units"
	rawRunlevel    = "runlevel"
	maxUnitFiles   = 2000
	maxSwitchedOff = 50
)

func unitSwitchedOff() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "unit.switched_off",
			Title: "Services that were masked or disabled by hand, and when",
			Doc: "Links to /dev/null in /etc/systemd/system (systemctl(1) mask), and on Debian the K links in /etc/rc3.d, which systemctl disable makes for a service " +
				"that has a script in /etc/init.d as well. No process is started. A service that was disabled otherwise is not seen here; ask unit.settings about it.",
			Outputs: []expr.Field{list("units", "at most 50, newest first",
				str("unit", "name"),
				str("how", "masked or disabled"),
				timestamp("at", "when"),
				integer("age_seconds", "how long ago, when it was read"))},
			CostSeconds: 0.02,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			rec.Dir(ctx, rawUnitDir, strings.TrimSuffix(systemUnitsPath, "/"), maxUnitFiles)
			rec.Dir(ctx, rawRunlevel, "/etc/rc3.d", maxUnitFiles)
			return nil
		},
		parse: parseSwitchedOff,
	}
}

// switchedOff is a unit that does not start any more.
type switchedOff struct {
	unit, how string
	at        time.Time
	age       time.Duration
}

func parseSwitchedOff(in readings) (diagnostics.Value, error) {
	masks, err := in.whole(rawUnitDir)
	if err != nil {
		return nil, err // absent: systemd is not used here
	}
	files, err := in.entries(rawUnitDir)
	if err != nil {
		return nil, err
	}
	links, err := in.entries(rawRunlevel) // not there on most
	if err != nil {
		return nil, err
	}
	var found []switchedOff
	note := func(name, how string, e remote.FileInfo) {
		if unit, err := unitName(name); err == nil {
			found = append(found, switchedOff{unit, how, e.ModifiedAt.UTC(), masks.At.Sub(e.ModifiedAt)})
		}
	}
	for _, e := range files {
		if e.LinkTarget == "/dev/null" && strings.Contains(e.Name, ".") {
			note(e.Name, "masked", e)
		}
	}
	for _, e := range links {
		if len(e.Name) > 3 && e.Name[0] == 'K' && e.LinkTarget != "" && numbers([]string{e.Name[1:3]}, 10) != nil {
			note(e.Name[3:]+".service", "disabled", e)
		}
	}
	slices.SortFunc(found, func(a, b switchedOff) int { return cmp.Or(b.at.Compare(a.at), cmp.Compare(a.unit, b.unit)) })
	units := []any{}
	for _, f := range found[:min(len(found), maxSwitchedOff)] {
		units = append(units, map[string]any{"unit": f.unit, "how": f.how, "at": f.at, "age_seconds": int64(f.age / time.Second)})
	}
	return diagnostics.Value{"units": units}, nil
}

func unitSockets() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "unit.sockets",
			Title: "Sockets of systemd that do not listen",
			Doc:   "systemctl show of all loaded sockets, see systemd.socket(5). One that is neither enabled nor named by another unit is not loaded once it stopped.",
			Outputs: []expr.Field{list("sockets", "at most 50 that are not active",
				str("socket", "name"),
				str("service", "what it starts; \"\" when that is one for each connection"),
				str("active_state", "inactive, failed"),
				str("result", "success, resources, service-start-limit-hit, trigger-limit-hit, ..."),
				str("file_state", "enabled, disabled, static, ..."),
				integer("port", "the first port; 0 when it has none"))},
			CostSeconds: 0.05,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			rec.Run(ctx, rawShow, command("systemctl", "show", "--no-pager", "-p", "Id,ActiveState,Result,UnitFileState,Triggers,Listen", "--", "*.socket"))
			return nil
		},
		parse: func(in readings) (diagnostics.Value, error) {
			data, err := in.output(rawShow)
			if err != nil {
				return nil, err
			}
			sockets := []any{}
			for block := range strings.SplitSeq(string(data), "\n\n") {
				one, err := socketOf(block)
				if err != nil {
					return nil, err
				}
				if one != nil && len(sockets) < maxSwitchedOff {
					sockets = append(sockets, one)
				}
			}
			if strings.TrimSpace(string(data)) == "" { // systemd has sockets of its own
				return nil, cannotTell(diagnostics.Failed, "show: not one socket")
			}
			return diagnostics.Value{"sockets": sockets}, nil
		},
	}
}

// socketOf reads the block of one socket; nil when it listens.
func socketOf(block string) (map[string]any, error) {
	blocks := properties([]byte(block))
	if len(blocks) == 0 {
		return nil, nil
	}
	p := blocks[0]
	if !strings.HasSuffix(p["Id"], ".socket") || p["ActiveState"] == "" {
		return nil, cannotTell(diagnostics.Failed, "show: a socket is not understood")
	}
	if p["ActiveState"] != "inactive" && p["ActiveState"] != "failed" {
		return nil, nil
	}
	service, _, _ := strings.Cut(p["Triggers"], " ")
	port := int64(0)
	for line := range strings.SplitSeq(block, "\n") {
		if n := listenPort(line); n > 0 && port == 0 {
			port = n
		}
	}
	return map[string]any{
		"socket": p["Id"], "service": service, "active_state": p["ActiveState"], "result": p["Result"], "file_state": p["UnitFileState"], "port": port,
	}, nil
}
