package linux

import (
	"context"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
)

const answerTimeout = 3 * time.Second // a server on the same network answers within milliseconds

const rawAnswer = "answer"

func mountAnswers() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "mount.answers",
			Title: "Whether a file system answers",
			Doc: "statfs(2) by a process of its own, which is given 3 seconds. A process that waits for a dead server cannot always be ended; it is left behind, " +
				"once for each reading.",
			Inputs: mountInput("the mount point"),
			Outputs: []expr.Field{
				boolean("answers", "it answered within 3 seconds"),
				boolean("stale", "it answered that its files are gone from the server (ESTALE)"),
				str("error", "what it said in place of an answer; \"\" when there is one"),
			},
			CostSeconds: 0.05,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
			if err := checkPath(argMount, args[argMount]); err != nil {
				return err
			}
			rec.Run(ctx, rawAnswer, answerCommand(args[argMount]))
			return nil
		},
		parse: parseAnswer,
	}
}

func answerCommand(point string) remote.Command {
	cmd := command("stat", "-f", "-c", "%T", "--", point)
	cmd.Timeout = answerTimeout
	return cmd
}

func parseAnswer(in readings) (diagnostics.Value, error) {
	raw, err := in.ran(rawAnswer)
	switch {
	case isStatus(err, diagnostics.TimedOut):
		return diagnostics.Value{"answers": false, "stale": false, "error": "no answer within 3 seconds"}, nil
	case err != nil:
		return nil, err
	case raw.ExitCode == 0 && len(raw.Data) > 0:
		return diagnostics.Value{"answers": true, "stale": false, "error": ""}, nil
	}
	said := clip(string(raw.Data), maxLineBytes)
	stale := strings.Contains(said, "Stale file handle")
	for _, gone := range []string{"Connection timed out", "Input/output error", "Transport endpoint is not connected", "Host is down"} {
		if stale || strings.Contains(said, gone) {
			return diagnostics.Value{"answers": false, "stale": stale, "error": said}, nil
		}
	}
	return nil, cannotTell(diagnostics.Failed, "%s: exit status %d: %s", rawAnswer, raw.ExitCode, said)
}
