package linux

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

// countersScript prints twice, one second apart, the counters of the network
// stack and of the interfaces, and then what /sys says of each interface.
const countersScript = `s() { cat /proc/uptime /proc/net/snmp /proc/net/netstat /proc/net/dev && echo sample; }; s; sleep 1; s; ` +
	`cd /sys/class/net && grep -sH '' */operstate */flags */mtu */speed */duplex; echo end`

const (
	rawConntrack    = "conntrack_count"
	rawConntrackMax = "conntrack_max"
	maxInterfaces   = 100
	ifaceUp         = 0x1 // IFF_UP of net/if.h
)

func netCounters() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "net.counters",
			Title: "What the network stack lost and repeated within one second",
			Doc: "/proc/net/snmp, netstat and dev twice, one second apart, see proc(5) and networking/snmp_counter.rst of the kernel; " +
				"/sys/class/net; the fill of conntrack. Counters are what was added between the samples, never since the boot.",
			Outputs: []expr.Field{
				double("seconds", "between the samples"),
				integer("out_segs", "TCP segments sent, repetitions not among them"),
				integer("retrans_segs", "TCP segments repeated"),
				double("retrans_percent", "of all that were sent; 0 when none was"),
				integer("syn_retrans", "of those, attempts to connect"),
				integer("listen_overflows", "connections refused because the program did not accept fast enough"),
				integer("listen_drops", "attempts to connect thrown away, those included"),
				integer("syn_queue_full", "times that the queue of half-open connections was full"),
				integer("reverse_path_drops", "packets thrown away by rp_filter"),
				integer("in_missing", "IPv4 packets that came in and reached neither a program nor the way out: thrown away by a packet filter, most often"),
				optional(integer("out_missing", "IPv4 packets that were to be sent and were not; missing where the kernel does not count them apart")),
				integer("conntrack_count", "connections that the packet filter keeps track of; 0 when it does not"),
				integer("conntrack_max", "how many it can; 0 when it keeps none"),
				double("conntrack_percent", "of them; 0 when it keeps none"),
				list("interfaces", "by name, without lo",
					str("name", "eth0"),
					boolean("up", "switched on by the administrator"),
					str("state", "up, down, lowerlayerdown, unknown, ..."),
					integer("mtu", "bytes"),
					integer("speed_mbit", "0 when it is not known"),
					str("duplex", "full, half, unknown; \"\" when the interface has none"),
					integer("packets", "in both directions, in the sample"),
					integer("rx_errors", "bad packets received"),
					integer("rx_frame", "of those with a wrong checksum, length or alignment: cable, plug, optic, duplex"),
					integer("rx_dropped", "good packets received that nobody had room or use for"),
					integer("tx_errors", "packets that could not be sent"),
					integer("tx_carrier", "of those because there was no carrier")),
			},
			CostSeconds: 1.1,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			rec.File(ctx, rawConntrack, "/proc/sys/net/netfilter/nf_conntrack_count", maxProcBytes)
			rec.File(ctx, rawConntrackMax, "/proc/sys/net/netfilter/nf_conntrack_max", maxProcBytes)
			rec.Run(ctx, rawSamples, command("sh", "-c", countersScript))
			return nil
		},
		parse: parseCounters,
	}
}

// netSample is one look at the counters: "Tcp.OutSegs", and the sixteen columns
// of /proc/net/dev of each interface.
type netSample struct {
	uptime     float64
	counters   map[string]uint64
	interfaces map[string][]uint64
}

// parseNetSample reads the lines before one "sample".
func parseNetSample(lines []string) (netSample, bool) {
	s := netSample{counters: map[string]uint64{}, interfaces: map[string][]uint64{}}
	if len(lines) == 0 {
		return s, false
	}
	var err error
	if s.uptime, err = firstNumber(lines[0]); err != nil {
		return s, false
	}
	heads := map[string][]string{}
	for _, line := range lines[1:] {
		colon := strings.LastIndexByte(line, ':')
		if colon < 0 {
			continue // the two headings of /proc/net/dev have bars
		}
		name, columns := strings.TrimSpace(line[:colon]), strings.Fields(line[colon+1:])
		head, known := heads[name]
		switch {
		case slices.Contains([]string{"Ip", "Icmp", "Tcp", "TcpExt", "IpExt"}, name) && !known:
			heads[name] = columns
		case known && len(head) == len(columns):
			for i, key := range head {
				if n, err := strconv.ParseUint(columns[i], 10, 64); err == nil { // MaxConn is -1
					s.counters[name+"."+key] = n
				}
			}
		case len(columns) == 16: // bytes packets errs drop fifo frame compressed multicast, and the same of sending
			numbers := make([]uint64, len(columns))
			for i, c := range columns {
				if numbers[i], err = strconv.ParseUint(c, 10, 64); err != nil {
					return s, false
				}
			}
			s.interfaces[name] = numbers
		}
	}
	_, hasTCP := s.counters["Tcp.OutSegs"]
	_, hasExt := s.counters["TcpExt.ListenOverflows"]
	return s, hasTCP && hasExt
}

// netSamples are both looks, and what /sys says, by "eth0/mtu".
type netSamples struct {
	before, after netSample
	sys           map[string]string
}

