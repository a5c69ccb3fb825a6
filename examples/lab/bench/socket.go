package bench

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// firstEphemeralPort is where Linux begins to choose ports by itself
// (net.ipv4.ip_local_port_range). UDP sockets above are clients, which come and
// go.
const firstEphemeralPort = 32768

// listening names a listening socket as people do: "tcp 0.0.0.0:80" or "unix
// /run/x.sock". It returns "" for one that does not count.
func listening(protocol, address string) (string, error) {
	if protocol == "unix" {
		return "unix " + address, nil
	}
	at, err := hexAddress(address)
	if err != nil {
		return "", err
	}
	protocol = strings.TrimSuffix(protocol, "6")
	if protocol == "udp" && at.Port() >= firstEphemeralPort {
		return "", nil
	}
	return protocol + " " + at.String(), nil
}

// hexAddress reads the local address of /proc/net/tcp: 32-bit words in the order
// of the machine (little endian wherever the lab runs), a colon, and the port in
// the order of people; proc_net_tcp.rst in the kernel.
func hexAddress(s string) (netip.AddrPort, error) {
	words, port, ok := strings.Cut(s, ":")
	raw, err := hex.DecodeString(words)
	if !ok || err != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, fmt.Errorf("%s is no address", brief(s))
	}
	for word := range slices.Chunk(raw, 4) {
		slices.Reverse(word)
	}
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("port of %s: %w", brief(s), err)
	}
	ip, _ := netip.AddrFromSlice(raw) // 4 or 16 bytes, as checked
	return netip.AddrPortFrom(ip, uint16(number)), nil
}
