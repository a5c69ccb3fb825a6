package linux

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

const (
	rawPortRange    = "port_range"
	maxSocketsBytes = 16 << 20
	maxDestinations = 30
	maxBacklogs     = 50
)

func netTCP() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "net.tcp",
			Title: "TCP connections of the host that wait, repeat or use up its ports",
			Doc:   "ss -tano, see ss(8): Recv-Q of a listening socket is what waits to be accepted, Send-Q how many may. ip_local_port_range of ip(7). Only the network namespace of the agent.",
			Outputs: []expr.Field{
				integer("sockets", "all that ss shows, those in TIME-WAIT included"),
				integer("local_ports", "how many ports there are for connections that the host opens"),
				integer("half_open", "connections in SYN-RECV: begun from outside and not completed"),
				list("destinations", "at most 30 to which the host itself connects; those that do not answer first, then by ports",
					str("address", "of the other side"),
					integer("port", "of the other side"),
					integer("ports_used", "local ports taken for it from one address of the host, in whatever state"),
					double("ports_percent", "of local_ports"),
					integer("time_wait", "of those in TIME-WAIT"),
					integer("established", "connected"),
					integer("unanswered", "in SYN-SENT, and asked more than once already"),
					integer("repeating", "connected, and what was sent is being repeated"),
					integer("stalled", "connected, and at least 1000 bytes were repeated three times or more without an answer"),
					integer("close_wait", "which the other side ended and the program here never closed")),
				list("backlogs", "at most 50 listening sockets with somebody waiting, the fullest first",
					str("address", "on which it listens"),
					integer("port", "the port"),
					integer("waiting", "connections that the program has not accepted yet"),
					integer("limit", "how many may wait"),
					boolean("full", "as many wait as may")),
			},
			CostSeconds: 0.1,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			rec.File(ctx, rawPortRange, "/proc/sys/net/ipv4/ip_local_port_range", maxProcBytes)
			cmd := command("ss", "-H", "-t", "-a", "-n", "-o")
			cmd.MaxOutputBytes = maxSocketsBytes
			rec.Run(ctx, rawSockets, cmd)
			return nil
		},
		parse: parseTCP,
	}
}

// tcpSocket is one line of ss.
type tcpSocket struct {
	state           string
	received, sends int64
	local, peer     string
	localPort, port int64
	timer           string // on, keepalive, timewait, persist; "" when none runs
	repeated        int64
}

// parseTCPLine reads "ESTAB 0 36 10.0.0.1:22 10.0.0.2:5022 timer:(on,204ms,0)".
func parseTCPLine(text string) (tcpSocket, bool) {
	columns := strings.Fields(text)
	if len(columns) < 5 {
		return tcpSocket{}, false
	}
	s := tcpSocket{state: columns[0]}
	var err1, err2 error
	s.received, err1 = strconv.ParseInt(columns[1], 10, 64)
	s.sends, err2 = strconv.ParseInt(columns[2], 10, 64)
	var ok1, ok2 bool
	s.local, s.localPort, ok1 = splitSocket(columns[3])
	s.peer, s.port, ok2 = splitSocket(columns[4])
	if err1 != nil || err2 != nil || !ok1 || !ok2 {
		return tcpSocket{}, false
	}
	for _, c := range columns[5:] {
		inner, ok := strings.CutPrefix(c, "timer:(")
		fields := strings.Split(strings.TrimSuffix(inner, ")"), ",")
		if !ok || len(fields) != 3 {
			continue
		}
		s.timer = fields[0]
		s.repeated, _ = strconv.ParseInt(fields[2], 10, 64)
	}
	return s, true
}

// splitSocket reads "[::1]:22", "10.0.0.1%eth0:22" and "*:*"; the port of the
// last is 0.
func splitSocket(text string) (address string, port int64, ok bool) {
	colon := strings.LastIndexByte(text, ':')
	if colon < 0 {
		return "", 0, false
	}
	address = strings.TrimPrefix(strings.Trim(text[:colon], "[]"), "::ffff:")
	if text[colon+1:] == "*" {
		return address, 0, true
	}
	n, err := strconv.ParseUint(text[colon+1:], 10, 16)
	return address, int64(n), err == nil
}

// parsePortRange reads "32768\t60999".
func parsePortRange(data []byte) (low, high int64, ok bool) {
	fields := strings.Fields(string(data))
	if len(fields) != 2 {
		return 0, 0, false
	}
	from, err1 := strconv.ParseUint(fields[0], 10, 16)
	to, err2 := strconv.ParseUint(fields[1], 10, 16)
	return int64(from), int64(to), err1 == nil && err2 == nil && from <= to
}

