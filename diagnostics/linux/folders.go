package linux

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

// Where core dumps lie by default: systemd-coredump(8), kdump and apport, abrt.
func coreFolders() []string {
	return []string{"/var/lib/systemd/coredump", "/var/crash", "/var/lib/apport/coredump", "/var/spool/abrt", "/var/tmp/abrt"}
}

func journalFolders() []string { return []string{"/var/log/journal", "/run/log/journal"} }

// storedFormat: blocks of 512 bytes, time of the last change of content, path.
const storedFormat = `%b %T@ %p\0`

const rawStored = "stored"

const maxDumps = 50

func coreDumps() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "core.dumps",
			Title: "Core and crash dumps, and where they lie",
			Doc:   "find(1) two levels deep in " + strings.Join(coreFolders(), ", ") + ". A core_pattern that leads elsewhere is not followed.",
			Outputs: []expr.Field{
				list("dumps", "newest first, at most 50",
					str("path", "the file"), str("mount", "the file system that holds it"),
					str("program", "as systemd-coredump names it; \"\" for others"),
					size("size", "bytes on the disk"), timestamp("at", "when it was written"), integer("age_seconds", "how long ago")),
				list("mounts", "what they take on each file system, most first",
					str("mount", "file system"), size("bytes", "on the disk"), integer("files", "how many"), integer("last_day", "of those, written within 24 hours")),
				boolean("complete", "everything there could be looked at"),
			},
			CostSeconds: 0.05,
		},
		read:  readStored(coreFolders()),
		parse: parseCoreDumps,
	}
}

func journalUsage() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "journal.usage",
			Title: "What the journal takes, and files of it that were set aside as broken",
			Doc:   "find(1) in /var/log/journal and /run/log/journal. journald(8) renames a file that it cannot trust to *.journal~.",
			Outputs: []expr.Field{
				boolean("persistent", "there is a journal in /var/log/journal"),
				str("mount", "the file system of the journal; \"\" when there is no journal"),
				size("bytes", "on the disk"),
				integer("files", "how many"),
				integer("broken", "files that were set aside"),
				integer("broken_last_day", "of those, last written within 24 hours"),
				optional(timestamp("newest_at", "the last write; missing when there is no journal")),
				integer("newest_age_seconds", "how long ago; 0 when there is no journal"),
				boolean("complete", "everything there could be looked at"),
			},
			CostSeconds: 0.05,
		},
		read:  readStored(journalFolders()),
		parse: parseJournalUsage,
	}
}

func readStored(folders []string) func(context.Context, *diagnostics.Recorder, diagnostics.Args) error {
	return func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
		rec.File(ctx, rawMounts, mountinfoPath, maxMountinfoBytes)
		rec.Run(ctx, rawStored, findCommand(boundedFind, append(slices.Clone(folders),
			"-maxdepth", "2", "-xdev", "-ignore_readdir_race", "-type", "f", "-printf", storedFormat)...))
		return nil
	}
}

// storedFile is a file in one of the folders.
type storedFile struct {
	path, mount string
	size        uint64
	at          time.Time
	age         time.Duration // when it was read
}

func (f storedFile) isOfLastDay() bool { return f.age < 24*time.Hour }

func (in readings) stored() (files []storedFile, complete bool, err error) {
	raw, err := in.whole(rawMounts)
	if err != nil {
		return nil, false, notAbsent(err)
	}
	mounts, err := parseMounts(raw.Data)
	if err != nil {
		return nil, false, err
	}
	found, err := in.walk(rawStored)
	if err != nil {
		return nil, false, err
	}
	tree, read := growTree(mounts), raw.At
	for record := range strings.SplitSeq(string(found.data), "\x00") {
		parts := strings.SplitN(record, " ", 3)
		if len(parts) < 3 {
			continue
		}
		blocks, err := strconv.ParseUint(parts[0], 10, 48)
		at, ok := epoch(parts[1])
		m, held := tree.holding(parts[2])
		if err != nil || !ok || !held {
			continue
		}
		files = append(files, storedFile{path: parts[2], mount: m.point, size: blocks * 512, at: at, age: max(read.Sub(at), 0)})
	}
	slices.SortStableFunc(files, func(a, b storedFile) int { return cmp.Or(b.at.Compare(a.at), strings.Compare(a.path, b.path)) })
	return files, found.complete, nil
}

func parseCoreDumps(in readings) (diagnostics.Value, error) {
	files, complete, err := in.stored()
	if err != nil {
		return nil, err
	}
	dumps, mounts := []any{}, []any{}
	byMount := map[string]map[string]any{}
	for i, f := range files {
		if i < maxDumps {
			dumps = append(dumps, map[string]any{
				"path": f.path, "mount": f.mount, "program": dumpedProgram(f.path), "size": toInt(f.size), "at": f.at, "age_seconds": seconds(f.age),
			})
		}
		m := byMount[f.mount]
		if m == nil {
			m = map[string]any{"mount": f.mount, "bytes": int64(0), "files": int64(0), "last_day": int64(0)}
			byMount[f.mount] = m
			mounts = append(mounts, m)
		}
		m["bytes"] = m["bytes"].(int64) + toInt(f.size)
		m["files"] = m["files"].(int64) + 1
		if f.isOfLastDay() {
			m["last_day"] = m["last_day"].(int64) + 1
		}
	}
	slices.SortStableFunc(mounts, func(a, b any) int {
		return cmp.Compare(b.(map[string]any)["bytes"].(int64), a.(map[string]any)["bytes"].(int64))
	})
	return diagnostics.Value{"dumps": dumps, "mounts": mounts, "complete": complete}, nil
}

// dumpedProgram is NAME in "core.NAME.UID.BOOTID.PID.TIME.zst", see systemd-coredump(8).
func dumpedProgram(path string) string {
	_, name, ok := strings.Cut(path, "/var/lib/systemd/coredump/core.")
	parts := strings.Split(name, ".")
	if !ok || len(parts) < 5 {
		return ""
	}
	end := len(parts) - 4
	if last := parts[len(parts)-1]; last == "zst" || last == "lz4" || last == "xz" {
		end--
	}
	return clip(strings.Join(parts[:max(end, 1)], "."), maxCommand)
}

func parseJournalUsage(in readings) (diagnostics.Value, error) {
	files, complete, err := in.stored()
	if err != nil {
		return nil, err
	}
	value := diagnostics.Value{"persistent": false, "mount": "", "newest_age_seconds": int64(0), "complete": complete}
	var bytes uint64
	var count, broken, lately int64
	for _, f := range files {
		isBroken := strings.HasSuffix(f.path, ".journal~")
		if !isBroken && !strings.HasSuffix(f.path, ".journal") {
			continue
		}
		persistent := within(f.path, "/var/log/journal")
		if count == 0 {
			value["newest_at"], value["newest_age_seconds"] = f.at, seconds(f.age)
		}
		if value["mount"] == "" || persistent {
			value["mount"] = f.mount
		}
		value["persistent"] = persistent || value["persistent"] == true
		bytes += f.size
		count++
		if isBroken {
			broken++
			if f.isOfLastDay() {
				lately++
			}
		}
	}
	value["bytes"], value["files"], value["broken"], value["broken_last_day"] = toInt(bytes), count, broken, lately
	return value, nil
}
