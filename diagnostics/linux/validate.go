package linux

import (
	"cmp"
	"context"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

// validatorScript starts the program with both streams in one, found also where
// an ordinary user's PATH does not look. The path is absolute, because sshd
// asks for that.
const validatorScript = `PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"; p=$(command -v "$1") || exit 127; shift; exec "$p" "$@" 2>&1`

const (
	rawValidator  = "validator"
	rawConfigFile = "config_file"
	rawUser       = "user"
)

// unitVerifier looks at the unit file, for units whose own configuration nobody
// here can check.
const unitVerifier = "systemd-analyze"

func configValidate() probe {
	locate := newLocator()
	return probe{
		spec: diagnostics.Spec{
			Name:  "config.validate",
			Title: "What a service's own validator says of its configuration",
			Doc: "The service's check mode, in the table of validate.go; for other units systemd-analyze verify of the unit file. " +
				"Programs that write or start something to check are not in the table; nginx -t opens its logs and sockets for a moment, as it does before each reload.",
			Inputs: unitInput(),
			Outputs: []expr.Field{
				boolean("known", "there is a validator for the unit's configuration, or its unit file is wrong; else valid says nothing about the configuration"),
				boolean("valid", "the validator that is named found nothing wrong"),
				str("message", "the line that says what is wrong, \"\" when it is valid"),
				str("file", "where, \"\" when it does not say"),
				integer("line", "and on which line, 0 when it does not say"),
				str("validator", "the command"),
				optional(timestamp("file_modified_at", "last change of that file; missing when it is not known")),
			},
			CostSeconds: 0.5,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
			unit, err := unitName(args[argUnit])
			if err != nil {
				return err
			}
			argv, _ := validator(unit)
			raw := rec.Run(ctx, rawValidator, command(append([]string{"sh", "-c", validatorScript, "sh"}, argv...)...))
			if raw.Status != diagnostics.OK || raw.ExitCode == 0 {
				return nil
			}
			rec.Run(ctx, rawUser, command("id", "-u"))
			if at := locate.find(string(raw.Data)); checkPath("", at.file) == nil && !holdsSecret(at.file) {
				rec.Stat(ctx, rawConfigFile, at.file)
			}
			return nil
		},
		parse: func(in readings) (diagnostics.Value, error) { return parseValidate(in, locate) },
	}
}

// validator returns the argv that checks the configuration of the unit, and
// whether that is the service's own; else it is the one for unit files.
func validator(unit string) (argv []string, own bool) {
	name := strings.TrimSuffix(unit, ".service")
	if base, _, instance := strings.Cut(name, "@"); instance {
		name = base
	}
	switch name {
	case "nginx":
		return []string{"nginx", "-t"}, true
	case "ssh", "sshd":
		return []string{"sshd", "-t"}, true
	case "apache2", "httpd":
		return []string{"apachectl", "configtest"}, true
	case "haproxy":
		return []string{"haproxy", "-c", "-f", "/etc/haproxy/haproxy.cfg"}, true
	case "named", "bind9":
		return []string{"named-checkconf"}, true
	case "sudo":
		return []string{"visudo", "-c"}, true
	case "postfix": // not "postfix check", which creates missing directories (postfix(1))
		return []string{"postconf", "-h", "myhostname"}, true
	case "prometheus":
		return []string{"promtool", "check", "config", "/etc/prometheus/prometheus.yml"}, true
	case "prometheus-alertmanager":
		return []string{"amtool", "check-config", "/etc/prometheus/alertmanager.yml"}, true
	case "unbound":
		return []string{"unbound-checkconf"}, true
	case "dnsmasq":
		return []string{"dnsmasq", "--test"}, true
	case "squid":
		return []string{"squid", "-k", "parse"}, true
	}
	if version, ok := strings.CutSuffix(strings.TrimPrefix(name, "php"), "-fpm"); ok && strings.HasPrefix(name, "php") &&
		strings.Trim(version, "0123456789.") == "" {
		return []string{"php-fpm" + version, "-t"}, true
	}
	return []string{unitVerifier, "verify", unit}, false
}

// location is the line in which a validator says where something is wrong.
type location struct {
	message, file string
	line          int64
}

// locator finds the place in what validators print.
type locator struct {
	fileFirst *regexp.Regexp // "FILE:12", "FILE: line 12", "FILE, line 12", "FILE line 12", also "near line 12"
	lineFirst *regexp.Regexp // "line 12 of FILE", "line 12 in FILE"
	fileOnly  *regexp.Regexp // "parsing YAML file FILE: …", "Checking 'FILE'", with
	lineOnly  *regexp.Regexp // "line 12: …" on a line of its own
}

func newLocator() locator {
	const file = `(/[^\s:,;"'\[\]()<>]+)`
	return locator{
		fileFirst: regexp.MustCompile(file + `(?::|:? line |, line |: [^:]* near line )(\d{1,9})\b`),
		lineFirst: regexp.MustCompile(`\bline (\d{1,9}) (?:of|in) ` + file),
		fileOnly:  regexp.MustCompile(`(?:YAML file |Checking ')` + file),
		lineOnly:  regexp.MustCompile(`(?m)^\s*line (\d{1,9}): .*`),
	}
}

// find returns the line that matters most: one with a place that is not a mere
// warning, else the first that is none, else the first.
func (l locator) find(output string) location {
	var first, plain string
	for text := range strings.SplitSeq(output, "\n") {
		text = strings.TrimSpace(text)
		at, ok := l.place(text)
		switch {
		case text == "":
			continue
		case isWarning(text):
		case ok:
			return at
		case plain == "":
			plain = text
		}
		first = cmp.Or(first, text)
	}
	if at, ok := l.apart(output); ok {
		return at
	}
	return location{message: cmp.Or(plain, first)}
}

// apart finds a place whose file and line stand on different lines, as the YAML
// readers of promtool and amtool print them.
func (l locator) apart(output string) (location, bool) {
	f, n := l.fileOnly.FindStringSubmatch(output), l.lineOnly.FindStringSubmatch(output)
	if f == nil || n == nil {
		return location{}, false
	}
	return location{message: strings.TrimSpace(n[0]), file: path.Clean(f[1]), line: lineNumber(n[1])}, true
}

func (l locator) place(text string) (location, bool) {
	if m := l.fileFirst.FindStringSubmatch(text); m != nil {
		return location{message: text, file: path.Clean(m[1]), line: lineNumber(m[2])}, true
	}
	if m := l.lineFirst.FindStringSubmatch(text); m != nil {
		return location{message: text, file: path.Clean(m[2]), line: lineNumber(m[1])}, true
	}
	return location{}, false
}

func isWarning(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, "warn") || strings.Contains(text, "ignoring") || strings.Contains(text, "[notice]")
}

