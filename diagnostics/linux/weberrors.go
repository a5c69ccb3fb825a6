package linux

import (
	"bytes"
	"cmp"
	"context"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
)

const (
	webLogTail  = 64 << 10
	maxWebLogs  = 8
	maxLogDir   = 5000
	webRecent   = 5 * time.Minute
	webReach    = time.Hour
	zoneQuarter = 15 * time.Minute // every zone is a multiple of it (tzdata)
	maxWebKinds = 60
)

// webLogs are the places of error logs, with the unit that writes there; what
// matches there and was written last is read.
func webLogs() []struct{ dir, match, unit string } {
	return []struct{ dir, match, unit string }{
		{"/var/log/nginx", "*error*log", "nginx.service"},
		{"/var/log/apache2", "*error*log", "apache2.service"},
		{"/var/log/httpd", "*error*log", "httpd.service"},
		{"/var/log", "php*fpm*log", ""},
	}
}

// webFault is a kind of trouble that a line of an error log tells.
type webFault struct{ kind, text string }

// webFaults is ordered: the first that fits counts. The texts are those of
// ngx_http_upstream.c, ngx_event_connect.c and ngx_connection.c, of Apache's
// MPMs and of php-fpm's fpm_children.c.
func webFaults() []webFault {
	return []webFault{
		{"worker_limit", "worker_connections are not enough"},
		{"worker_limit", "server reached pm.max_children"},
		{"worker_limit", "server reached MaxRequestWorkers"},
		{"worker_limit", "server reached MaxClients"},
		{"upstream_refused", "connect() failed (111: Connection refused) while connecting to upstream"},
		{"upstream_unreachable", "connect() failed (113: No route to host) while connecting to upstream"},
		{"upstream_unreachable", "connect() failed (113: Host is unreachable) while connecting to upstream"},
		{"upstream_unreachable", "connect() failed (101: Network is unreachable) while connecting to upstream"},
		{"upstream_unreachable", "upstream timed out (110: Connection timed out) while connecting to upstream"},
		{"upstream_slow", "upstream timed out (110: Connection timed out) while"},
		{"upstream_denied", "failed (13: Permission denied) while connecting to upstream"},
		{"upstream_closed", "upstream prematurely closed connection"},
		{"upstream_closed", "(104: Connection reset by peer) while reading response header from upstream"},
		{"no_upstream", "no live upstreams while connecting to upstream"},
		{"no_local_port", "(99: Cannot assign requested address) while connecting to upstream"},
	}
}

func webErrors() probe {
	r := newWebErrorReader()
	return probe{
		spec: diagnostics.Spec{
			Name:  "web.errors",
			Title: "What web servers complained about in the last hour",
			Doc: "The last 64 KiB of the error logs in /var/log/nginx, apache2, httpd and of php-fpm that were written in the last hour, at most 8. " +
				"Their times have no zone: it is told from the time at which the file was written.",
			Outputs: []expr.Field{
				list("faults", "one for each kind, log and upstream, newest first",
					str("kind", "worker_limit, upstream_refused, upstream_unreachable, upstream_slow, upstream_denied, upstream_closed, no_upstream, no_local_port"),
					str("unit", "whose log it is"),
					str("file", "the log"),
					str("upstream", "host:port or the path of a socket of the upstream; \"\" where none is named"),
					integer("recent", "lines of the last 5 minutes"),
					integer("last_hour", "lines of the last hour, as far as the part that was read reaches"),
					integer("age_seconds", "of the newest line"),
					str("message", "the newest line")),
				integer("logs", "how many logs were read"),
			},
			CostSeconds: 0.1,
		},
		read:  readWebErrors,
		parse: r.parse,
	}
}

// webLogFile is a log that is read.
type webLogFile struct {
	path, unit string
	written    time.Time
}

// webLogFiles chooses from the listings, at most maxWebLogs, newest first.
func webLogFiles(in readings) ([]webLogFile, error) {
	var found []webLogFile
	for _, place := range webLogs() {
		raw, err := in.whole(place.dir)
		if isStatus(err, diagnostics.Absent) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var entries []remote.FileInfo
		if err := in.decode(place.dir, &entries); err != nil {
			return nil, err
		}
		for _, e := range entries {
			matches, _ := path.Match(place.match, e.Name)
			p := path.Join(place.dir, e.Name)
			if matches && e.Mode.IsRegular() && e.Size > 0 && raw.At.Sub(e.ModifiedAt) < webReach && checkReadable(p) == nil && path.Base(p) == e.Name {
				unit := place.unit
				if unit == "" {
					unit = strings.TrimSuffix(e.Name, ".log") + ".service"
				}
				found = append(found, webLogFile{p, unit, e.ModifiedAt})
			}
		}
	}
	slices.SortFunc(found, func(a, b webLogFile) int {
		return cmp.Or(b.written.Compare(a.written), cmp.Compare(a.path, b.path))
	})
	return found[:min(len(found), maxWebLogs)], nil
}