// destination gathers the connections to one port of one address.
type destination struct {
	peer                                               string
	port                                               int64
	ports                                              map[string]map[int64]bool // by the address of the host
	timeWait, open, unanswered, repeating, stalled, cw int64
}

func (d *destination) add(s tcpSocket) {
	if d.ports[s.local] == nil {
		d.ports[s.local] = map[int64]bool{}
	}
	d.ports[s.local][s.localPort] = true
	switch s.state {
	case "TIME-WAIT":
		d.timeWait++
	case "CLOSE-WAIT":
		d.cw++
	case "SYN-SENT":
		if s.repeated > 0 {
			d.unanswered++
		}
	case "ESTAB":
		d.open++
		if s.timer == "on" && s.repeated > 0 {
			d.repeating++
			if s.repeated >= 3 && s.sends >= 1000 {
				d.stalled++
			}
		}
	}
}

// used is the most ports taken from one address of the host.
func (d *destination) used() int64 {
	most := 0
	for _, ports := range d.ports {
		most = max(most, len(ports))
	}
	return int64(most)
}

func parseTCP(in readings) (diagnostics.Value, error) {
	raw, err := in.whole(rawPortRange)
	if err != nil {
		return nil, notAbsent(err)
	}
	low, high, ok := parsePortRange(raw.Data)
	if !ok {
		return nil, cannotTell(diagnostics.Failed, "%s is not understood", rawPortRange)
	}
	data, err := in.output(rawSockets)
	if err != nil {
		return nil, err
	}
	var all []tcpSocket
	listening := map[int64]bool{}
	for line := range bytes.Lines(data) {
		s, ok := parseTCPLine(string(line))
		if !ok {
			return nil, cannotTell(diagnostics.Failed, "ss: a line is not understood")
		}
		if s.state == "LISTEN" {
			listening[s.localPort] = true
		}
		all = append(all, s)
	}
	var halfOpen int64
	found, backlogs := map[string]*destination{}, []tcpSocket{}
	for _, s := range all {
		switch {
		case s.state == "LISTEN":
			if s.received > 0 {
				backlogs = append(backlogs, s)
			}
			continue
		case s.state == "SYN-RECV":
			halfOpen++
			continue
		case listening[s.localPort] || s.localPort < low || s.localPort > high:
			continue // from outside, or from a port of the program's own choice
		}
		key := s.peer + " " + strconv.FormatInt(s.port, 10)
		if found[key] == nil {
			found[key] = &destination{peer: s.peer, port: s.port, ports: map[string]map[int64]bool{}}
		}
		found[key].add(s)
	}
	return diagnostics.Value{
		"sockets": int64(len(all)), "local_ports": high - low + 1, "half_open": halfOpen,
		"destinations": destinationFields(found, high-low+1), "backlogs": backlogFields(backlogs),
	}, nil
}

func destinationFields(found map[string]*destination, localPorts int64) []any {
	sorted := slices.SortedFunc(maps.Values(found), func(a, b *destination) int {
		return cmp.Or(cmp.Compare(b.unanswered, a.unanswered), cmp.Compare(b.used(), a.used()), cmp.Compare(a.peer, b.peer), cmp.Compare(a.port, b.port))
	})
	list := []any{}
	for _, d := range sorted[:min(len(sorted), maxDestinations)] {
		list = append(list, map[string]any{
			"address": clip(d.peer, maxCommand), "port": d.port, "ports_used": d.used(),
			"ports_percent": percent(uint64(d.used()), uint64(localPorts)), "time_wait": d.timeWait, "established": d.open,
			"unanswered": d.unanswered, "repeating": d.repeating, "stalled": d.stalled, "close_wait": d.cw,
		})
	}
	return list
}

func backlogFields(backlogs []tcpSocket) []any {
	slices.SortStableFunc(backlogs, func(a, b tcpSocket) int { return cmp.Compare(b.received-b.sends, a.received-a.sends) })
	list := []any{}
	for _, s := range backlogs[:min(len(backlogs), maxBacklogs)] {
		list = append(list, map[string]any{
			"address": clip(s.local, maxCommand), "port": s.localPort, "waiting": s.received, "limit": s.sends, "full": s.received >= s.sends,
		})
	}
	return list
}
