package linux

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

const nodesScript = `grep -aHs '' /sys/devices/system/node/node*/meminfo /proc/sys/vm/zone_reclaim_mode; echo end`

const rawNodes = "nodes"

func memoryNodes() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "memory.nodes",
			Title: "Memory of each NUMA node",
			Doc:   "/sys/devices/system/node/nodeN/meminfo and vm.zone_reclaim_mode, see numa(7).",
			Outputs: []expr.Field{
				list("nodes", "by name",
					str("node", "node0, node1, ..."), size("total", "bytes"), size("free", "bytes"), size("cache", "bytes of files, which can be given back"),
					double("free_percent", "of the total, with the cache")),
				boolean("zone_reclaim", "the kernel takes memory back on a node before it takes it from another one"),
			},
			CostSeconds: 0.02,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			rec.Run(ctx, rawNodes, command("sh", "-c", nodesScript))
			return nil
		},
		parse: parseNodes,
	}
}

func parseNodes(in readings) (diagnostics.Value, error) {
	data, err := in.output(rawNodes)
	if err != nil {
		return nil, err
	}
	text, ended := strings.CutSuffix(string(data), "end\n")
	if !ended {
		return nil, cannotTell(diagnostics.Failed, "%s: the output was cut", rawNodes)
	}
	files := byFile(grepLines([]byte(text), '\n'))
	nodes := []any{}
	for file, lines := range files {
		if path.Base(file) != "meminfo" {
			continue
		}
		plain := make([]string, 0, len(lines)) // "Node 0 MemTotal:  24684092 kB"
		for _, line := range lines {
			words := strings.SplitN(line, " ", 3)
			plain = append(plain, words[len(words)-1])
		}
		kib, err := meminfo(plain)
		if err != nil || kib["MemTotal"] == 0 {
			return nil, cannotTell(diagnostics.Failed, "%s: %s is not understood", rawNodes, clip(file, maxCommand))
		}
		cache := kib["FilePages"] - min(kib["Shmem"], kib["FilePages"])
		nodes = append(nodes, map[string]any{
			"node": clip(path.Base(path.Dir(file)), maxCommand), "total": toInt(kib["MemTotal"]), "free": toInt(kib["MemFree"]), "cache": toInt(cache),
			"free_percent": percent(min(kib["MemFree"]+cache, kib["MemTotal"]), kib["MemTotal"]),
		})
	}
	slices.SortFunc(nodes, func(a, b any) int {
		return strings.Compare(a.(map[string]any)["node"].(string), b.(map[string]any)["node"].(string))
	})
	reclaim := files["/proc/sys/vm/zone_reclaim_mode"]
	return diagnostics.Value{"nodes": nodes, "zone_reclaim": len(reclaim) == 1 && reclaim[0] != "0"}, nil
}
