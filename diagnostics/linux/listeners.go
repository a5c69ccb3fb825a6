package linux

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

const (
	rawSockets      = "ss"
	rawCgroups      = "cgroups"
	maxProcNetBytes = 4 << 20
	maxListeners    = 2000
)

func netListeners() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "net.listeners",
			Title: "Who listens on which port",
			Doc:   "ss(8), or /proc/net/{tcp,tcp6,udp,udp6} where it is not there; units by /proc/PID/cgroup. Only the network namespace of the agent.",
			Outputs: []expr.Field{list("listeners", "by protocol, port and address",
				str("proto", "tcp or udp"),
				str("address", "0.0.0.0, 127.0.0.1, ::, *, fe80::1%eth0, ..."),
				integer("port", "the port"),
				integer("pid", "who holds it; 0 when the agent may not know"),
				str("process", "its name, \"\" when the agent may not know"),
				str("unit", "its systemd unit, \"\" when it is in none or the agent may not know"))},
			CostSeconds: 0.1,
		},
		read:  readListeners,
		parse: parseListeners,
	}
}

// procNet are the files behind ss, by the protocol they are of.
func procNet() []struct{ file, proto string } {
	return []struct{ file, proto string }{{"tcp", "tcp"}, {"tcp6", "tcp"}, {"udp", "udp"}, {"udp6", "udp"}}
}

func readListeners(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
	raw := rec.Run(ctx, rawSockets, command("ss", "-H", "-l", "-n", "-t", "-u", "-p"))
	if raw.Status != diagnostics.OK || raw.ExitCode != 0 {
		for _, f := range procNet() {
			rec.File(ctx, f.file, "/proc/net/"+f.file, maxProcNetBytes)
		}
		return nil
	}
	found, _ := parseSockets(raw.Data)
	argv := []string{"grep", "-aH", "", "--"}
	seen := map[int64]bool{}
	for _, l := range found {
		if l.pid > 0 && !seen[l.pid] {
			seen[l.pid] = true
			argv = append(argv, fmt.Sprintf("/proc/%d/cgroup", l.pid))
		}
	}
	if len(seen) > 0 {
		rec.Run(ctx, rawCgroups, command(argv...))
	}
	return nil
}

// listener is one open port.
type listener struct {
	proto, address string
	port, pid      int64
	process        string
}

// parseSockets reads the lines of ss: "tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:((…))".
func parseSockets(data []byte) ([]listener, error) {
	var found []listener
	for line := range bytes.Lines(data) {
		text := strings.TrimSuffix(string(line), "\n")
		before, owners, _ := strings.Cut(text, "users:(")
		columns := strings.Fields(before)
		if len(columns) == 0 {
			continue
		}
		if len(columns) < 6 || columns[0] != "tcp" && columns[0] != "udp" || len(found) == maxListeners {
			return nil, cannotTell(diagnostics.Failed, "ss: a line is not understood")
		}
		l := listener{proto: columns[0]}
		colon := strings.LastIndexByte(columns[4], ':')
		port, err := strconv.ParseUint(columns[4][colon+1:], 10, 16)
		if colon < 0 || err != nil {
			return nil, cannotTell(diagnostics.Failed, "ss: an address is not understood")
		}
		l.address, l.port = strings.NewReplacer("[", "", "]", "").Replace(columns[4][:colon]), int64(port)
		l.process, l.pid = owner(owners)
		found = append(found, l)
	}
	return found, nil
}

// owner reads `("nginx",pid=51,fd=5),("nginx",pid=50,fd=5))`. A process may
// choose a name that looks like a piece of this; within the 15 bytes that it
// has, it cannot make the whole well-formed, and anything else names nobody.
// systemd holds the sockets of units that it starts on demand; their own
// process goes first, else the one with the lowest pid.
func owner(text string) (process string, pid int64) {
	for {
		rest, opened := strings.CutPrefix(text, `("`)
		name, rest, named := strings.Cut(rest, `",pid=`)
		digits, rest, _ := strings.Cut(rest, `,fd=`)
		n, err := strconv.ParseInt(digits, 10, 32)
		end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if !opened || !named || err != nil || n <= 0 || end <= 0 || rest[end] != ')' {
			return "", 0
		}
		if pid == 0 || pid == 1 || n != 1 && n < pid {
			process, pid = name, n
		}
		text = rest[end+1:]
		if text = strings.TrimRight(text, " "); text == ")" {
			return clip(process, maxCommand), pid
		}
		next, more := strings.CutPrefix(text, ",")
		if !more {
			return "", 0
		}
		text = next
	}
}

// parseProcNet reads /proc/net/tcp and its kin, see proc(5): addresses are hex
// in words of the host's byte order, which is taken to be little-endian.
func parseProcNet(data []byte, proto string) ([]listener, error) {
	const tcpListen, udpUnconnected = "0A", "07" // include/net/tcp_states.h
	var found []listener
	first := true
	for line := range bytes.Lines(data) {
		columns := strings.Fields(string(line))
		if first {
			first = false
			if len(columns) > 1 && columns[1] == "local_address" {
				continue
			}
		}
		if len(columns) < 4 {
			return nil, cannotTell(diagnostics.Failed, "/proc/net: a line is not understood")
		}
		if proto == "tcp" && columns[3] != tcpListen || proto == "udp" && columns[3] != udpUnconnected {
			continue
		}
		host, port, _ := strings.Cut(columns[1], ":")
		words, err1 := hex.DecodeString(host)
		n, err2 := strconv.ParseUint(port, 16, 16)
		for i := 0; i+4 <= len(words); i += 4 {
			slices.Reverse(words[i : i+4])
		}
		address, ok := netip.AddrFromSlice(words)
		if err1 != nil || err2 != nil || !ok || len(found) == maxListeners {
			return nil, cannotTell(diagnostics.Failed, "/proc/net: a line is not understood")
		}
		found = append(found, listener{proto: proto, address: address.String(), port: int64(n)})
	}
	if first {
		return nil, cannotTell(diagnostics.Failed, "/proc/net: a file is empty")
	}
	return found, nil
}

func parseListeners(in readings) (diagnostics.Value, error) {
	found, err := in.listeners()
	if err != nil {
		return nil, err
	}
	cgroups := map[int64][]string{}
	if raw, err := in.ran(rawCgroups); err == nil {
		cgroups = byPID(grepLines(raw.Data, '\n'), "cgroup")
	}
	slices.SortFunc(found, func(a, b listener) int {
		return cmp.Or(cmp.Compare(a.proto, b.proto), cmp.Compare(a.port, b.port), cmp.Compare(a.address, b.address), cmp.Compare(a.pid, b.pid))
	})
	listeners := []any{}
	for _, l := range found {
		listeners = append(listeners, map[string]any{
			"proto": l.proto, "address": l.address, "port": l.port,
			"pid": l.pid, "process": l.process, "unit": cgroupUnit(cgroups[l.pid]),
		})
	}
	return diagnostics.Value{"listeners": listeners}, nil
}

func (in readings) listeners() ([]listener, error) {
	if raw, err := in.ran(rawSockets); err == nil && raw.ExitCode == 0 {
		return parseSockets(raw.Data)
	} else if isStatus(err, diagnostics.Truncated) {
		return nil, err
	}
	var found []listener
	for _, f := range procNet() {
		raw, err := in.whole(f.file)
		if isStatus(err, diagnostics.Absent) && strings.HasSuffix(f.file, "6") {
			continue // no IPv6 here
		}
		if err != nil {
			return nil, notAbsent(err)
		}
		some, err := parseProcNet(raw.Data, f.proto)
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
	}
	return found, nil
}
