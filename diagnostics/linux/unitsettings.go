package linux

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

const (
	maxEnvFiles     = 10
	rawUnitLink     = "unit_link"
	systemUnitsPath = "/etc/systemd/system/"
)

func unitSettings() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:   "unit.settings",
			Title:  "How a unit is set up: switched on or off, its files of settings, its socket",
			Doc:    "systemctl show, and stat of the files named in EnvironmentFile= and of the link that a mask makes below /etc/systemd/system. No file is opened.",
			Inputs: unitInput(),
			Outputs: []expr.Field{
				str("load_state", "loaded, not-found, masked, ..."),
				str("active_state", "active, inactive, failed, ..."),
				str("result", "success, resources, timeout, ..."),
				str("file_state", "enabled, disabled, static, masked, masked-runtime, ...; \"\" when there is no unit file"),
				str("preset", "enabled, disabled; what the distribution would have it be; \"\" when that is not known"),
				list("environment_files", "at most 10 of EnvironmentFile=",
					str("path", "the file"),
					boolean("optional", "it may be missing (a - in front of it)"),
					boolean("exists", "it is there; cannot tell of a pattern")),
				str("missing_file", "the first of them that must be there and is not; \"\" when there is none"),
				list("triggers", "units that it starts, of a socket or timer"),
				list("triggered_by", "sockets, timers and paths that start it"),
				integer("port", "the first port of a socket; 0 when it has none"),
				optional(timestamp("masked_at", "when the mask was made; missing when it is not masked below /etc")),
				optional(timestamp("state_changed_at", "when its active state changed last; missing when it never did since the boot")),
			},
			CostSeconds: 0.06,
		},
		read:  readUnitSettings,
		parse: parseUnitSettings,
	}
}

func readUnitSettings(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
	unit, err := unitName(args[argUnit])
	if err != nil {
		return err
	}
	raw := rec.Run(ctx, rawShow, command("systemctl", "show", "--no-pager", "-p", "Id,LoadState,ActiveState,Result,UnitFileState,UnitFilePreset,"+
		"EnvironmentFiles,Triggers,TriggeredBy,Listen,StateChangeTimestamp", "--", unit))
	for i, f := range environmentFiles(string(raw.Data)) {
		if checkPath("", f.path) == nil && !f.pattern() && !holdsSecret(f.path) {
			rec.Stat(ctx, envFile(i), f.path)
		}
	}
	if strings.Contains(string(raw.Data), "LoadState=masked\n") {
		rec.Stat(ctx, rawUnitLink, systemUnitsPath+unit)
	}
	return nil
}

func envFile(i int) string { return fmt.Sprintf("env_%d", i) }

// namedFile is a file that a unit reads its environment from.
type namedFile struct {
	path     string
	optional bool
}

// pattern reports whether it stands for the files that match it.
func (f namedFile) pattern() bool { return strings.ContainsAny(f.path, "*?[") }

// environmentFiles reads the lines "EnvironmentFiles=/etc/default/x (ignore_errors=yes)",
// one for each file.
func environmentFiles(show string) []namedFile {
	var files []namedFile
	for line := range strings.SplitSeq(show, "\n") {
		text, ok := strings.CutPrefix(line, "EnvironmentFiles=")
		at := strings.LastIndex(text, " (ignore_errors=")
		if ok && at > 0 && len(files) < maxEnvFiles {
			files = append(files, namedFile{path: text[:at], optional: text[at:] == " (ignore_errors=yes)"})
		}
	}
	return files
}

func parseUnitSettings(in readings) (diagnostics.Value, error) {
	data, err := in.output(rawShow)
	if err != nil {
		return nil, err
	}
	blocks := properties(data)
	if len(blocks) != 1 || blocks[0]["LoadState"] == "" || blocks[0]["ActiveState"] == "" {
		return nil, cannotTell(diagnostics.Failed, "show: not one unit with its states")
	}
	p := blocks[0]
	value := diagnostics.Value{
		"load_state": p["LoadState"], "active_state": p["ActiveState"], "result": p["Result"],
		"file_state": p["UnitFileState"], "preset": p["UnitFilePreset"], "port": int64(0),
		"triggers": words(p["Triggers"]), "triggered_by": words(p["TriggeredBy"]),
	}
	if err := in.addEnvironment(value, environmentFiles(string(data))); err != nil {
		return nil, err
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		if port := listenPort(line); port > 0 && value["port"] == int64(0) {
			value["port"] = port
		}
	}
	if at, ok := systemdTime(p["StateChangeTimestamp"]); ok {
		value["state_changed_at"] = at
	}
	if p["LoadState"] == "masked" {
		link, err := in.info(rawUnitLink)
		if err != nil && !isStatus(err, diagnostics.Absent) { // absent: it is masked below /run
			return nil, err
		}
		if err == nil && link.LinkTarget == "/dev/null" {
			value["masked_at"] = link.ModifiedAt.UTC()
		}
	}
	return value, nil
}

// addEnvironment says which of the files are there.
func (in readings) addEnvironment(value diagnostics.Value, files []namedFile) error {
	list, missing := []any{}, ""
	for i, f := range files {
		one := map[string]any{"path": clip(f.path, maxPathBytes), "optional": f.optional}
		_, err := in.info(envFile(i))
		switch {
		case f.pattern() || checkPath("", f.path) != nil || holdsSecret(f.path):
			one["exists"] = expr.Unknown{Why: "nobody looked for " + clip(f.path, maxPathBytes)}
		case err == nil:
			one["exists"] = true
		case isStatus(err, diagnostics.Absent):
			one["exists"] = false
			if missing == "" && !f.optional {
				missing = clip(f.path, maxPathBytes)
			}
		default:
			return err
		}
		list = append(list, one)
	}
	value["environment_files"], value["missing_file"] = list, missing
	return nil
}

// listenPort reads the port in "Listen=0.0.0.0:8099 (Stream)"; 0 for the rest.
func listenPort(line string) int64 {
	text, ok := strings.CutPrefix(line, "Listen=")
	address, _, _ := strings.Cut(text, " ")
	port, err := strconv.ParseUint(address[strings.LastIndexByte(address, ':')+1:], 10, 16)
	if !ok || err != nil {
		return 0
	}
	return int64(port)
}

func words(text string) []any {
	out := []any{}
	for w := range strings.FieldsSeq(text) {
		out = append(out, w)
	}
	return out
}
