package linux

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

const (
	recentLines     = "1000"
	maxRecentKinds  = 60
	maxRecentTarget = 300
)

// logTrouble is a kind of trouble with the words, in small letters, by which
// programs tell it. The first that fits a line counts, so the narrower go first.
type logTrouble struct {
	kind  string
	words []string
}

func logTroubles() []logTrouble {
	return []logTrouble{
		{"host_key_changed", []string{"remote host identification has changed", "host key verification failed", "host key mismatch"}},
		{"ssh_modes", []string{"authentication refused: bad ownership or modes"}},
		{"ssh_key_type", []string{"not in pubkeyacceptedalgorithms", "not in pubkeyacceptedkeytypes"}},
		{"password_expired", []string{"(password aged)", "authentication token is no longer valid", "authentication token expired"}},
		{"account_expired", []string{"account has expired", "user account has expired"}},
		{"account_locked", []string{"account is locked", "account locked due to"}},
		{"key_mismatch", []string{"key values mismatch", "private key does not match", "key does not match certificate"}},
		{"clock_skew", []string{"clock skew too great", "token used before issued", "certificate is not yet valid", "not yet valid: current time"}},
		{"certificate_expired", []string{"certificate has expired", "certificate expired", "sslv3 alert certificate expired"}},
		{"certificate_name", []string{"certificate is valid for", "certificate is not valid for", "no alternative certificate subject name matches", "hostname mismatch, certificate"}},
		{"certificate_authority", []string{
			"certificate signed by unknown authority", "unable to get local issuer certificate", "self-signed certificate", "self signed certificate",
			"unable to verify the first certificate", "alert unknown ca",
		}},
		{"mac_denied", []string{`apparmor="denied"`, "avc:  denied  {", "avc: denied {"}},
		{"name_temporary", []string{"temporary failure in name resolution", "server misbehaving", "eai_again", "name server cannot be used"}},
		{"name_unknown", []string{"no such host", "name or service not known", "could not resolve host", "enotfound", "host not found"}},
		{"no_local_port", []string{"cannot assign requested address", "eaddrnotavail", "address not available"}},
		{"no_route", []string{"no route to host", "network is unreachable", "host is unreachable", "ehostunreach", "enetunreach"}},
		{"refused", []string{"connection refused", "econnrefused"}},
		{"permission_denied", []string{"permission denied", "[errno 13]", "eacces"}},
		{"timed_out", []string{"connection timed out", "i/o timeout", "etimedout", "context deadline exceeded"}},
	}
}

// sudoTrouble are the words with which sudo tells that it takes nobody's word.
func sudoTrouble() []string {
	return []string{"syntax error", "parse error", "must be owned by uid 0", "is world writable", "bad permissions", "unable to open /etc/sudoers"}
}

func logRecent() probe {
	r := newComplaintReader()
	return probe{
		spec: diagnostics.Spec{
			Name:  "log.recent",
			Title: "What programs complained about in the last hour",
			Doc: "The newest 1000 lines of the journal, at most an hour old, of all units; only lines that tell one of the kinds. " +
				"The words are those of the C library, Go, Java, OpenSSL, OpenSSH, PAM and sudo, in English.",
			Outputs: []expr.Field{
				list("complaints", "one for each kind, unit and thing that it is about, newest first",
					str("kind", "permission_denied, refused, no_route, timed_out, no_local_port, name_temporary, name_unknown, certificate_expired, certificate_name, "+
						"certificate_authority, key_mismatch, clock_skew, host_key_changed, ssh_modes, ssh_key_type, password_expired, account_expired, account_locked, mac_denied, sudo"),
					str("unit", "that logged it; \"\" when it is in none"),
					str("program", "its name in the log"),
					str("path", "the first absolute path in the line; \"\" without one"),
					str("peer", "the first address:port in the line; \"\" without one"),
					str("user", "the user that the line is about; \"\" without one"),
					integer("count", "lines"),
					integer("age_seconds", "of the newest line"),
					str("message", "the newest line")),
				integer("covered_seconds", "how far back the lines reach"),
				boolean("complete", "they reach back the whole hour, or to the boot"),
			},
			CostSeconds: 0.1,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			cmd := command("sh", "-c", journalScript, "sh", "-b", "--no-pager", "-o", "json", "-n", recentLines, "--since=-1h",
				"--output-fields=MESSAGE,_SYSTEMD_UNIT,SYSLOG_IDENTIFIER")
			cmd.MaxOutputBytes = 8 << 20
			rec.Run(ctx, rawJournal, cmd)
			return nil
		},
		parse: r.parse,
	}
}

