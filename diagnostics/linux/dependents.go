package linux

import (
	"context"
	"fmt"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

const (
	dependencyDepth = 3   // how far from the unit that failed one looks for those that need it
	maxDependents   = 100 // looked at in one step
	dependentProps  = "Id,LoadState,ActiveState,Result,UnitFileState,RequiredBy,BoundBy,RequisiteOf"
)

func unitDependents() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "unit.dependents",
			Title: "Units that do not run and need one that failed",
			Doc: "systemctl list-units --state=failed, and systemctl show of those and of what requires them, up to three steps away " +
				"(Requires=, BindsTo=, Requisite= of systemd.unit(5)). One that was never wanted is among them: its journal tells.",
			Outputs: []expr.Field{list("units", "by the unit that failed",
				str("leaf", "the unit that failed by itself"),
				str("leaf_result", "exit-code, timeout, resources, ..."),
				str("unit", "one that needs it and is inactive"),
				str("file_state", "of the latter: enabled, static, ..."),
				str("through", "the unit between them; \"\" when it needs it directly"))},
			CostSeconds: 0.1,
		},
		read:  readDependents,
		parse: parseDependents,
	}
}

func showStep(i int) string { return fmt.Sprintf("%s_%d", rawShow, i) }

func readDependents(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
	raw := rec.Run(ctx, rawList, command("systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager", "--full", "--state=failed"))
	units, _, err := listedUnits(raw.Data)
	if err != nil || raw.ExitCode != 0 {
		return nil //nolint:nilerr // Parse says so
	}
	known := map[string]bool{}
	for step := 0; step <= dependencyDepth && len(units) > 0; step++ {
		raw := rec.Run(ctx, showStep(step), command(append([]string{"systemctl", "show", "--no-pager", "-p", dependentProps, "--"}, units...)...))
		units = nextUnits(properties(raw.Data), known, step == 0)
	}
	return nil
}

// nextUnits returns the units to look at in the next step: who needs one of
// these that does not run.
func nextUnits(blocks []map[string]string, known map[string]bool, first bool) []string {
	var next []string
	for _, p := range blocks {
		known[p["Id"]] = true
	}
	for _, p := range blocks {
		if !first && p["ActiveState"] != "inactive" {
			continue
		}
		for _, name := range neededBy(p) {
			if !known[name] && len(next) < maxDependents {
				known[name] = true
				next = append(next, name)
			}
		}
	}
	return next
}

func neededBy(p map[string]string) []string {
	var names []string
	for _, key := range []string{"RequiredBy", "BoundBy", "RequisiteOf"} {
		for name := range strings.FieldsSeq(p[key]) {
			if full, err := unitName(name); err == nil && full == name {
				names = append(names, name)
			}
		}
	}
	return names
}

// need says by which unit an inactive one hangs on the leaf.
type need struct{ leaf, result, through string }

func parseDependents(in readings) (diagnostics.Value, error) {
	data, err := in.output(rawList)
	if err != nil {
		return nil, err
	}
	names, more, err := listedUnits(data)
	if err != nil {
		return nil, err
	}
	known, hangs := map[string]bool{}, map[string]need{}
	units := []any{}
	for step := 0; step <= dependencyDepth && len(names) > 0; step++ {
		data, err := in.output(showStep(step))
		if err != nil {
			return nil, err
		}
		blocks := properties(data)
		if len(blocks) != len(names) {
			return nil, cannotTell(diagnostics.Failed, "show: %d units in place of %d", len(blocks), len(names))
		}
		for _, p := range blocks {
			units = append(units, hang(p, hangs, step)...)
		}
		names = nextUnits(blocks, known, step == 0)
	}
	value := diagnostics.Value{"units": units}
	if more {
		return value, cannotTell(diagnostics.Truncated, "more than %d units failed", maxFailedUnits)
	}
	return value, nil
}

// hang notes who hangs on the unit, and returns the unit itself when it hangs
// on another one and is inactive.
func hang(p map[string]string, hangs map[string]need, step int) []any {
	id := p["Id"]
	mine := hangs[id]
	if step == 0 {
		mine = need{leaf: id, result: p["Result"]}
	} else if p["ActiveState"] != "inactive" || p["LoadState"] != "loaded" {
		return nil
	}
	for _, name := range neededBy(p) {
		if _, has := hangs[name]; !has {
			through := ""
			if step > 0 {
				through = id
			}
			hangs[name] = need{leaf: mine.leaf, result: mine.result, through: through}
		}
	}
	if step == 0 || mine.leaf == "" || mine.leaf == id {
		return nil
	}
	return []any{map[string]any{
		"leaf": mine.leaf, "leaf_result": mine.result, "unit": id, "file_state": p["UnitFileState"], "through": mine.through,
	}}
}
