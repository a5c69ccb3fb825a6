package intake

import (
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/intake/normal"
)

// Hints bounds.
const (
	maxHintBytes = 1024
	maxUnitBytes = 255 // systemd.unit(5)
)

// Hints are what diagnosis may read of a signal's labels: alertname, mount,
// unit, url and port, each only when it looks like one. They are hostile text
// still, one line each, bounded, without control characters.
func Hints(sig incident.Signal) map[string]string {
	out := map[string]string{}
	put := func(name, value string, fits func(string) bool) {
		value = strings.TrimSpace(value)
		if value == "" || len(value) > maxHintBytes || out[name] != "" || normal.Line(value, maxHintBytes) != value || !fits(value) {
			return
		}
		out[name] = value
	}
	if name := normal.Line(sig.Labels["alertname"], maxHintBytes); name != "" {
		out["alertname"] = name
	}
	for _, label := range []string{"mountpoint", "mount", "path"} {
		put("mount", sig.Labels[label], func(s string) bool { return strings.HasPrefix(s, "/") })
	}
	for _, label := range []string{"unit", "systemd_unit", "name", "service"} {
		put("unit", sig.Labels[label], isUnit)
	}
	for _, label := range []string{"url", "target", "instance"} {
		put("url", sig.Labels[label], normal.IsWebAddress)
	}
	put("port", sig.Labels["port"], isPort)
	return out
}

// TruncatedAlerts is how many alerts the source left out of the body that the
// signal came in.
func TruncatedAlerts(sig incident.Signal) int {
	n, err := strconv.ParseUint(sig.Annotations[normal.TruncatedAnnotation], 10, 31)
	if err != nil {
		return 0 // there is none, or a user wrote something else there
	}
	return int(n)
}

// isUnit follows systemd.unit(5): a name of letters, digits and :-_.\ with at
// most one instance after @, and one of the known suffixes.
func isUnit(s string) bool {
	dot := strings.LastIndexByte(s, '.')
	if dot < 1 || len(s) > maxUnitBytes || strings.Count(s, "@") > 1 || s[0] == '@' {
		return false
	}
	switch s[dot+1:] {
	case "service", "socket", "device", "mount", "automount", "swap", "target", "path", "timer", "slice", "scope":
	default:
		return false
	}
	for i := range dot {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune(`:-_.\@`, rune(c)) {
			return false
		}
	}
	return true
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && s == strconv.FormatUint(n, 10)
}
