package logs_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/secondline-ops/secondline/diagnostics/logs"
)

func mask(line string) string { return string(logs.Mask(nil, line)) }

// maskCases are lines of journald, kernel, OpenSSH, nginx, PostgreSQL and
// ZooKeeper, and what is left of them.
func maskCases() map[string]string {
	return map[string]string{
		"": "",
		"Started nginx.service - A high performance web server.":                                        "Started nginx.service - A high performance web server.",
		"Failed password for root from 10.0.0.7 port 22 ssh2":                                           "Failed password for root from <ip> port <num> ssh2",
		"connect() to [2001:db8::7]:80, fe80::1%eth0 and ::1 failed":                                    "connect() to [<ip>]:<num>, <ip> and <ip> failed",
		"Accepted socket connection from /10.10.34.11:45307":                                            "Accepted socket connection from /<ip>",
		"nginx.service: Main process exited, code=exited, status=203":                                   "nginx.service: Main process exited, code=exited, status=203",
		"code=killed, status=9/KILL":                                                                    "code=killed, status=9/KILL",
		"exit code: 137, took 137 ms, 12ms, 3.5GiB, 99%, -5, +0.1":                                      "exit code: 137, took <num> ms, <num>ms, <num>GiB, <num>%, <num>, <num>",
		"status 12345 and code 7ms":                                                                     "status <num> and code <num>ms",
		"2026/11/22 00:38:12 [emerg] 416#416: bind() to 0.0.0.0:80 failed (98: Address already in use)": "<time> <time> [emerg] <num>#<num>: bind() to <ip> failed (<num>: Address already in use)",
		"2026-11-22T00:38:12.123Z 2026-11-22 00:38:12,123 22/Nov/2026:00:38:12":                         "<time> <time> <time>,<num> <time>",
		"connection at Sun Jul 10 03:55:15 2005, Mar may":                                               "connection at <time> <time> <num> <time> <num>, Mar may",
		"session 0x14f05578bd80001 of 9f86d081884c and 3f2504e0-4f89-11d3-9a0c-0305e82c3301":            "session <hex> of <hex> and <uuid>",
		"link/ether 52:54:00:12:34:56 on eth0, sda1, c12":                                               "link/ether <mac> on eth0, sda1, c12",
		`open "/var/lib/x y": GET https://a.example/b?c=1&d=2 HTTP/1.1`:                                 `open "<path> y": GET <url> HTTP/<num>.<num>`,
		"uid=0 pid=4242 comm=cron token=Zx81Kq0a92LmP4tt":                                               "uid=<num> pid=<num> comm=cron token=<id>",
		"bell\a escape\x1b[31m tab\t right-to-left\u202e no-break\u00a0":                                "bell  escape [<num>m tab  right-to-left  no-break ",
		"not UTF-8: \xff\xfe end, Zürich 8, 5µs":                                                        "not UTF-<num>: \uFFFD\uFFFD end, Zürich <num>, <num>µs",
		"<num> <5> <path>/x <nothing> <":                                                                "<num> <<num>> <path>/x <nothing> <",
	}
}

func TestMasksWhatVaries(t *testing.T) {
	t.Parallel()
	for line, want := range maskCases() {
		if got := mask(line); got != want {
			t.Errorf("%q\n got %q\nwant %q", line, got, want)
		}
	}
}

// checkMasked has what must hold for any line.
func checkMasked(t *testing.T, line string) {
	t.Helper()
	once := mask(line)
	if twice := mask(once); twice != once {
		t.Errorf("%q\nonce  %q\ntwice %q", line, once, twice)
	}
	if !utf8.ValidString(once) {
		t.Errorf("%q: %q is not UTF-8", line, once)
	}
	if i := strings.IndexFunc(once, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
		t.Errorf("%q: %q has a control character at %d", line, once, i)
	}
}

func TestMaskingTwiceIsMaskingOnce(t *testing.T) {
	t.Parallel()
	for line := range maskCases() {
		checkMasked(t, line)
	}
	// Parts whose borders matter, in any order.
	parts := []string{
		"12", "a", "deadbeef1", "/", ":", "-", ".", "<num>", "<", ">", "status ", "code=", "Jan ", "Sun ", "://", "1.2.3.4", "ms",
		"0x", " ", "::", "%", "é", "\xff", "00:11:22", "7", "#", "\"", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "+", "2026-01-02", "T",
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 50_000 {
		var line strings.Builder
		for range 1 + random.IntN(8) {
			line.WriteString(parts[random.IntN(len(parts))])
		}
		checkMasked(t, line.String())
	}
}

func FuzzMask(f *testing.F) {
	for line := range maskCases() {
		f.Add(line)
	}
	f.Fuzz(checkMasked)
}
