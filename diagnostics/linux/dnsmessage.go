package linux

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
)

// askScript asks each name server the question of its own, by a datagram that
// comes as \x escapes: arguments are pairs of server and question. A second
// question follows a silent one, because one datagram may be lost. /dev/udp is
// of bash(1), which needs no tool for names to be there. cat(1) gets the answer
// by one read(2), and waits for another until it is ended; it fails where the
// port is closed. What waits to be read is asked first, so that this is short.
const askScript = `ask() { for try in 1 2; do exec 3<>"/dev/udp/$1/53" && printf %b "$2" >&3 || return; o=; ` +
	`for w in 0.01 0.03 0.06 0.1 0.2 0.4 0.7 0; do if read -t 0 -u 3; then ` +
	`o=$(timeout 0.1 cat <&3 2>/dev/null | od -An -v -tx1; echo "status ${PIPESTATUS[0]}"); break; fi; sleep $w; done; [ -z "$o" ] || break; done; ` +
	`echo answer $1 ${o:-status 124}; }; while [ $# -gt 1 ]; do ask "$1" "$2" 2>/dev/null & shift 2; done; wait; echo end`

const queryID = 0x534c

// question is a query for the IPv4 address of the name (RFC 1035, 4.1), with
// recursion desired, as \x escapes.
func question(name string) string {
	msg := []byte{queryID >> 8, queryID & 0xff, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		msg = append(append(msg, byte(len(label))), label...)
	}
	msg = append(msg, 0, 0, 1, 0, 1)
	var b strings.Builder
	for _, c := range msg {
		fmt.Fprintf(&b, `\x%02x`, c)
	}
	return b.String()
}

// answer is what one name server said.
type answer struct {
	server    string
	name      string // that the message repeats; "" without one
	came      bool
	refused   bool // the port is closed: the host said so at once
	rcode     int64
	addresses []string
}

// parseAnswers reads "answer SERVER HEX… status N" lines, in whatever order
// they came.
func parseAnswers(data []byte) ([]answer, error) {
	malformed := cannotTell(diagnostics.Failed, "%s: the output has not the form of this host's usual tools", rawAnswers)
	var all []answer
	ended := false
	for line := range bytes.Lines(data) {
		fields := strings.Fields(string(line))
		if ended = len(fields) == 1 && fields[0] == "end"; ended {
			break
		}
		if len(fields) < 4 || fields[0] != "answer" || fields[len(fields)-2] != "status" {
			return nil, malformed
		}
		a := answer{server: fields[1]}
		msg, err := hex.DecodeString(strings.Join(fields[2:len(fields)-2], ""))
		if err != nil {
			return nil, malformed
		}
		a.refused = fields[len(fields)-1] == "1" // the reading failed, by ECONNREFUSED
		a.came = a.read(msg)
		all = append(all, a)
	}
	if !ended {
		return nil, malformed
	}
	return all, nil
}

// read takes the code and the IPv4 addresses out of a message (RFC 1035, 4.1).
func (a *answer) read(msg []byte) bool {
	if len(msg) < 12 || msg[0] != queryID>>8 || msg[1] != queryID&0xff || msg[2]&0x80 == 0 {
		return false
	}
	a.rcode = int64(msg[3] & 0xf)
	questions, records := int(msg[4])<<8|int(msg[5]), int(msg[6])<<8|int(msg[7])
	a.name = nameAt(msg, 12)
	at := 12
	for range min(questions, 4) {
		at = skipName(msg, at) + 4
	}
	for range min(records, 64) {
		at = skipName(msg, at)
		if at+10 > len(msg) {
			break
		}
		length := int(msg[at+8])<<8 | int(msg[at+9])
		data := at + 10
		if data+length > len(msg) {
			break
		}
		if msg[at] == 0 && msg[at+1] == 1 && length == 4 {
			address, _ := netip.AddrFromSlice(msg[data : data+4])
			a.addresses = append(a.addresses, address.String())
		}
		at = data + length
	}
	slices.Sort(a.addresses)
	return true
}

// nameAt is the name without pointers at the place, in small letters.
func nameAt(msg []byte, at int) string {
	var labels []string
	for at < len(msg) && msg[at] > 0 && msg[at] < 64 && at+1+int(msg[at]) <= len(msg) {
		labels = append(labels, strings.ToLower(string(msg[at+1:at+1+int(msg[at])])))
		at += 1 + int(msg[at])
	}
	return strings.Join(labels, ".")
}

// skipName returns the place behind a name, which ends by an empty label or by
// a pointer.
func skipName(msg []byte, at int) int {
	for at < len(msg) {
		switch n := int(msg[at]); {
		case n == 0:
			return at + 1
		case n >= 0xc0:
			return at + 2
		default:
			at += n + 1
		}
	}
	return at
}

func rcodeText(a answer) string {
	switch {
	case a.refused:
		return "port closed"
	case !a.came:
		return "no answer"
	}
	names := []string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"}
	if int(a.rcode) < len(names) {
		return names[a.rcode]
	}
	return "RCODE" + strconv.FormatInt(a.rcode, 10)
}
