package linux

import (
	"context"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

// poolsScript prints what device mapper and btrfs say of themselves in /sys.
const poolsScript = `grep -aHs '' /proc/self/mountinfo /sys/class/block/dm-*/dm/uuid /sys/fs/btrfs/*/allocation/*/bytes_used ` +
	`/sys/fs/btrfs/*/allocation/*/total_bytes /sys/fs/btrfs/*/allocation/*/disk_total /sys/fs/btrfs/*/devices/*/size; echo end`

const (
	rawPools = "pools"
	rawLVS   = "lvs"
)

func poolUsage() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "pool.usage",
			Title: "Room that df does not show: thin pools, and btrfs",
			Doc: "/sys/fs/btrfs/UUID/allocation and devices; lvs of LVM 2 where device mapper has a thin pool, else no command is run. " +
				"A thin pool that LVM did not make is not seen.",
			Outputs: []expr.Field{
				list("thin", "thin pools of LVM",
					str("pool", "vg/lv"), double("data_percent", "used"), double("metadata_percent", "used")),
				list("btrfs", "file systems that are mounted",
					str("uuid", "file system"), str("mount", "one place where it is mounted; \"\" when that is not known"),
					size("size", "bytes of all its devices"), size("unallocated", "bytes that no chunk has taken yet"),
					size("data", "bytes of the chunks for data"), size("data_used", "bytes used in them"),
					size("metadata", "bytes of the chunks for metadata"), size("metadata_used", "bytes used in them")),
			},
			CostSeconds: 0.02,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			cmd := command("sh", "-c", poolsScript)
			cmd.MaxOutputBytes = maxMountinfoBytes
			if raw := rec.Run(ctx, rawPools, cmd); hasThinPool(byFile(grepLines(raw.Data, '\n'))) {
				rec.Run(ctx, rawLVS, command("lvs", "--noheadings", "--separator", ",", "-o", "vg_name,lv_name,data_percent,metadata_percent",
					"-S", "segtype=thin-pool"))
			}
			return nil
		},
		parse: parsePools,
	}
}

// hasThinPool looks for "LVM-…-tpool", the name that LVM gives the device of a pool.
func hasThinPool(files map[string][]string) bool {
	for file, lines := range files {
		if path.Base(file) == "uuid" && len(lines) > 0 && strings.HasPrefix(lines[0], "LVM-") && strings.HasSuffix(lines[0], "-tpool") {
			return true
		}
	}
	return false
}

func parsePools(in readings) (diagnostics.Value, error) {
	data, err := in.output(rawPools)
	if err != nil {
		return nil, err
	}
	text, ended := strings.CutSuffix(string(data), "end\n")
	files := byFile(grepLines([]byte(text), '\n'))
	mounts, err := parseMounts([]byte(strings.Join(append(files[mountinfoPath], ""), "\n")))
	if err != nil || !ended {
		return nil, cannotTell(diagnostics.Failed, "%s: the output was cut", rawPools)
	}
	thin := []any{}
	if hasThinPool(files) {
		data, err := in.output(rawLVS)
		if err != nil {
			return nil, err
		}
		if thin, err = thinPools(string(data)); err != nil {
			return nil, err
		}
	}
	return diagnostics.Value{"thin": thin, "btrfs": btrfsRoom(files, mounts)}, nil
}

// thinPools reads "  vg0,pool0,91.25,34.10". A pool that is not active has no percentages.
func thinPools(text string) ([]any, error) {
	pools := []any{}
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		cells := strings.Split(strings.TrimSpace(line), ",")
		if len(cells) != 4 {
			return nil, cannotTell(diagnostics.Failed, "%s: a line is not understood", rawLVS)
		}
		data, err1 := strconv.ParseFloat(cells[2], 64)
		metadata, err2 := strconv.ParseFloat(cells[3], 64)
		if err1 != nil || err2 != nil || !(data >= 0 && data <= 100 && metadata >= 0 && metadata <= 100) {
			continue
		}
		pools = append(pools, map[string]any{
			"pool": clip(cells[0]+"/"+cells[1], maxCommand), "data_percent": data, "metadata_percent": metadata,
		})
	}
	return pools, nil
}

// btrfsFS adds up what /sys/fs/btrfs/UUID says, see Documentation/ABI and fs/btrfs/sysfs.c.
type btrfsFS struct {
	size, allocated                        uint64
	data, dataUsed, metadata, metadataUsed uint64
	mount                                  string
}

func btrfsRoom(files map[string][]string, mounts []mount) []any {
	found := map[string]*btrfsFS{}
	var uuids []string
	for file, lines := range files {
		parts := strings.Split(strings.TrimPrefix(file, "/sys/fs/btrfs/"), "/")
		n, err := strconv.ParseUint(lines[0], 10, 60)
		if !strings.HasPrefix(file, "/sys/fs/btrfs/") || len(parts) != 4 || err != nil {
			continue
		}
		fs := found[parts[0]]
		if fs == nil {
			fs = &btrfsFS{}
			found[parts[0]] = fs
			uuids = append(uuids, parts[0])
		}
		fs.add(parts[1], parts[2], parts[3], n, mounts)
	}
	slices.Sort(uuids)
	room := []any{}
	for _, uuid := range uuids {
		fs := found[uuid]
		room = append(room, map[string]any{
			"uuid": clip(uuid, maxCommand), "mount": fs.mount, "size": toInt(fs.size), "unallocated": toInt(fs.size - min(fs.allocated, fs.size)),
			"data": toInt(fs.data), "data_used": toInt(fs.dataUsed), "metadata": toInt(fs.metadata), "metadata_used": toInt(fs.metadataUsed),
		})
	}
	return room
}

// add takes one file: allocation/KIND/COUNTER in bytes, or devices/NAME/size in sectors of 512 bytes.
func (fs *btrfsFS) add(folder, kind, counter string, n uint64, mounts []mount) {
	switch {
	case folder == "devices" && counter == "size":
		fs.size += times(n, sectorBytes)
		for _, m := range mounts {
			if m.fstype == "btrfs" && path.Base(m.source) == kind && (fs.mount == "" || len(m.point) < len(fs.mount)) {
				fs.mount = m.point
			}
		}
	case counter == "disk_total":
		fs.allocated += n
	case kind == "data" && counter == "total_bytes":
		fs.data = n
	case kind == "data" && counter == "bytes_used":
		fs.dataUsed = n
	case kind == "metadata" && counter == "total_bytes":
		fs.metadata = n
	case kind == "metadata" && counter == "bytes_used":
		fs.metadataUsed = n
	}
}