func lineNumber(digits string) int64 {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func parseValidate(in readings, locate locator) (diagnostics.Value, error) {
	unit, err := unitName(in.args[argUnit])
	if err != nil {
		return nil, err
	}
	raw, err := in.ran(rawValidator)
	if err != nil {
		return nil, err
	}
	argv, own := validator(unit)
	value := diagnostics.Value{
		"known": own, "valid": true, "message": "", "file": "", "line": int64(0), "validator": strings.Join(argv, " "),
	}
	if raw.ExitCode == 0 {
		return value, nil
	}
	output := string(raw.Data)
	if !own {
		if strings.Contains(output, "Unit "+unit+" not found.") {
			return nil, cannotTell(diagnostics.Absent, "there is no unit %s", unit)
		}
		if output = aboutUnit(output, unit); output == "" {
			return nil, cannotTell(diagnostics.Failed, "%s speaks of other units only", unitVerifier)
		}
	}
	at := locate.find(output)
	if at.message == "" {
		return nil, cannotTell(diagnostics.Failed, "%s: exit status %d without a word", rawValidator, raw.ExitCode)
	}
	if in.lacksRights(at, output) {
		return nil, cannotTell(diagnostics.Denied, "%s", clip(at.message, maxLineBytes))
	}
	value["known"], value["valid"] = true, false
	value["message"], value["file"], value["line"] = clip(at.message, maxLineBytes), clip(at.file, maxPathBytes), at.line
	if info, err := in.info(rawConfigFile); err == nil && at.file != "" {
		value["file_modified_at"] = info.ModifiedAt.UTC()
	}
	return value, nil
}

// aboutUnit keeps the lines of systemd-analyze verify that are about the unit
// itself; it looks at all that the unit needs, too.
func aboutUnit(output, unit string) string {
	var about []string
	for line := range strings.SplitSeq(output, "\n") {
		if strings.HasPrefix(line, unit+":") || strings.HasPrefix(line, "Unit "+unit+" ") || strings.Contains(line, "/"+unit+":") ||
			strings.Contains(line, "/"+unit+".d/") {
			about = append(about, line)
		}
	}
	return strings.Join(about, "\n")
}

// lacksRights reports whether the validator may have failed because of who ran
// it: then it has said nothing about the configuration. For an ordinary user a
// key that may not be read looks like one that is not there.
func (in readings) lacksRights(at location, output string) bool {
	says := func(text string, words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(strings.ToLower(text), w) })
	}
	refusals := []string{"permission denied", "operation not permitted", "must be root"}
	if says(at.message, refusals...) || at.file == "" && says(output, refusals...) {
		return true
	}
	uid, err := in.output(rawUser)
	isRoot := err == nil && strings.TrimSpace(string(uid)) == "0"
	return !isRoot && says(output, "does not exist", "no such file", "not load", "unable to load", "cannot load", "no hostkeys")
}
