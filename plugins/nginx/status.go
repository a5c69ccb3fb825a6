package nginx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/plugins"
)

// defaultStatus is where Debian's and most other documents put stub_status.
const defaultStatus = "http://127.0.0.1/nginx_status"

func statusSpec() plugins.Spec {
	return plugins.Spec{
		Name: "status", Title: "nginx's counters", CostSeconds: 0.1,
		Doc: "stub_status (ngx_http_stub_status_module), asked with curl(1) on the target itself. Counters are since nginx started.",
		Inputs: []plugins.Field{
			{Name: "url", Type: plugins.String, Doc: "where stub_status answers, on the target itself; " + defaultStatus + " when empty"},
		},
		Outputs: []plugins.Field{
			{Name: "active", Type: plugins.Int, Doc: "connections of clients, those that wait too"},
			{Name: "reading", Type: plugins.Int, Doc: "whose request is being read"},
			{Name: "writing", Type: plugins.Int, Doc: "that are being answered"},
			{Name: "waiting", Type: plugins.Int, Doc: "idle, kept alive"},
			{Name: "accepted", Type: plugins.Int, Doc: "counter"},
			{Name: "dropped", Type: plugins.Int, Doc: "counter: accepted and not handled, for want of worker_connections"},
			{Name: "requests", Type: plugins.Int, Doc: "counter"},
		},
	}
}

func readStatus(ctx context.Context, rec *plugins.Recorder, args plugins.Args) error {
	address := args["url"]
	if address == "" {
		address = defaultStatus
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return fmt.Errorf("%q is no address of http or https", address)
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%q is not on the target itself", address)
	}
	rec.Run(ctx, rawStatus, plugins.Command{
		// Neither ~/.curlrc nor a proxy: the answer is the target's own.
		Argv:    []string{"curl", "-q", "--silent", "--show-error", "--noproxy", "*", "--max-time", "5", "--write-out", "\nstatus %{http_code}\n", "--", u.String()},
		Timeout: commandTimeout, MaxOutputBytes: 64 << 10,
	})
	return nil
}

// curl's exit statuses, curl(1).
const (
	curlRefused = 7
	curlTimeout = 28
)

func parseStatus(raws []plugins.Raw) (plugins.Value, plugins.Status, error) {
	raw, status, err := readable(raws, rawStatus, "curl")
	switch {
	case status != plugins.OK:
		return nil, status, err
	case raw.ExitCode == curlRefused:
		return nil, plugins.Absent, nil // nobody listens there
	case raw.ExitCode == curlTimeout:
		return nil, plugins.TimedOut, errors.New(firstLine(raw.Error))
	case raw.ExitCode != 0:
		return nil, plugins.Failed, errors.New("curl: " + firstLine(raw.Error))
	}
	text := string(raw.Data)
	_, code, _ := strings.Cut(text, "\nstatus ")
	switch strings.TrimSpace(code) {
	case "401", "403":
		return nil, plugins.Denied, errors.New("nginx does not let the target itself ask, status " + strings.TrimSpace(code))
	case "404":
		return nil, plugins.Absent, nil
	}
	m := regexp.MustCompile(`Active connections:\s*(\d+)\s+server accepts handled requests\s+(\d+)\s+(\d+)\s+(\d+)\D*\s+Reading:\s*(\d+)\s+Writing:\s*(\d+)\s+Waiting:\s*(\d+)`).FindStringSubmatch(text)
	if m == nil {
		return nil, plugins.Failed, errors.New("that is no answer of stub_status")
	}
	n := make([]int64, len(m))
	for i := 1; i < len(m); i++ {
		if n[i], err = strconv.ParseInt(m[i], 10, 64); err != nil {
			return nil, plugins.Failed, err
		}
	}
	return plugins.Value{
		"active": n[1], "accepted": n[2], "dropped": max(0, n[2]-n[3]), "requests": n[4], "reading": n[5], "writing": n[6], "waiting": n[7],
	}, plugins.OK, nil
}
