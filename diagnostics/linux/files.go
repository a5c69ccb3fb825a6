package linux

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
)

const (
	tailLines    = 50
	tailBytes    = 64 << 10
	maxLineBytes = 2000
)

func fileStat() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:   "file.stat",
			Title:  "What a file is",
			Doc:    "lstat(2): the path itself, not what a link points to.",
			Inputs: pathInput("the file"),
			Outputs: []expr.Field{
				boolean("exists", "it is there"),
				size("size", "bytes, apparent"),
				str("mode", "permission bits in octal, as chmod takes them: 0644; \"\" when it is not there"),
				integer("uid", "owner"),
				integer("gid", "group"),
				optional(timestamp("modified_at", "last change of content; missing when it is not there")),
				boolean("is_dir", "it is a directory"),
			},
			CostSeconds: 0.01,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
			if err := checkPath(argPath, args[argPath]); err != nil {
				return err
			}
			if err := checkNoSecret(argPath, args[argPath]); err != nil {
				return err
			}
			rec.Stat(ctx, rawPath, args[argPath])
			return nil
		},
		parse: parseFileStat,
	}
}

func parseFileStat(in readings) (diagnostics.Value, error) {
	info, err := in.info(rawPath)
	if isStatus(err, diagnostics.Absent) {
		return diagnostics.Value{
			"exists": false, "size": int64(0), "mode": "", "uid": int64(0), "gid": int64(0), "is_dir": false,
		}, nil
	}
	if err != nil {
		return nil, err
	}
	return diagnostics.Value{
		"exists": true, "size": info.Size, "mode": octalMode(info.Mode), "uid": int64(info.UID), "gid": int64(info.GID),
		"modified_at": info.ModifiedAt.UTC(), "is_dir": info.Mode.IsDir(),
	}, nil
}

// octalMode is the mode as chmod(1) takes it.
func octalMode(m fs.FileMode) string {
	bits := uint32(m.Perm())
	if m&fs.ModeSetuid != 0 {
		bits |= 0o4000
	}
	if m&fs.ModeSetgid != 0 {
		bits |= 0o2000
	}
	if m&fs.ModeSticky != 0 {
		bits |= 0o1000
	}
	return fmt.Sprintf("%04o", bits)
}

const (
	rawTarget = "target"
	rawTail   = "tail"
)

func logTail() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:   "log.tail",
			Title:  "The last lines of a log file",
			Doc:    "tail(1) of a regular file, links followed; at most 50 lines of the last 64 KiB. Refuses /proc, /sys and /dev.",
			Inputs: pathInput("the log file"),
			Outputs: []expr.Field{
				boolean("exists", "it is there"),
				size("size", "bytes, apparent"),
				list("lines", "oldest first; a line longer than 2000 bytes is cut"),
			},
			CostSeconds: 0.05,
		},
		read:  readLogTail,
		parse: parseLogTail,
	}
}

func readLogTail(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
	if err := checkReadable(args[argPath]); err != nil {
		return err
	}
	target := resolve(ctx, rec, args[argPath])
	if target == "" {
		return nil
	}
	// Where the link leads decides. Whoever may change the link between this
	// look and the reading could have copied the file as well, unless the agent
	// is root: then only what root wrote should be asked for.
	if err := checkReadable(target); err != nil {
		return err
	}
	raw := rec.Stat(ctx, rawTarget, target)
	info, err := readings{raws: []diagnostics.Raw{raw}}.info(rawTarget)
	if err == nil && info.Mode.IsRegular() { // a pipe would block, a device may act
		rec.Run(ctx, rawTail, command("tail", "-c", strconv.Itoa(tailBytes), "--", target))
	}
	return nil
}

// checkReadable refuses paths whose content is not a log.
func checkReadable(p string) error {
	if err := checkPath(argPath, p); err != nil {
		return err
	}
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		if within(p, dir) {
			return fault.New(fault.Denied, "%s is not a log file", p).WithField(argPath)
		}
	}
	return checkNoSecret(argPath, p)
}

func parseLogTail(in readings) (diagnostics.Value, error) {
	if _, err := in.resolved(); err != nil {
		if isStatus(err, diagnostics.Absent) {
			return diagnostics.Value{"exists": false, "size": int64(0), "lines": []any{}}, nil
		}
		return nil, err
	}
	info, err := in.info(rawTarget)
	if err != nil {
		return nil, notAbsent(err)
	}
	if !info.Mode.IsRegular() {
		return nil, cannotTell(diagnostics.Failed, "it is not a regular file")
	}
	data, err := in.output(rawTail)
	if err != nil {
		return nil, err
	}
	if _, after, ok := bytes.Cut(data, []byte("\n")); ok && len(data) >= tailBytes {
		data = after // the first line has lost its beginning
	}
	return diagnostics.Value{"exists": true, "size": info.Size, "lines": lastLines(data)}, nil
}

func lastLines(data []byte) []any {
	text := strings.TrimSuffix(string(data), "\n")
	lines := []any{}
	if text == "" {
		return lines
	}
	all := strings.Split(text, "\n")
	for _, line := range all[max(0, len(all)-tailLines):] {
		lines = append(lines, clip(line, maxLineBytes))
	}
	return lines
}

// clip is s as valid UTF-8, cut after limit bytes.
func clip(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
