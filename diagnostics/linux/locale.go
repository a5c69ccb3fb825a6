package linux

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
)

// collationScript prints the last complaint of PostgreSQL about collations in
// the end of the log that it is given.
const collationScript = `tail -c 262144 -- "$1" | grep -a 'collation version mismatch' | tail -n 1; echo end`

const (
	rawLocaltime   = "localtime"
	rawTimezone    = "timezone"
	rawLocaleConf  = "locale_conf"
	rawLocaleOld   = "default_locale"
	rawLocales     = "locales"
	rawPostgresDir = "postgres_logs"
	rawCollation   = "collation"
	postgresLogs   = "/var/log/postgresql"
	zoneinfo       = "/share/zoneinfo/"
)

func hostLocale() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "host.locale",
			Title: "Time zone and language of the host, and whether PostgreSQL complains of its collations",
			Doc: "/etc/localtime and /etc/timezone, LANG of /etc/locale.conf or /etc/default/locale against locale -a, and the end of the newest log in /var/log/postgresql " +
				"(\"collation version mismatch\", since PostgreSQL 10).",
			Outputs: []expr.Field{
				str("zone", "what /etc/localtime leads to: Europe/Berlin; UTC when it is not there; \"\" when it leads elsewhere"),
				str("declared_zone", "what /etc/timezone says; \"\" when it is not there"),
				boolean("zones_differ", "both are there and name different zones"),
				str("language", "LANG of the host; \"\" when none is set"),
				boolean("language_missing", "it is set, and the host does not have it"),
				str("collation_complaint", "the newest line of PostgreSQL that says so; \"\" when there is none"),
			},
			CostSeconds: 0.03,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			rec.Stat(ctx, rawLocaltime, "/etc/localtime")
			rec.File(ctx, rawTimezone, "/etc/timezone", maxStatBytes)
			rec.File(ctx, rawLocaleConf, "/etc/locale.conf", maxStatBytes)
			rec.File(ctx, rawLocaleOld, "/etc/default/locale", maxStatBytes)
			rec.Run(ctx, rawLocales, command("locale", "-a"))
			rec.Dir(ctx, rawPostgresDir, postgresLogs, maxUnitFiles)
			if file := newestLog(readings{raws: rec.Raws()}); file != "" {
				rec.Run(ctx, rawCollation, command("sh", "-c", collationScript, "sh", postgresLogs+"/"+file))
			}
			return nil
		},
		parse: parseLocale,
	}
}

// newestLog is the log of PostgreSQL that was written last.
func newestLog(in readings) string {
	logs, _ := in.entries(rawPostgresDir)
	logs = slices.DeleteFunc(logs, func(e remote.FileInfo) bool { return !e.Mode.IsRegular() || !strings.HasSuffix(e.Name, ".log") })
	if len(logs) == 0 {
		return ""
	}
	return slices.MaxFunc(logs, func(a, b remote.FileInfo) int { return a.ModifiedAt.Compare(b.ModifiedAt) }).Name
}

func parseLocale(in readings) (diagnostics.Value, error) {
	zone := "UTC"
	link, err := in.info(rawLocaltime)
	switch {
	case err == nil:
		_, zone, _ = strings.Cut(link.LinkTarget, zoneinfo)
	case !isStatus(err, diagnostics.Absent): // absent is UTC, localtime(5)
		return nil, err
	}
	declared, err := in.optionalFile(rawTimezone)
	if err != nil {
		return nil, err
	}
	declared = strings.TrimSpace(declared)
	value := diagnostics.Value{
		"zone": clip(zone, maxCommand), "declared_zone": clip(declared, maxCommand), "collation_complaint": "",
		"zones_differ": declared != "" && zone != "" && plainZone(declared) != plainZone(zone),
	}
	if err := in.addLanguage(value); err != nil {
		return nil, err
	}
	if _, err := in.entries(rawPostgresDir); err != nil {
		return nil, err
	}
	if newestLog(in) == "" {
		return value, nil
	}
	data, err := in.output(rawCollation)
	if err != nil {
		return nil, err
	}
	line, whole := bytes.CutSuffix(data, []byte("end\n"))
	if !whole {
		return nil, cannotTell(diagnostics.Failed, "%s: the output has not the form of this host's usual tools", rawCollation)
	}
	value["collation_complaint"] = clip(strings.TrimSpace(string(line)), maxLineBytes)
	return value, nil
}

// plainZone is a zone without its folder: Etc/UTC is UTC.
func plainZone(zone string) string { return strings.TrimPrefix(zone, "Etc/") }

// optionalFile is a file that need not be there.
func (in readings) optionalFile(name string) (string, error) {
	raw, err := in.whole(name)
	if isStatus(err, diagnostics.Absent) {
		return "", nil
	}
	return string(raw.Data), err
}

// addLanguage compares LANG with what locale -a lists, which writes en_US.utf8
// for en_US.UTF-8.
func (in readings) addLanguage(value diagnostics.Value) error {
	conf, err := in.optionalFile(rawLocaleConf)
	if err != nil {
		return err
	}
	old, err := in.optionalFile(rawLocaleOld)
	if err != nil {
		return err
	}
	list, err := in.output(rawLocales)
	if err != nil {
		return err
	}
	language := ""
	for line := range strings.SplitSeq(old+"\n"+conf, "\n") {
		if lang, ok := strings.CutPrefix(strings.TrimSpace(line), "LANG="); ok {
			language = strings.Trim(lang, `"' `)
		}
	}
	plain := func(name string) string { return strings.ReplaceAll(strings.ToLower(name), "-", "") }
	have := strings.Fields(plain(string(list)))
	if !slices.Contains(have, "posix") { // every host has it
		return cannotTell(diagnostics.Failed, "%s: it does not list what every host has", rawLocales)
	}
	value["language"] = clip(language, maxCommand)
	value["language_missing"] = language != "" && !slices.Contains(have, plain(language)) && plain(language) != "c.utf8"
	return nil
}
