package linux

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

// declaredScript prints the files of sysctl.d(5) and sysctl.conf(5), liveScript
// the values of the kernel for the keys that are in them.
const (
	declaredScript = `grep -asHE '^[^#;]' /usr/lib/sysctl.d/*.conf /lib/sysctl.d/*.conf /usr/local/lib/sysctl.d/*.conf /run/sysctl.d/*.conf /etc/sysctl.d/*.conf /etc/sysctl.conf; echo end`
	liveScript     = `grep -asH '' -- "$@"; echo end`
)

const (
	maxKeys     = 200
	rawDeclared = "declared"
	rawLive     = "live"
	rawCulprit  = "file"
)

func kernelSettings() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "kernel.settings",
			Title: "Settings of the kernel that are not as declared, or choke the host",
			Doc: "sysctl.d(5) and sysctl.conf(5) against /proc/sys, in the order in which they are applied; patterns and comments are left out. " +
				"A service may set a value on purpose, as Docker and Kubernetes do with net.ipv4.ip_forward.",
			Outputs: []expr.Field{
				list("drift", "at most 20 keys whose value is another than the declared one",
					str("key", "net.core.somaxconn"), str("declared", "value of the file"), str("live", "value of the kernel"), str("file", "where it is declared")),
				list("choking", "keys whose value leaves a host almost nothing, of those that are declared",
					str("key", "net.ipv4.ip_local_port_range"), str("live", "value of the kernel"), str("file", "where it is declared"), str("why", "what it leaves")),
				optional(timestamp("changed_at", "last change of the file of the first that chokes, or drifted; missing when there is none")),
			},
			CostSeconds: 0.05,
		},
		read:  readKernelSettings,
		parse: parseKernelSettings,
	}
}

// declared is a setting of a file.
type declared struct{ key, value, file string }

func (d declared) path() string { return "/proc/sys/" + d.key }

func readKernelSettings(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
	raw := rec.Run(ctx, rawDeclared, command("sh", "-c", declaredScript))
	settings, err := parseDeclared(raw.Data)
	if err != nil || len(settings) == 0 {
		return nil //nolint:nilerr // Parse says so
	}
	argv := []string{"sh", "-c", liveScript, "sh"}
	for _, d := range settings {
		argv = append(argv, d.path())
	}
	live, err := parseLive(rec.Run(ctx, rawLive, command(argv...)).Data)
	if file := culprit(settings, live); err == nil && file != "" {
		rec.Stat(ctx, rawCulprit, file)
	}
	return nil
}

// parseDeclared returns the setting of each key that counts: files of one name
// replace each other (/etc before /run before /usr/lib), names are applied in
// order, sysctl.conf last.
func parseDeclared(data []byte) ([]declared, error) {
	text, whole := strings.CutSuffix(string(data), "end\n")
	if !whole {
		return nil, cannotTell(diagnostics.Failed, "%s: the output has not the form of this host's usual tools", rawDeclared)
	}
	lines := grepLines([]byte(text), '\n')
	from := map[string]string{}
	for _, l := range lines {
		if name := path.Base(l.file); rankOf(l.file) >= rankOf(from[name]) {
			from[name] = l.file
		}
	}
	byKey := map[string]declared{}
	order := func(file string) string { return strings.Replace(path.Base(file), "sysctl.conf", "\xff", 1) }
	for _, l := range lines {
		name, value, ok := strings.Cut(l.text, "=")
		key := sysctlKey(name)
		if !ok || key == "" || from[path.Base(l.file)] != l.file {
			continue
		}
		d := declared{key: key, value: strings.Join(strings.Fields(value), " "), file: l.file}
		if old, has := byKey[key]; !has || order(old.file) <= order(d.file) {
			byKey[key] = d
		}
	}
	keys := slices.Sorted(maps.Keys(byKey))
	settings := make([]declared, 0, len(keys))
	for _, key := range keys[:min(len(keys), maxKeys)] {
		settings = append(settings, byKey[key])
	}
	return settings, nil
}

// rankOf says which of two files of one name counts.
func rankOf(file string) int {
	return 1 + slices.Index([]string{"/lib/sysctl.d", "/usr/lib/sysctl.d", "/usr/local/lib/sysctl.d", "/run/sysctl.d", "/etc/sysctl.d"}, path.Dir(file))
}

