package linux

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

const (
	maxUpdates = 200 // that are named; all are counted
	rawUpgrade = "upgrade"
	// updatesTimeout is what apt takes on a slow host to read its lists.
	updatesTimeout = 30 * time.Second
)

func packageUpdates() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "package.updates",
			Title: "Packages of which there is a newer version",
			Doc: "apt-get --simulate upgrade, over the lists that the host has fetched last: it installs nothing, fetches nothing and takes no lock. " +
				"Only Debian's tools are spoken.",
			Outputs: []expr.Field{
				integer("pending", "packages that apt-get upgrade would bring to a newer version"),
				integer("security", "those of them that come from a security archive"),
				list("updates", "at most 200 of them",
					str("package", "name"), str("from", "version that is installed"), str("to", "version that would be"),
					boolean("security", "it comes from a security archive")),
			},
			CostSeconds: 1,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			cmd := command("apt-get", "--simulate", "--quiet", "-o", "Debug::NoLocking=true", "upgrade")
			cmd.Timeout = updatesTimeout
			rec.Run(ctx, rawUpgrade, cmd)
			return nil
		},
		parse: parsePackageUpdates,
	}
}

// parsePackageUpdates reads lines as
// "Inst libssl3 [3.0.15-1] (3.0.17-1 Debian-Security:12/stable-security [amd64])".
// A security archive is told by its label, as Debian's is, or by its suite, as
// Ubuntu's is (jammy-security). The sum that apt prints says whether they are all.
func parsePackageUpdates(in readings) (diagnostics.Value, error) {
	data, err := in.output(rawUpgrade)
	if err != nil {
		return nil, err
	}
	installs := regexp.MustCompile(`^Inst (\S+) (?:\[(\S+)\] )?\((\S+) ?([^()]*)\)`)
	sums := regexp.MustCompile(`(?m)^(\d+) upgraded, (\d+) newly installed, `).FindSubmatch(data)
	updates, pending, security := []any{}, int64(0), int64(0)
	for line := range strings.Lines(string(data)) {
		if !strings.HasPrefix(line, "Inst ") {
			continue
		}
		m := installs.FindStringSubmatch(line)
		if m == nil {
			return nil, cannotTell(diagnostics.Failed, "upgrade: a line is not understood")
		}
		fixes := strings.Contains(m[4], "-Security:") || strings.Contains(m[4], "-security")
		pending++
		if fixes {
			security++
		}
		if len(updates) < maxUpdates {
			updates = append(updates, map[string]any{"package": m[1], "from": m[2], "to": m[3], "security": fixes})
		}
	}
	if sums == nil || string(sums[1]) != strconv.FormatInt(pending, 10) || string(sums[2]) != "0" {
		return nil, cannotTell(diagnostics.Failed, "upgrade: not all that apt counts is there")
	}
	return diagnostics.Value{"pending": pending, "security": security, "updates": updates}, nil
}