// parseNetSamples reads the output of countersScript.
func parseNetSamples(data []byte) (netSamples, error) {
	malformed := cannotTell(diagnostics.Failed, "%s: the output has not the form of this host's usual tools", rawSamples)
	var parts [][]string
	var part []string
	ended := false
	for line := range bytes.Lines(data) {
		text := strings.TrimRight(string(line), "\n")
		switch text {
		case "sample":
			parts, part = append(parts, part), nil
		case "end":
			ended = true
		default:
			part = append(part, text)
		}
	}
	if len(parts) != 2 || !ended {
		return netSamples{}, malformed
	}
	before, ok1 := parseNetSample(parts[0])
	after, ok2 := parseNetSample(parts[1])
	if !ok1 || !ok2 || after.uptime <= before.uptime {
		return netSamples{}, malformed
	}
	sys := map[string]string{}
	for _, text := range part {
		if key, value, ok := strings.Cut(text, ":"); ok {
			sys[key] = value
		}
	}
	return netSamples{before, after, sys}, nil
}

// gained is what the counter gained; counters of 32 bits and of interfaces that
// were made anew may go back, which counts as nothing.
func gained(before, after uint64) int64 {
	if after < before {
		return 0
	}
	return toInt(after - before)
}

func parseCounters(in readings) (diagnostics.Value, error) {
	data, err := in.output(rawSamples)
	if err != nil {
		return nil, err
	}
	samples, err := parseNetSamples(data)
	if err != nil {
		return nil, err
	}
	before, after := samples.before, samples.after
	value := diagnostics.Value{"seconds": after.uptime - before.uptime}
	delta := func(keys ...string) (sum int64) {
		for _, key := range keys {
			sum += gained(before.counters[key], after.counters[key])
		}
		return sum
	}
	value["out_segs"], value["retrans_segs"] = delta("Tcp.OutSegs"), delta("Tcp.RetransSegs")
	value["retrans_percent"] = percent(uint64(delta("Tcp.RetransSegs")), uint64(delta("Tcp.OutSegs", "Tcp.RetransSegs")))
	value["syn_retrans"] = delta("TcpExt.TCPSynRetrans")
	value["listen_overflows"], value["listen_drops"] = delta("TcpExt.ListenOverflows"), delta("TcpExt.ListenDrops")
	value["syn_queue_full"] = delta("TcpExt.TCPReqQFullDoCookies", "TcpExt.TCPReqQFullDrop")
	value["reverse_path_drops"] = delta("TcpExt.IPReversePathFilter")
	value["in_missing"] = max(0, delta("Ip.InReceives")-delta("Ip.InDelivers", "Ip.ForwDatagrams", "Ip.InHdrErrors", "Ip.InAddrErrors",
		"Ip.InUnknownProtos", "Ip.InDiscards", "Ip.ReasmReqds", "IpExt.InNoRoutes", "IpExt.InTruncatedPkts", "TcpExt.IPReversePathFilter"))
	if _, apart := after.counters["Ip.OutTransmits"]; apart {
		value["out_missing"] = max(0, delta("Ip.OutRequests", "Ip.ForwDatagrams")-delta("Ip.OutTransmits", "Ip.OutDiscards", "Ip.OutNoRoutes", "Ip.FragFails"))
	}
	value["interfaces"] = samples.interfaces()
	if err := addConntrack(value, in); err != nil {
		return nil, err
	}
	return value, nil
}

func (s netSamples) interfaces() []any {
	names := []string{}
	for name := range s.after.interfaces {
		if name != "lo" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	list := []any{}
	for _, name := range names[:min(len(names), maxInterfaces)] {
		now, then := s.after.interfaces[name], s.before.interfaces[name]
		if then == nil {
			then = now // it has just come
		}
		number := func(key string, base int) int64 {
			n, err := strconv.ParseInt(s.sys[name+"/"+key], base, 64)
			if err != nil || n < 0 {
				return 0
			}
			return n
		}
		list = append(list, map[string]any{
			"name": clip(name, maxCommand), "up": number("flags", 0)&ifaceUp != 0, "state": clip(s.sys[name+"/operstate"], maxCommand),
			"mtu": number("mtu", 10), "speed_mbit": number("speed", 10), "duplex": clip(s.sys[name+"/duplex"], maxCommand),
			"packets":   gained(then[1], now[1]) + gained(then[9], now[9]),
			"rx_errors": gained(then[2], now[2]), "rx_dropped": gained(then[3], now[3]), "rx_frame": gained(then[5], now[5]),
			"tx_errors": gained(then[10], now[10]), "tx_carrier": gained(then[14], now[14]),
		})
	}
	return list
}

// addConntrack adds the fill of the table; the files are there once the kernel
// keeps track of connections.
func addConntrack(value diagnostics.Value, in readings) error {
	var numbers [2]uint64
	for i, name := range []string{rawConntrack, rawConntrackMax} {
		raw, err := in.whole(name)
		if isStatus(err, diagnostics.Absent) {
			numbers = [2]uint64{}
			break
		}
		if err != nil {
			return err
		}
		if numbers[i], err = strconv.ParseUint(strings.TrimSpace(string(raw.Data)), 10, 63); err != nil {
			return cannotTell(diagnostics.Failed, "%s is not understood", name)
		}
	}
	value["conntrack_count"], value["conntrack_max"] = toInt(numbers[0]), toInt(numbers[1])
	value["conntrack_percent"] = percent(numbers[0], numbers[1])
	return nil
}