func readWebErrors(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
	for _, place := range webLogs() {
		rec.Dir(ctx, place.dir, place.dir, maxLogDir)
	}
	files, err := webLogFiles(readings{raws: rec.Raws()})
	if err != nil {
		return nil //nolint:nilerr // Parse says so
	}
	for _, f := range files {
		rec.Run(ctx, f.path, command("tail", "-c", strconv.Itoa(webLogTail), "--", f.path))
	}
	return nil
}

// webErrorReader understands lines of error logs.
type webErrorReader struct {
	nginx, apache, fpm, upstream *regexp.Regexp
}

func newWebErrorReader() webErrorReader {
	return webErrorReader{
		nginx:    regexp.MustCompile(`^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \[`),
		apache:   regexp.MustCompile(`^\[\w{3} (\w{3} +\d{1,2} \d\d:\d\d:\d\d)(?:\.\d+)? (\d{4})\]`),
		fpm:      regexp.MustCompile(`^\[(\d\d-\w{3}-\d{4} \d\d:\d\d:\d\d)(?:\.\d+)?\]`),
		upstream: regexp.MustCompile(`upstream: "(?:[a-z]+://)?(unix:[^:"]+|[^/"]+)`),
	}
}

// at is the time of a line as its clock shows it, without its zone.
func (r webErrorReader) at(line string) (time.Time, bool) {
	var at time.Time
	var err error
	if m := r.nginx.FindStringSubmatch(line); m != nil {
		at, err = time.Parse("2006/01/02 15:04:05", m[1])
		return at, err == nil
	}
	if m := r.apache.FindStringSubmatch(line); m != nil {
		at, err = time.Parse("Jan _2 15:04:05 2006", m[1]+" "+m[2])
		return at, err == nil
	}
	if m := r.fpm.FindStringSubmatch(line); m != nil {
		at, err = time.Parse("02-Jan-2006 15:04:05", m[1])
		return at, err == nil
	}
	return at, false
}

// zone is what to add to the times of the lines to get UTC: the last line was
// written when the file was.
func zone(last, written time.Time) time.Duration {
	return time.Duration(math.Round(float64(written.Sub(last))/float64(zoneQuarter))) * zoneQuarter
}

// webTrouble is one kind of trouble with one upstream in one log.
type webTrouble struct {
	kind, upstream   string
	log              webLogFile
	age              time.Duration
	recent, lastHour int64
	message          string
}

func (r webErrorReader) parse(in readings) (diagnostics.Value, error) {
	files, err := webLogFiles(in)
	if err != nil {
		return nil, err
	}
	var all []*webTrouble
	for _, f := range files {
		data, err := in.output(f.path)
		if err != nil {
			return nil, err
		}
		if len(data) == 0 {
			return nil, cannotTell(diagnostics.Failed, "%s was emptied while it was read", f.path)
		}
		raw, _ := in.raw(f.path)
		all = append(all, r.troubles(f, data, raw.At)...)
	}
	slices.SortStableFunc(all, func(a, b *webTrouble) int { return cmp.Compare(a.age, b.age) })
	faults := []any{}
	for _, t := range all[:min(len(all), maxWebKinds)] {
		faults = append(faults, map[string]any{
			"kind": t.kind, "unit": t.log.unit, "file": clip(t.log.path, maxPathBytes), "upstream": clip(t.upstream, maxCommand),
			"recent": t.recent, "last_hour": t.lastHour, "age_seconds": int64(t.age.Seconds()), "message": t.message,
		})
	}
	return diagnostics.Value{"faults": faults, "logs": int64(len(files))}, nil
}

// troubles gathers what the lines of one log tell, read at the time.
func (r webErrorReader) troubles(f webLogFile, data []byte, read time.Time) []*webTrouble {
	type stamped struct {
		at   time.Time
		text string
	}
	var lines []stamped
	for line := range bytes.Lines(data) {
		text := strings.TrimRight(string(line), "\n")
		if at, ok := r.at(text); ok {
			lines = append(lines, stamped{at, text})
		}
	}
	if len(lines) == 0 {
		return nil
	}
	toUTC := zone(lines[len(lines)-1].at, f.written)
	found := map[[2]string]*webTrouble{}
	var order []*webTrouble
	for _, l := range lines {
		i := slices.IndexFunc(webFaults(), func(w webFault) bool { return strings.Contains(l.text, w.text) })
		age := max(0, read.Sub(l.at.Add(toUTC)))
		if i < 0 || age > webReach {
			continue
		}
		upstream := ""
		if m := r.upstream.FindStringSubmatch(l.text); m != nil {
			upstream = m[1]
		}
		key := [2]string{webFaults()[i].kind, upstream}
		t := found[key]
		if t == nil {
			t = &webTrouble{kind: key[0], upstream: upstream, log: f, age: age}
			found[key] = t
			order = append(order, t)
		}
		t.lastHour++
		if age <= webRecent {
			t.recent++
		}
		if age <= t.age {
			t.age, t.message = age, clip(l.text, maxLineBytes)
		}
	}
	return order
}
