package nginx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/plugins"
)

const (
	defaultLog = "/var/log/nginx/error.log"
	tailLines  = "2000"
	logTime    = "2006/01/02 15:04:05" // ngx_log, in the time zone of the server
	recent     = 15 * time.Minute
)

func errorsSpec() plugins.Spec {
	return plugins.Spec{
		Name: "errors", Title: "What nginx's error log said of late", CostSeconds: 0.1,
		Doc: "The last 2000 lines of the error log, those of the last 15 minutes counted by kind. The clock is asked on the target, since the log has no time zone.",
		Inputs: []plugins.Field{
			{Name: "path", Type: plugins.String, Doc: "the log; " + defaultLog + " when empty"},
		},
		Outputs: []plugins.Field{
			{Name: "lines", Type: plugins.Int, Doc: "of the last 15 minutes"},
			{Name: "refused", Type: plugins.Int, Doc: "an upstream refused the connection"},
			{Name: "timed_out", Type: plugins.Int, Doc: "an upstream did not answer in time"},
			{Name: "closed", Type: plugins.Int, Doc: "an upstream closed the connection too early"},
			{Name: "no_live_upstreams", Type: plugins.Int, Doc: "all servers of an upstream count as failed"},
			{Name: "worker_connections", Type: plugins.Int, Doc: "worker_connections are not enough"},
			{Name: "open_files", Type: plugins.Int, Doc: "too many open files"},
			{Name: "others", Type: plugins.Int, Doc: "error, crit, alert or emerg of another kind"},
			{Name: "upstreams", Type: plugins.List, Doc: "upstreams that failed, worst first, at most 50", Elem: []plugins.Field{
				{Name: "address", Type: plugins.String},
				{Name: "lines", Type: plugins.Int},
			}},
			{Name: "last", Type: plugins.String, Doc: "the newest line of error or worse"},
			{Name: "last_seconds_ago", Type: plugins.Int, Doc: "how old it is", Optional: true},
		},
	}
}

func readErrors(ctx context.Context, rec *plugins.Recorder, args plugins.Args) error {
	file := args["path"]
	if file == "" {
		file = defaultLog
	}
	if !path.IsAbs(file) || path.Clean(file) != file || !strings.Contains(path.Base(file), ".log") {
		return fmt.Errorf("path %q is not that of a log", file)
	}
	rec.Run(ctx, rawClock, plugins.Command{Argv: []string{"date", "+%Y/%m/%d %H:%M:%S"}, Timeout: commandTimeout, MaxOutputBytes: 1000})
	rec.Run(ctx, rawLog, plugins.Command{Argv: []string{"tail", "-n", tailLines, "--", file}, Timeout: commandTimeout, MaxOutputBytes: maxLogBytes})
	return nil
}

// kinds are words of nginx (ngx_event_connect.c, ngx_http_upstream.c,
// ngx_connection.c), which are never translated but for those of the system.
func kinds() []struct{ name, sign string } {
	return []struct{ name, sign string }{
		{"no_live_upstreams", "no live upstreams"},
		{"worker_connections", "worker_connections are not enough"},
		{"open_files", "(24: "}, // EMFILE
		{"refused", "(111: "},   // ECONNREFUSED
		{"timed_out", "(110: "}, // ETIMEDOUT
		{"closed", "upstream prematurely closed"},
	}
}

func parseErrors(raws []plugins.Raw) (plugins.Value, plugins.Status, error) {
	clock, status, err := readable(raws, rawClock, "date")
	if status != plugins.OK {
		return nil, status, err
	}
	now, err := time.Parse(logTime, strings.TrimSpace(string(clock.Data)))
	if err != nil {
		return nil, plugins.Failed, errors.New("date gave no time")
	}
	raw, ok := plugins.Find(raws, rawLog)
	switch {
	case !ok:
		return nil, plugins.Failed, errors.New("nothing was read")
	case raw.Status == plugins.Absent:
		return nil, plugins.Failed, errors.New("tail is not installed: " + raw.Error)
	case raw.Status != plugins.OK && raw.Status != plugins.Truncated:
		return nil, raw.Status, nil
	case raw.ExitCode != 0 && strings.Contains(raw.Error, "No such file"):
		return nil, plugins.Absent, nil
	case raw.ExitCode != 0 && strings.Contains(raw.Error, "Permission denied"):
		return nil, plugins.Denied, errors.New(firstLine(raw.Error))
	case raw.ExitCode != 0:
		return nil, plugins.Failed, errors.New(firstLine(raw.Error))
	case raw.Status == plugins.Truncated: // the newest lines are the ones that are cut
		return nil, plugins.Truncated, nil
	}
	return countErrors(strings.ToValidUTF8(string(raw.Data), "\uFFFD"), now), plugins.OK, nil
}

func countErrors(text string, now time.Time) plugins.Value {
	v := plugins.Value{"lines": 0, "others": 0, "last": ""}
	counts, upstreams, lines := map[string]int{}, map[string]int{}, 0
	shape := regexp.MustCompile(`^(\d{4}/\d{2}/\d{2} \d{2}:\d{2}:\d{2}) \[(error|crit|alert|emerg)\] `)
	address := regexp.MustCompile(`upstream: "((?:\w+://)?[^/"]{1,200})`)
	for line := range strings.Lines(text) {
		m := shape.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		at, err := time.Parse(logTime, m[1])
		if err != nil {
			continue
		}
		age := now.Sub(at)
		v["last"], v["last_seconds_ago"] = clip(strings.TrimSpace(line)), int64(max(0, age).Seconds())
		if age > recent {
			continue
		}
		lines++
		counts[kindOf(line)]++
		if m := address.FindStringSubmatch(line); m != nil && len(upstreams) < maxItems {
			upstreams[m[1]]++
		}
	}
	v["lines"], v["others"], v["upstreams"] = lines, counts["others"], worst(upstreams)
	for _, k := range kinds() {
		v[k.name] = counts[k.name]
	}
	return v
}

func kindOf(line string) string {
	for _, k := range kinds() {
		if strings.Contains(line, k.sign) {
			return k.name
		}
	}
	return "others"
}

func worst(upstreams map[string]int) []any {
	names := make([]string, 0, len(upstreams))
	for name := range upstreams {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(-cmp.Compare(upstreams[a], upstreams[b]), cmp.Compare(a, b)) })
	list := []any{}
	for _, name := range names[:min(len(names), 50)] {
		list = append(list, map[string]any{"address": name, "lines": upstreams[name]})
	}
	return list
}

func clip(s string) string {
	const most = 500
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
