package redis

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/plugins"
)

func infoSpec() plugins.Spec {
	return plugins.Spec{
		Name: "info", Title: "How a Redis server stands", CostSeconds: 0.05,
		Doc: "Memory, persistence, clients and replication as INFO says (redis.io, INFO), with two settings by CONFIG GET. Counters are since the server started.",
		Outputs: []plugins.Field{
			{Name: "version", Type: plugins.String},
			{Name: "uptime_seconds", Type: plugins.Int},
			{Name: "used_memory", Type: plugins.Int, Doc: "bytes"},
			{Name: "counted_memory", Type: plugins.Int, Doc: "bytes that count against maxmemory: without buffers of replicas and of the append-only file"},
			{Name: "maxmemory", Type: plugins.Int, Doc: "bytes; 0 is no limit"},
			{Name: "used_percent", Type: plugins.Double, Doc: "of maxmemory; 0 without a limit"},
			{Name: "policy", Type: plugins.String, Doc: "maxmemory_policy; noeviction refuses writes"},
			{Name: "refuses_for_memory", Type: plugins.Bool, Doc: "noeviction, and more is counted than maxmemory: writes are refused with OOM"},
			{Name: "fragmentation", Type: plugins.Double, Doc: "mem_fragmentation_ratio"},
			{Name: "evicted_keys", Type: plugins.Int, Doc: "counter"},
			{Name: "oom_errors", Type: plugins.Int, Doc: "counter: writes that were refused for want of memory; 0 before Redis 6.2"},
			{Name: "saves", Type: plugins.Bool, Doc: "there are save points; missing when CONFIG is not allowed", Optional: true},
			{Name: "rdb_ok", Type: plugins.Bool, Doc: "the last background save succeeded, or there was none"},
			{Name: "aof_enabled", Type: plugins.Bool},
			{Name: "aof_ok", Type: plugins.Bool, Doc: "the last write and the last rewrite of the append-only file succeeded, or there was none"},
			{Name: "refuses_for_persistence", Type: plugins.Bool, Doc: "writes are refused with MISCONF, because saving failed; missing when CONFIG is not allowed", Optional: true},
			{Name: "saved_seconds_ago", Type: plugins.Int, Doc: "since the last save that succeeded, or since the start"},
			{Name: "unsaved_changes", Type: plugins.Int, Doc: "rdb_changes_since_last_save"},
			{Name: "loading", Type: plugins.Bool, Doc: "it still reads its data"},
			{Name: "clients", Type: plugins.Int},
			{Name: "max_clients", Type: plugins.Int, Doc: "0 before Redis 6"},
			{Name: "blocked_clients", Type: plugins.Int, Doc: "that wait in a blocking command"},
			{Name: "rejected_connections", Type: plugins.Int, Doc: "counter: refused because of maxclients"},
			{Name: "role", Type: plugins.String, Doc: "master or slave"},
			{Name: "replicas", Type: plugins.Int, Doc: "that are connected"},
			{Name: "link_up", Type: plugins.Bool, Doc: "of a replica: it is connected to its master", Optional: true},
			{Name: "link_down_seconds", Type: plugins.Int, Doc: "of a replica that is not", Optional: true},
			{Name: "replica_lag_bytes", Type: plugins.Int, Doc: "of a master: the replica furthest behind", Optional: true},
		},
	}
}

