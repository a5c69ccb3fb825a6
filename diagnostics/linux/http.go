package linux

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

const (
	rawCurl     = "curl"
	httpTimeout = 10 * time.Second
)

func httpGet() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:   "http.get",
			Title:  "What a web address answers to the host itself",
			Doc:    "curl(1) GET from the host, without proxy, without following redirects, certificates checked; the body is thrown away.",
			Inputs: []expr.Field{required(str(argURL, "http or https, without user and password"))},
			Outputs: []expr.Field{
				boolean("reachable", "an HTTP answer came, whatever its status"),
				integer("status", "of the answer; 0 when none came"),
				integer("took_ms", "until the end of the answer, or until it was given up"),
				str("error", "why no whole answer came, \"\" when it came"),
			},
			CostSeconds: 0.5,
		},
		read:  readHTTP,
		parse: parseHTTP,
	}
}

func readHTTP(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
	if err := checkURL(args[argURL]); err != nil {
		return err
	}
	seconds := strconv.Itoa(int(httpTimeout / time.Second))
	cmd := command("curl", "-q", "-g", "-sS", "-o", "/dev/null", "--noproxy", "*", "--proto", "=http,https",
		"--connect-timeout", "5", "--max-time", seconds, "-w", `%{http_code} %{time_total}\n`, "--url", args[argURL])
	cmd.Timeout = httpTimeout + commandTimeout
	rec.Run(ctx, rawCurl, cmd)
	return nil
}

func parseHTTP(in readings) (diagnostics.Value, error) {
	raw, err := in.ran(rawCurl)
	if err != nil {
		return nil, err
	}
	switch raw.ExitCode { // curl(1), EXIT CODES: these are about curl or the call, not about the server
	case 1, 2, 3, 4, 23, 27, 43:
		return nil, cannotTell(diagnostics.Failed, "curl: exit status %d: %s", raw.ExitCode, raw.Error)
	}
	code, seconds, ok := strings.Cut(strings.TrimSpace(string(raw.Data)), " ")
	status, err1 := strconv.ParseUint(code, 10, 16)
	took, err2 := strconv.ParseFloat(seconds, 64)
	if !ok || err1 != nil || err2 != nil || math.IsNaN(took) || took < 0 || took > 1e6 || raw.ExitCode == 0 && status == 0 {
		return nil, cannotTell(diagnostics.Failed, "curl: its output is not understood")
	}
	problem := ""
	if raw.ExitCode != 0 {
		if problem = clip(raw.Error, maxLineBytes); problem == "" {
			problem = fmt.Sprintf("curl: exit status %d", raw.ExitCode)
		}
	}
	return diagnostics.Value{
		"reachable": status > 0, "status": toInt(status), "took_ms": int64(took * 1000), "error": problem,
	}, nil
}
