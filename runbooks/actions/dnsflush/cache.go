package dnsflush

import (
	"bytes"
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/runbooks/engine"
)

// cache is a service that caches names, and its own means to forget them.
type cache struct {
	name  string
	units []string // under which distributions have it; the first that is there counts
	flush func(unit string) []string
	stats []string             // a command that tells how many names are cached; nil: there is none that writes no file
	count func(out []byte) int // -1: it does not say
}

// unknown is a number of names that nobody tells.
const unknown = -1

// caches are in the order in which they are emptied: one that asks another
// would be filled again from what the other has not yet forgotten.
func caches() []cache {
	always := func(argv ...string) func(string) []string { return func(string) []string { return slices.Clone(argv) } }
	return []cache{
		{
			name: "unbound", units: []string{"unbound.service"}, flush: always("unbound-control", "flush_zone", "."),
			stats: []string{"unbound-control", "stats_noreset"}, count: countUnbound,
		},
		{name: "named", units: []string{"named.service", "bind9.service"}, flush: always("rndc", "flush")},
		// dnsmasq(8): on SIGHUP it clears its cache, and reads /etc/hosts and its like again, but not its configuration. Not every
		// distribution's unit has an ExecReload= that sends it.
		{name: "dnsmasq", units: []string{"dnsmasq.service"}, flush: func(unit string) []string {
			return []string{"systemctl", "kill", "--kill-who=main", "--signal=HUP", "--", unit}
		}},
		{
			name: "systemd-resolved", units: []string{"systemd-resolved.service"}, flush: always("resolvectl", "flush-caches"),
			stats: []string{"resolvectl", "statistics"}, count: countResolved,
		},
		{
			name: "nscd", units: []string{"nscd.service"}, flush: always("nscd", "--invalidate=hosts"),
			stats: []string{"nscd", "--statistics"}, count: countNscd,
		},
	}
}

// size asks how many names are cached. That it is not told is no error: it
// needs rights, or a configuration, that emptying the cache does not need.
func (c cache) size(ctx context.Context, env *engine.Env) int {
	if c.stats == nil {
		return unknown
	}
	res, err := env.Read(ctx, c.stats...)
	if err != nil || res.Err() != nil || res.Truncated {
		return unknown
	}
	return c.count(res.Stdout)
}

// countUnbound reads what unbound says with extended-statistics: yes.
func countUnbound(out []byte) int {
	total, found := 0, false
	for line := range bytes.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSpace(string(line)), "=")
		if key != "msg.cache.count" && key != "rrset.cache.count" {
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return unknown
		}
		total, found = total+n, true
	}
	if !found {
		return unknown
	}
	return total
}

func countResolved(out []byte) int {
	return firstNumber(regexp.MustCompile(`(?mi)^\s*Current Cache Size:\s*([0-9]{1,9})\s*$`), out)
}

// countNscd reads the section of hosts among those of passwd, group and others.
func countNscd(out []byte) int {
	_, hosts, ok := bytes.Cut(out, []byte("\nhosts cache:"))
	if !ok {
		return unknown
	}
	if next := regexp.MustCompile(`(?m)^\w+ cache:`).FindIndex(hosts); next != nil {
		hosts = hosts[:next[0]]
	}
	return firstNumber(regexp.MustCompile(`(?m)^\s*([0-9]{1,9})\s+current number of cached values\s*$`), hosts)
}

func firstNumber(pattern *regexp.Regexp, out []byte) int {
	m := pattern.FindSubmatch(out)
	if m == nil {
		return unknown
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return unknown
	}
	return n
}