// complaintReader finds in a line what it is about.
type complaintReader struct {
	path, peer, user *regexp.Regexp
}

func newComplaintReader() complaintReader {
	return complaintReader{
		path: regexp.MustCompile(`(?:^|[\s"'=(:])(/[A-Za-z0-9._@%+/-]{1,255})`),
		peer: regexp.MustCompile(`\b(\d{1,3}(?:\.\d{1,3}){3}:\d{1,5})\b|(\[[0-9a-fA-F:]{2,45}\]:\d{1,5})\b`),
		user: regexp.MustCompile(`(?i)\b(?:for user|user|account) "?([a-z_][a-z0-9_.-]{0,31})\b`),
	}
}

// about is what a line is about, cleaned.
func (r complaintReader) about(message string) (file, peer, user string) {
	if m := r.path.FindStringSubmatch(message); m != nil {
		file = filePath("/", strings.TrimRight(m[1], ".:/"))
	}
	if m := r.peer.FindStringSubmatch(message); m != nil {
		peer = m[1] + m[2]
	}
	if m := r.user.FindStringSubmatch(message); m != nil && !slices.Contains([]string{"account", "has", "is", "from", "name"}, strings.ToLower(m[1])) {
		user = m[1]
	}
	return file, peer, user
}

// kindOf returns the kind that the line tells, "" for none.
func kindOf(program, message string) string {
	low := strings.ToLower(message)
	has := func(words []string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(low, w) })
	}
	if program == "sudo" && has(sudoTrouble()) {
		return "sudo"
	}
	for _, c := range logTroubles() {
		if has(c.words) {
			return c.kind
		}
	}
	return ""
}

// told is one kind of trouble about one thing.
type told struct {
	kind, unit, program, file, peer, user, message string
	count                                          int64
	age                                            time.Duration
}

func (r complaintReader) parse(in readings) (diagnostics.Value, error) {
	raw, err := in.ran(rawJournal)
	if err != nil {
		return nil, err
	}
	if _, err := parseEntries(raw.Data); err != nil { // says why not all is shown
		return nil, err
	}
	if raw.ExitCode != 0 {
		return nil, cannotTell(diagnostics.Failed, "journal: exit status %d: %s", raw.ExitCode, raw.Error)
	}
	found, lines, covered := map[[5]string]*told{}, 0, time.Duration(0)
	for line := range bytes.Lines(raw.Data) {
		e, ok := parseEntry(line)
		if !ok {
			continue
		}
		lines++
		age := max(0, raw.At.Sub(e.at))
		covered = max(covered, age)
		var fields map[string]json.RawMessage
		_ = json.Unmarshal(line, &fields) // parseEntry has read it
		r.take(found, told{
			unit: journalText(fields["_SYSTEMD_UNIT"]), program: journalText(fields["SYSLOG_IDENTIFIER"]),
			message: e.message, age: age,
		})
	}
	all := make([]*told, 0, len(found))
	for _, t := range found {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *told) int {
		return cmp.Or(cmp.Compare(a.age, b.age), cmp.Compare(a.kind, b.kind), cmp.Compare(a.unit, b.unit), cmp.Compare(a.file+a.peer+a.user, b.file+b.peer+b.user))
	})
	list := []any{}
	for _, t := range all[:min(len(all), maxRecentKinds)] {
		list = append(list, map[string]any{
			"kind": t.kind, "unit": clip(t.unit, maxRecentTarget), "program": clip(t.program, maxRecentTarget),
			"path": clip(t.file, maxPathBytes), "peer": t.peer, "user": t.user,
			"count": t.count, "age_seconds": int64(t.age.Seconds()), "message": clip(t.message, maxLineBytes),
		})
	}
	return diagnostics.Value{
		"complaints": list, "covered_seconds": int64(covered.Seconds()),
		"complete": lines < 1000 && len(all) <= maxRecentKinds,
	}, nil
}

// take counts the line with those of its kind about the same thing.
func (r complaintReader) take(found map[[5]string]*told, line told) {
	if line.kind = kindOf(line.program, line.message); line.kind == "" {
		return
	}
	line.file, line.peer, line.user = r.about(line.message)
	key := [5]string{line.kind, line.unit, line.file, line.peer, line.user}
	t := found[key]
	if t == nil {
		t = &told{age: line.age}
		found[key] = t
	}
	line.count, line.age = t.count+1, min(t.age, line.age)
	if line.age < t.age || t.message == "" {
		*t = line
		return
	}
	t.count = line.count
	if line.age == t.age {
		t.message = line.message
	}
}
