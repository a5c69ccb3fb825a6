package linux

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

const (
	maxQuotaReports = 12
	maxNearLimit    = 50
	nearQuota       = 95 // percent of a limit from which an account is named
)

func quotaReport() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "quota.report",
			Title: "Users, groups and projects that have used up their disk quota",
			Doc:   "repquota -n -O csv of quota-tools 4, for each file system that is mounted with quotas. No command is run where there is none.",
			Outputs: []expr.Field{
				integer("reports", "quotas that were looked at: file systems times user, group, project"),
				list("near", "accounts at 95 % of a limit and more, at most 50",
					str("mount", "file system"), str("kind", "user, group or project"), str("account", "as a number: #1000"),
					size("used", "bytes"), size("limit", "bytes that the account may not exceed; 0 without a limit"),
					integer("files", "how many"), integer("files_limit", "0 without a limit"),
					boolean("full", "not a block, or not a file, is left")),
			},
			CostSeconds: 0.02,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			raw := rec.File(ctx, rawMounts, mountinfoPath, maxMountinfoBytes)
			mounts, err := parseMounts(raw.Data)
			if raw.Status != diagnostics.OK || err != nil {
				return nil //nolint:nilerr // Parse says so
			}
			for i, q := range quotasOf(mounts) {
				rec.Run(ctx, quotaRaw(i), command("repquota", "-n", "-O", "csv", q.flag, "--", q.point))
			}
			return nil
		},
		parse: parseQuotaReport,
	}
}

func quotaRaw(i int) string { return fmt.Sprintf("repquota_%d", i) }

// quotaKind is one kind of quota on one file system.
type quotaKind struct{ point, kind, flag string }

// quotasOf reads the mount options: ext4(5), xfs(5).
func quotasOf(mounts []mount) []quotaKind {
	var found []quotaKind
	for _, m := range measurable(mounts) {
		for _, k := range []struct {
			kind, flag string
			options    []string
		}{
			{"user", "-u", []string{"usrquota", "quota", "uquota", "usrjquota=aquota.user"}},
			{"group", "-g", []string{"grpquota", "gquota", "grpjquota=aquota.group"}},
			{"project", "-P", []string{"prjquota", "pquota"}},
		} {
			for _, option := range k.options {
				if m.has(option) && len(found) < maxQuotaReports {
					found = append(found, quotaKind{m.point, k.kind, k.flag})
					break
				}
			}
		}
	}
	return found
}

func parseQuotaReport(in readings) (diagnostics.Value, error) {
	raw, err := in.whole(rawMounts)
	if err != nil {
		return nil, notAbsent(err)
	}
	mounts, err := parseMounts(raw.Data)
	if err != nil {
		return nil, err
	}
	near, quotas := []any{}, quotasOf(mounts)
	for i, q := range quotas {
		raw, err := in.ran(quotaRaw(i))
		if err != nil {
			return nil, err
		}
		text := string(raw.Data)
		switch {
		case strings.Contains(text, "Permission denied"), strings.Contains(text, "Operation not permitted"):
			return nil, cannotTell(diagnostics.Denied, "%s: %s", quotaRaw(i), raw.Error)
		case raw.ExitCode != 0:
			return nil, cannotTell(diagnostics.Failed, "%s: exit status %d: %s", quotaRaw(i), raw.ExitCode, raw.Error)
		}
		accounts, err := nearTheirQuota(q, text)
		if err != nil {
			return nil, err
		}
		near = append(near, accounts...)
	}
	return diagnostics.Value{"reports": int64(len(quotas)), "near": near[:min(len(near), maxNearLimit)]}, nil
}

// nearTheirQuota reads "User,BlockStatus,FileStatus,BlockUsed,BlockSoftLimit,
// BlockHardLimit,BlockGrace,FileUsed,FileSoftLimit,FileHardLimit,FileGrace" and
// the accounts below; blocks are KiB.
func nearTheirQuota(q quotaKind, text string) ([]any, error) {
	malformed := cannotTell(diagnostics.Failed, "repquota: the output is not understood")
	header, rest, _ := strings.Cut(text, "\n")
	columns := map[string]int{}
	for i, name := range strings.Split(header, ",") {
		columns[name] = i
	}
	var at [4]int
	for i, name := range []string{"BlockUsed", "BlockHardLimit", "FileUsed", "FileHardLimit"} {
		column, has := columns[name]
		if !has {
			return nil, malformed
		}
		at[i] = column
	}
	var near []any
	for line := range strings.SplitSeq(rest, "\n") {
		cells := strings.Split(line, ",")
		if line == "" {
			continue
		}
		var n [4]uint64
		for i, column := range at {
			if column >= len(cells) {
				return nil, malformed
			}
			var err error
			if n[i], err = strconv.ParseUint(cells[column], 10, 50); err != nil {
				return nil, malformed
			}
		}
		blocks, files := percent(n[0], n[1]), percent(n[2], n[3])
		if blocks < nearQuota && files < nearQuota {
			continue
		}
		// A block of 4 KiB, the usual one, does not fit into less.
		full := n[1] > 0 && n[0]+4 > n[1] || n[3] > 0 && n[2] >= n[3]
		near = append(near, map[string]any{
			"mount": q.point, "kind": q.kind, "account": clip(cells[0], maxCommand), "used": toInt(n[0] * 1024), "limit": toInt(n[1] * 1024),
			"files": toInt(n[2]), "files_limit": toInt(n[3]), "full": full,
		})
	}
	return near, nil
}