// sysctlKey returns the path below /proc/sys of "-net.ipv4.conf.all.rp_filter"
// or "net/ipv4/conf/all/rp_filter"; "" for a pattern or what leads elsewhere. A
// key with a slash has its dots as they are, sysctl.d(5).
func sysctlKey(name string) string {
	key := strings.TrimPrefix(strings.TrimSpace(name), "-")
	dot, slash := strings.IndexByte(key, '.'), strings.IndexByte(key, '/')
	if dot >= 0 && (slash < 0 || dot < slash) {
		key = strings.NewReplacer(".", "/", "/", ".").Replace(key)
	}
	odd := strings.ContainsAny(key, "*?[:\x00 \t'\"") || path.Clean("/"+key) != "/"+key
	if key == "" || odd || len(key) > maxStatBytes {
		return ""
	}
	return key
}

// parseLive reads the values of the kernel, of a setting with several lines the
// first.
func parseLive(data []byte) (map[string]string, error) {
	text, whole := strings.CutSuffix(string(data), "end\n")
	if !whole {
		return nil, cannotTell(diagnostics.Failed, "%s: the output has not the form of this host's usual tools", rawLive)
	}
	live := map[string]string{}
	for _, l := range grepLines([]byte(text), '\n') {
		if _, has := live[l.file]; !has {
			live[l.file] = strings.Join(strings.Fields(l.text), " ")
		}
	}
	return live, nil
}

// chokes says what a value leaves of what a host needs; "" when that is enough.
// The bounds are far below every default of the kernel (ip-sysctl, fs and
// kernel of its documentation), so that nobody sets them without knowing.
func chokes(key, value string) string {
	n := numbers(strings.Fields(value), 10)
	least := map[string]uint64{"kernel/pid_max": 4096, "kernel/threads-max": 2048, "fs/file-max": 8192, "net/core/somaxconn": 32, "net/ipv4/tcp_max_syn_backlog": 32}
	switch {
	case key == "net/ipv4/ip_local_port_range" && len(n) == 2 && counted(n[0], n[1]) < 1000:
		return fmt.Sprintf("only %d local ports for all connections to one address", counted(n[0], n[1])+1)
	case len(n) == 1 && n[0] < least[key]:
		return "only " + strconv.FormatUint(n[0], 10)
	}
	return ""
}

func (d declared) drifted(live map[string]string) bool {
	now, readable := live[d.path()]
	return readable && now != d.value && sysctlNumber(now) != sysctlNumber(d.value)
}

// sysctlNumber is a value as the kernel would show it: 0x10 is 16.
func sysctlNumber(text string) string {
	if n, err := strconv.ParseInt(text, 0, 64); err == nil {
		return strconv.FormatInt(n, 10)
	}
	return text
}

// culprit is the file of the first setting that chokes, or else drifted.
func culprit(settings []declared, live map[string]string) string {
	drifted := ""
	for _, d := range settings {
		if now, ok := live[d.path()]; ok && chokes(d.key, now) != "" {
			return d.file
		}
		if drifted == "" && d.drifted(live) {
			drifted = d.file
		}
	}
	return drifted
}

func parseKernelSettings(in readings) (diagnostics.Value, error) {
	data, err := in.output(rawDeclared)
	if err != nil {
		return nil, err
	}
	settings, err := parseDeclared(data)
	if err != nil {
		return nil, err
	}
	value := diagnostics.Value{"drift": []any{}, "choking": []any{}}
	if len(settings) == 0 {
		return value, nil
	}
	data, err = in.output(rawLive)
	if err != nil {
		return nil, err
	}
	live, err := parseLive(data)
	if err != nil {
		return nil, err
	}
	var drift, choking []any
	for _, d := range settings {
		now := live[d.path()]
		one := map[string]any{"key": strings.ReplaceAll(d.key, "/", "."), "live": clip(now, maxCommand), "file": clip(d.file, maxPathBytes)}
		if d.drifted(live) {
			drift = append(drift, with(maps.Clone(one), "declared", clip(d.value, maxCommand)))
		}
		if why := chokes(d.key, now); now != "" && why != "" {
			choking = append(choking, with(one, "why", why))
		}
	}
	value["drift"], value["choking"] = firstOf(drift, maxNamed), firstOf(choking, maxNamed)
	if culprit(settings, live) != "" {
		info, err := in.info(rawCulprit)
		if err != nil {
			return nil, notAbsent(err)
		}
		value["changed_at"] = info.ModifiedAt.UTC()
	}
	return value, nil
}
