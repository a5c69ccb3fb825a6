package normal

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/secondline-ops/secondline/controller/incident"
)

// TruncatedAnnotation says how many alerts of its group the source left out of
// the body that the signal came in: nothing is known about those.
const TruncatedAnnotation = "secondline_truncated_alerts"

// Bounds of what is kept of a signal; the raw body has the rest.
const (
	maxLabels     = 64
	maxNameBytes  = 200
	maxValueBytes = 4096
	maxTitleBytes = 500
	maxLinkBytes  = 2048
	maxLinks      = 8
	maxResources  = 16
)

// Labels reads an object of texts. Past 64 entries those with the later names
// are left out, and dropped says how many.
func Labels(v Value) (labels map[string]string, dropped int) {
	if v.kind != object {
		return map[string]string{}, 0
	}
	labels = make(map[string]string, min(len(v.items), maxLabels))
	if len(v.items) <= maxLabels {
		for _, m := range v.items {
			labels[Cut(m.name, maxNameBytes)] = Cut(m.value.text, maxValueBytes)
		}
		return labels, 0
	}
	all := v.sorted()
	for _, m := range all[:min(len(all), maxLabels)] {
		labels[Cut(m.name, maxNameBytes)] = Cut(m.value.text, maxValueBytes)
	}
	return labels, max(len(all)-maxLabels, 0)
}

// sorted is the members of an object by name, of equal names the last.
func (v Value) sorted() []member {
	if v.kind != object {
		return nil
	}
	all := slices.Clone(v.items)
	slices.Reverse(all)
	slices.SortStableFunc(all, func(a, b member) int { return strings.Compare(a.name, b.name) })
	return slices.CompactFunc(all, func(a, b member) bool { return a.name == b.name })
}

// IdentityOf is the SHA-256 of all labels in the order of their names, each
// name and value ended by the byte 0xff, which valid UTF-8 does not contain.
func IdentityOf(labels Value, more ...string) string {
	h := sha256.New()
	end := []byte{0xff}
	add := func(s string) {
		h.Write([]byte(s))
		h.Write(end)
	}
	for _, m := range labels.sorted() {
		add(m.name)
		add(m.value.text)
	}
	for _, s := range more {
		add(s)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Identity is the source's own key when it gave one of a sensible length, else
// its hash, so that two long ones stay two.
func Identity(key string) string {
	if len(key) <= maxNameBytes {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// Cut bounds s without breaking a character, and shows that it did.
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	const mark = "…"
	n := most - len(mark)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + mark
}

// Line is s as one bounded line: control characters and what changes the
// direction of text become spaces, runs of space one.
func Line(s string, most int) string {
	plain := strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
	if !plain {
		s = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
				return ' '
			}
			return r
		}, s)
	}
	if !plain || strings.Contains(s, "  ") || strings.HasPrefix(s, " ") || strings.HasSuffix(s, " ") {
		s = strings.Join(strings.Fields(s), " ")
	}
	return Cut(s, most)
}

// Title is s as a title.
func Title(s string) string { return Line(s, maxTitleBytes) }

// Links keeps the absolute http and https addresses, each once.
func Links(candidates ...string) []string {
	out := make([]string, 0, 2)
	for _, c := range candidates {
		if IsWebAddress(c) && len(out) < maxLinks && !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

// IsWebAddress reports whether s is an absolute http or https address with a
// host and without a user name, that can be shown as a link. It is far cheaper
// than url.Parse, which intake would call three times for each alert.
func IsWebAddress(s string) bool {
	if len(s) > maxLinkBytes {
		return false
	}
	rest, ok := strings.CutPrefix(s, "https://")
	if !ok {
		rest, ok = strings.CutPrefix(s, "http://")
	}
	if !ok {
		return false
	}
	for i := range len(rest) {
		if rest[i] <= ' ' || rest[i] == 0x7f || strings.IndexByte("\"<>\\^`{|}", rest[i]) >= 0 { // never in a URI (RFC 3986)
			return false
		}
	}
	host := rest
	if n := strings.IndexAny(rest, "/?#"); n >= 0 {
		host = rest[:n]
	}
	return host != "" && !strings.Contains(host, "@")
}

// Resources lists the candidates for what the signal is about: first the given
// ones, then those found in labels.
func Resources(labels map[string]string, given ...incident.Resource) []incident.Resource {
	out := make([]incident.Resource, 0, 2)
	add := func(r incident.Resource) {
		r.Value = strings.TrimSpace(r.Value)
		if r.Value == "" || len(out) == maxResources {
			return
		}
		for _, have := range out {
			if have.Value == r.Value {
				return
			}
		}
		out = append(out, r)
	}
	for _, r := range given {
		add(r)
	}
	for _, name := range [...]string{ // that say where something is, best first
		"instance", "node", "host", "hostname", "nodename", "host_name", "server", "machine", "target",
		"pod", "exported_instance", "vm", "service_instance", "fqdn", "address", "ip",
	} {
		if value, ok := labels[name]; ok {
			add(incident.Resource{Value: value, From: "labels." + name})
		}
	}
	return out
}

// Severity maps the raw word; what no table knows is unknown, never harmless.
func Severity(raw string) incident.Severity {
	switch strings.ToLower(strings.TrimSpace(raw)) {
	case "critical", "crit", "page", "fatal", "emergency", "emerg", "disaster", "panic", "blocker", "highest", "p1", "sev1":
		return incident.Critical
	case "high", "error", "err", "major", "alert", "severe", "p2", "sev2":
		return incident.High
	case "warning", "warn", "minor", "medium", "average", "moderate", "degraded", "p3", "sev3":
		return incident.Warning
	case "info", "information", "informational", "notice", "none", "ok", "normal", "low", "lowest", "debug", "p4", "p5", "sev4", "sev5":
		return incident.Info
	}
	return incident.SeverityUnknown
}

// State maps the raw word of an alert's state.
func State(raw string) incident.State {
	switch strings.ToLower(strings.TrimSpace(raw)) {
	case "firing", "alerting", "triggered", "trigger", "problem", "open", "down", "critical", "active", "fired", "alarm":
		return incident.Firing
	case "resolved", "ok", "resolve", "recovery", "recovered", "closed", "up", "inactive", "normal", "clear", "cleared":
		return incident.SourceSaysOK
	case "acknowledged", "acknowledge", "ack", "acknowledgement":
		return incident.Acknowledged
	case "suppressed", "silenced", "muted", "inhibited":
		return incident.Muted
	}
	return incident.StateUnknown
}
