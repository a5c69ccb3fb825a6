package cases

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/recording"
	"github.com/secondline-ops/secondline/runbooks"
)

// Result is what came of a case.
type Result struct {
	Got        Expect
	Difference string   // between what is expected (-) and what came (+), by lines; "" when there is none
	Unscripted []string // what the host was asked that is not in the recording
	Unasked    []string // recorded changes that were not made
}

// OK reports whether the runbook did what the case expects, and nothing else.
func (r Result) OK() bool {
	return r.Difference == "" && len(r.Unscripted) == 0 && len(r.Unasked) == 0
}

// Test carries the runbook out on the recorded host. Nobody waits: its time is
// that of the recording. Secrets in what is asked have to be redacted as in the
// recording. An error means that the case could not be tried.
func Test(ctx context.Context, c *Case, rb *runbooks.Runbook, host []recording.Exchange, redactor remote.Redactor, tools Tools) (Result, error) {
	var b *Bound
	replay := recording.Play(host, recording.Options{
		Target: c.Target.ID, Start: c.Start, Redactor: redactor, MayRepeat: func() bool { return b.steps.now() },
	})
	tools.Secrets = standIns(c.Secrets)
	b, err := Bind(&c.Given, rb, replay, tools)
	if err != nil {
		return Result{}, err
	}
	got := Expect{}
	plan, err := b.Plan(ctx)
	if err != nil {
		got.Error = err.Error()
	} else {
		got = Observed(plan)
	}
	if c.Act && err == nil && plan.Refused == "" {
		got.Run = ObservedRun(b.CarryOut(ctx, nil))
	}
	if ctx.Err() != nil {
		return Result{}, ctx.Err()
	}
	r := Result{Got: got, Unscripted: replay.Missing(), Unasked: replay.Unasked()}
	r.Difference, err = difference(c.Expect, got)
	return r, err
}

func difference(want, got Expect) (string, error) {
	a, err := want.format()
	if err != nil {
		return "", err
	}
	b, err := got.format()
	if err != nil {
		return "", err
	}
	return diffLines(string(a), string(b)), nil
}

// maxDiffLines bounds the texts that are compared line by line: the work grows
// with the square.
const maxDiffLines = 2000

// diffLines shows both texts with - before the lines that are only in a, and +
// before those that are only in b; "" when they are equal.
func diffLines(a, b string) string {
	if a == b {
		return ""
	}
	x, y := strings.SplitAfter(a, "\n"), strings.SplitAfter(b, "\n")
	if len(x) > maxDiffLines || len(y) > maxDiffLines {
		return fmt.Sprintf("- %d lines\n+ %d others\n", len(x), len(y))
	}
	common := make([][]int, len(x)+1) // longest common subsequence of x[i:] and y[j:]
	for i := range common {
		common[i] = make([]int, len(y)+1)
	}
	for i, left := range slices.Backward(x) {
		for j, right := range slices.Backward(y) {
			common[i][j] = max(common[i+1][j], common[i][j+1])
			if left == right {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	var out strings.Builder
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		switch {
		case i < len(x) && j < len(y) && x[i] == y[j]:
			out.WriteString("  " + x[i])
			i, j = i+1, j+1
		case j == len(y) || i < len(x) && common[i+1][j] >= common[i][j+1]:
			out.WriteString("- " + x[i])
			i++
		default:
			out.WriteString("+ " + y[j])
			j++
		}
	}
	return strings.TrimRight(out.String(), " ")
}