func parseInfo(raw plugins.Raw) (plugins.Value, error) {
	f, settings := readFacts(raw.Data)
	if f["redis_version"] == "" || f["used_memory"] == "" || f["role"] == "" {
		return nil, errors.New("that is no answer to INFO")
	}
	used, most := f.number("used_memory"), f.number("maxmemory")
	counted := used - f.number("mem_not_counted_for_evict")
	percent := 0.0
	if most > 0 {
		percent = 100 * float64(counted) / float64(most)
	}
	succeeded := func(name string) bool { return f[name] == "" || f[name] == "ok" }
	aof := f["aof_enabled"] == "1"
	v := plugins.Value{
		"version": f["redis_version"], "uptime_seconds": f.number("uptime_in_seconds"),
		"used_memory": used, "counted_memory": counted, "maxmemory": most, "used_percent": percent, "policy": f["maxmemory_policy"],
		"refuses_for_memory": most > 0 && counted > most && f["maxmemory_policy"] == "noeviction",
		"fragmentation":      f.ratio("mem_fragmentation_ratio"), "evicted_keys": f.number("evicted_keys"), "oom_errors": f.count("errorstat_OOM"),
		"rdb_ok": succeeded("rdb_last_bgsave_status"), "aof_enabled": aof,
		"aof_ok":            !aof || succeeded("aof_last_write_status") && succeeded("aof_last_bgrewrite_status"),
		"saved_seconds_ago": max(0, raw.At.Unix()-f.number("rdb_last_save_time")), "unsaved_changes": f.number("rdb_changes_since_last_save"),
		"loading": f["loading"] == "1", "clients": f.number("connected_clients"), "max_clients": f.number("maxclients"),
		"blocked_clients": f.number("blocked_clients"), "rejected_connections": f.number("rejected_connections"),
		"role": f["role"], "replicas": f.number("connected_slaves"),
	}
	f.persistence(v, settings)
	f.replication(v)
	return v, nil
}

// count reads "errorstat_OOM:count=3".
func (f facts) count(name string) int64 {
	text, _ := strings.CutPrefix(f[name], "count=")
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

// persistence says whether writes are refused since saving failed: Redis does so
// (server.c, writeCommandsDeniedByDiskError) when the last save failed, there are
// save points and stop-writes-on-bgsave-error is set, and whenever the last
// write of the append-only file failed.
func (f facts) persistence(v plugins.Value, settings []string) {
	stop, known1 := setting(settings, "stop-writes-on-bgsave-error")
	save, known2 := setting(settings, "save")
	if !known1 || !known2 {
		return
	}
	v["saves"] = save != ""
	byRDB := stop == "yes" && save != "" && f["rdb_last_bgsave_status"] == "err"
	byAOF := f["aof_enabled"] == "1" && f["aof_last_write_status"] == "err"
	v["refuses_for_persistence"] = f["role"] == "master" && (byRDB || byAOF)
}

func (f facts) replication(v plugins.Value) {
	if f["role"] == "slave" {
		v["link_up"] = f["master_link_status"] == "up"
		if v["link_up"] == false {
			v["link_down_seconds"] = max(0, f.number("master_link_down_since_seconds"))
		}
		return
	}
	least := int64(math.MaxInt64)
	for i := range f.number("connected_slaves") {
		line, ok := f["slave"+strconv.FormatInt(i, 10)] // ip=…,port=…,state=online,offset=…,lag=…
		if !ok {
			break
		}
		for part := range strings.SplitSeq(line, ",") {
			if text, ok := strings.CutPrefix(part, "offset="); ok {
				offset, _ := strconv.ParseInt(text, 10, 64)
				least = min(least, offset)
			}
		}
	}
	if least != math.MaxInt64 {
		v["replica_lag_bytes"] = max(0, f.number("master_repl_offset")-least)
	}
}

func latencySpec() plugins.Spec {
	return plugins.Spec{
		Name: "latency", Title: "How fast a Redis server answers", CostSeconds: 1.1,
		Doc: "PING again and again for a second, from the target itself (redis-cli --latency).",
		Outputs: []plugins.Field{
			{Name: "min_ms", Type: plugins.Double},
			{Name: "max_ms", Type: plugins.Double},
			{Name: "average_ms", Type: plugins.Double},
			{Name: "samples", Type: plugins.Int},
		},
	}
}

// parseLatency reads "0 1 0.15 97", milliseconds and the number of samples.
func parseLatency(raw plugins.Raw) (plugins.Value, error) {
	words := strings.Fields(string(raw.Data))
	if len(words) != 4 {
		return nil, fmt.Errorf("redis-cli gave %d numbers, not four", len(words))
	}
	var n [4]float64
	for i, w := range words {
		var err error
		if n[i], err = strconv.ParseFloat(w, 64); err != nil || math.IsNaN(n[i]) || math.IsInf(n[i], 0) || n[i] < 0 || n[i] > 1e15 {
			return nil, errors.New("redis-cli gave something else than numbers")
		}
	}
	return plugins.Value{"min_ms": n[0], "max_ms": n[1], "average_ms": n[2], "samples": int64(n[3])}, nil
}
