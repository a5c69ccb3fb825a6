package nginx

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/plugins"
)

func configSpec() plugins.Spec {
	return plugins.Spec{
		Name: "config", Title: "nginx's configuration in its files", CostSeconds: 0.2,
		Doc: "nginx -T: whether it is taken, the limits of workers, upstreams, ports and logs. It is what a reload would bring into force; a running nginx may still have an older one.",
		Outputs: []plugins.Field{
			{Name: "valid", Type: plugins.Bool, Doc: "nginx takes it"},
			{Name: "error", Type: plugins.String, Doc: "what nginx says of it otherwise"},
			{Name: "worker_processes", Type: plugins.String, Doc: "a number or auto; 1 when it is not set"},
			{Name: "worker_connections", Type: plugins.Int, Doc: "of one worker, both sides together; 512 when it is not set"},
			{Name: "worker_rlimit_nofile", Type: plugins.Int, Doc: "0 when it is not set: the limit of the process"},
			{Name: "listens", Type: plugins.List, Doc: "addresses and ports, as written"},
			{Name: "error_logs", Type: plugins.List, Doc: "files, as written"},
			{Name: "status_locations", Type: plugins.Int, Doc: "places with stub_status"},
			{Name: "upstreams", Type: plugins.List, Elem: []plugins.Field{
				{Name: "name", Type: plugins.String},
				{Name: "servers", Type: plugins.List, Doc: "addresses without their parameters"},
				{Name: "down", Type: plugins.Int, Doc: "of them marked down"},
				{Name: "backup", Type: plugins.Int, Doc: "of them marked backup"},
			}},
			{Name: "proxied_to", Type: plugins.List, Doc: "arguments of proxy_pass, fastcgi_pass, uwsgi_pass and grpc_pass"},
		},
	}
}

func readConfig(ctx context.Context, rec *plugins.Recorder, _ plugins.Args) error {
	rec.Run(ctx, rawConfig, plugins.Command{Argv: []string{"nginx", "-T"}, Timeout: commandTimeout, MaxOutputBytes: maxConfigBytes})
	return nil
}

func parseConfig(raws []plugins.Raw) (plugins.Value, plugins.Status, error) {
	raw, status, err := readable(raws, rawConfig, "nginx")
	if status != plugins.OK {
		return nil, status, err
	}
	found := newSettings()
	if raw.ExitCode != 0 {
		if strings.Contains(raw.Error, "Permission denied") { // ours, and not that of nginx
			return nil, plugins.Denied, errors.New(firstLine(raw.Error))
		}
		if !strings.Contains(raw.Error, "[emerg]") && !strings.Contains(raw.Error, "test failed") {
			return nil, plugins.Failed, errors.New("nginx -T failed: " + firstLine(raw.Error))
		}
		return found.value(false, emergency(raw.Error)), plugins.OK, nil
	}
	if !strings.Contains(string(raw.Data), "# configuration file ") {
		return nil, plugins.Failed, errors.New("nginx -T printed no configuration")
	}
	found.walk(directives(strings.ToValidUTF8(string(raw.Data), "\uFFFD")))
	return found.value(true, ""), plugins.OK, nil
}

// emergency is the line of an error that says what is wrong.
func emergency(text string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, "[emerg]") {
			return firstLine(line)
		}
	}
	return firstLine(text)
}

// directive is a name with its arguments; one that opens a block, or closes it,
// says so.
type directive struct {
	words []string
	opens bool
}

// directives splits a configuration, without understanding it: words, quoted
// words, comments, ; { and }. A closing brace is a directive without words.
func directives(text string) []directive {
	token := regexp.MustCompile(`#[^\n]*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[;{}]|(?:\$\{\w*\}|\\.|[^\s;{}"'#\\])(?:\$\{\w*\}|\\.|[^\s;{}\\])*`)
	var out []directive
	var words []string
	for _, t := range token.FindAllString(text, -1) {
		switch {
		case strings.HasPrefix(t, "#"):
		case t == ";" || t == "{":
			if len(words) > 0 {
				out = append(out, directive{words, t == "{"})
			}
			words = nil
		case t == "}":
			out, words = append(out, directive{}), nil
		default:
			words = append(words, strings.Trim(t, `"'`))
		}
	}
	return out
}

// settings is what we look for in a configuration.
type settings struct {
	processes              string
	connections, files     int64
	listens, logs, passes  []string
	statusPlaces, upstream int // upstream is the index + 1 of the one whose block is open
	upstreams              []upstream
}

type upstream struct {
	name         string
	servers      []string
	down, backup int
}

// newSettings has nginx's own defaults (ngx_core_module).
func newSettings() *settings { return &settings{processes: "1", connections: 512} }

func (s *settings) walk(all []directive) {
	for _, d := range all {
		if len(d.words) == 0 {
			s.upstream = 0 // blocks inside of an upstream there are none
			continue
		}
		argument := ""
		if len(d.words) > 1 {
			argument = d.words[1]
		}
		switch d.words[0] {
		case "worker_processes":
			s.processes = argument
		case "worker_connections":
			s.connections = number(argument, s.connections)
		case "worker_rlimit_nofile":
			s.files = number(argument, 0)
		case "listen":
			s.listens = add(s.listens, argument)
		case "error_log":
			s.logs = add(s.logs, argument)
		case "stub_status":
			s.statusPlaces++
		case "proxy_pass", "fastcgi_pass", "uwsgi_pass", "grpc_pass":
			s.passes = add(s.passes, argument)
		case "upstream":
			if d.opens && len(s.upstreams) < maxItems {
				s.upstreams = append(s.upstreams, upstream{name: argument})
				s.upstream = len(s.upstreams)
			}
		case "server":
			if s.upstream > 0 && !d.opens {
				s.upstreams[s.upstream-1].add(d.words[1:])
			}
		}
	}
}

func (u *upstream) add(words []string) {
	if len(words) == 0 || len(u.servers) >= maxItems {
		return
	}
	u.servers = append(u.servers, words[0])
	for _, w := range words[1:] {
		switch w {
		case "down":
			u.down++
		case "backup":
			u.backup++
		}
	}
}

func add(list []string, one string) []string {
	if one == "" || len(list) >= maxItems || slices.Contains(list, one) {
		return list
	}
	return append(list, one)
}

func number(text string, otherwise int64) int64 {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	return otherwise
}

func (s *settings) value(valid bool, problem string) plugins.Value {
	ups := []any{}
	for _, u := range s.upstreams {
		ups = append(ups, map[string]any{"name": u.name, "servers": append([]string{}, u.servers...), "down": u.down, "backup": u.backup})
	}
	return plugins.Value{
		"valid": valid, "error": problem, "worker_processes": s.processes, "worker_connections": s.connections, "worker_rlimit_nofile": s.files,
		"listens": append([]string{}, s.listens...), "error_logs": append([]string{}, s.logs...), "status_locations": s.statusPlaces, "upstreams": ups,
		"proxied_to": append([]string{}, s.passes...),
	}
}
