// Package dns is the bundled plugin that resolves a name on the target, as
// programs there do (getent), and by each name server that is configured there
// (dig), so that one which lies, lags or is silent is told from the others. Only
// the target asks: what its firewall and its servers let through is what counts.
package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/plugins"
)

const (
	rawResolv = "resolv.conf"
	rawHosts  = "hosts"
	rawGetent = "getent"
	rawServer = "server " // with its number

	maxServers     = 3 // as many as glibc asks, MAXNS of resolv.h
	maxAddresses   = 50
	fileBytes      = 1 << 20
	commandTimeout = 12 * time.Second
	outputBytes    = 64 << 10
)

// Plugin returns what plugins.Serve wants.
func Plugin() (plugins.Info, []plugins.Probe) {
	info := plugins.Info{Name: "dns", Version: "1", Capabilities: plugins.Capabilities{
		plugins.CapabilityRead, plugins.MayRun("dig"), plugins.MayRun("getent"), plugins.MayRead("/etc/resolv.conf"), plugins.MayRead("/etc/hosts"),
	}}
	return info, []plugins.Probe{newResolve()}
}

// resolve resolves one name.
type resolve struct {
	name *regexp.Regexp
}

var _ plugins.Probe = (*resolve)(nil)

func newResolve() *resolve {
	// Never a leading dash, @ or +: the name is an argument of dig.
	return &resolve{name: regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?$`)}
}

// Spec implements plugins.Probe.
func (*resolve) Spec() plugins.Spec {
	return plugins.Spec{
		Name: "resolve", Title: "What a name resolves to", CostSeconds: 0.3,
		Doc: "A name by getent ahosts, as programs resolve it (nsswitch.conf), by each name server of /etc/resolv.conf with dig(1), two seconds each, and in /etc/hosts.",
		Inputs: []plugins.Field{
			{Name: "name", Type: plugins.String, Required: true, Doc: "the name"},
			{Name: "server", Type: plugins.String, Doc: "address or address:port to ask in place of those in resolv.conf"},
		},
		Outputs: []plugins.Field{
			{Name: "resolves", Type: plugins.Bool, Doc: "programs on the target get an address"},
			{Name: "addresses", Type: plugins.List, Doc: "those that programs get"},
			{Name: "took_ms", Type: plugins.Int, Doc: "how long programs wait for it"},
			{Name: "in_hosts", Type: plugins.List, Doc: "addresses of the name in /etc/hosts"},
			{Name: "hosts_differ", Type: plugins.Bool, Doc: "the name is in /etc/hosts, and a name server has other addresses for it"},
			{Name: "servers_differ", Type: plugins.Bool, Doc: "name servers that answered do not agree on the addresses or on whether there is such a name"},
			{Name: "servers_silent", Type: plugins.Int, Doc: "that did not answer"},
			{Name: "servers_asked", Type: plugins.Bool, Doc: "dig is there, so that they could be asked"},
			{Name: "servers", Type: plugins.List, Doc: "in the order of resolv.conf, at most 3, as glibc asks them", Elem: []plugins.Field{
				{Name: "server", Type: plugins.String},
				{Name: "answered", Type: plugins.Bool},
				{Name: "rcode", Type: plugins.String, Doc: "NOERROR, NXDOMAIN, SERVFAIL, REFUSED, ...; empty when it did not answer"},
				{Name: "took_ms", Type: plugins.Int, Doc: "as dig says; missing when it did not answer", Optional: true},
				{Name: "addresses", Type: plugins.List},
			}},
		},
	}
}

// Read implements plugins.Probe.
func (r *resolve) Read(ctx context.Context, h plugins.Host, args plugins.Args) ([]plugins.Raw, error) {
	name := args["name"]
	if !r.name.MatchString(name) {
		return nil, fmt.Errorf("%q is no name", name)
	}
	rec := plugins.NewRecorder(h)
	servers := []string{args["server"]}
	if servers[0] == "" {
		conf := rec.ReadFile(ctx, rawResolv, "/etc/resolv.conf", fileBytes)
		servers = nameServers(conf.Data)
	} else if _, _, err := address(servers[0]); err != nil {
		return nil, err
	}
	rec.ReadFile(ctx, rawHosts, "/etc/hosts", fileBytes)
	rec.Run(ctx, rawGetent, plugins.Command{Argv: []string{"getent", "ahosts", "--", name}, Timeout: commandTimeout, MaxOutputBytes: outputBytes})
	for i, s := range servers {
		host, port, err := address(s)
		if err != nil {
			continue // resolv.conf is not ours
		}
		raw := rec.Run(ctx, rawServer+strconv.Itoa(i+1), plugins.Command{
			Argv: []string{
				"dig", "-r", "-p", port, "@" + host, "+time=2", "+tries=1", "+noall", "+comments", "+answer", "+stats", "-q", name, "-t", "A",
			},
			Timeout: commandTimeout, MaxOutputBytes: outputBytes,
		})
		if raw.Status == plugins.Absent {
			break // no dig for the others either
		}
	}
	return rec.Raws(), nil
}

// nameServers are those of resolv.conf(5) that glibc asks. An interface behind
// a % belongs to the address.
func nameServers(conf []byte) []string {
	var servers []string
	for line := range strings.Lines(string(conf)) {
		words := strings.Fields(line)
		if len(words) >= 2 && words[0] == "nameserver" && len(servers) < maxServers {
			servers = append(servers, words[1])
		}
	}
	if len(servers) == 0 {
		return []string{"127.0.0.1"} // resolv.conf(5): the default
	}
	return servers
}

// address splits an address, with or without a port.
func address(text string) (host, port string, err error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return a.String(), "53", nil
	}
	a, err := netip.ParseAddrPort(text)
	if err != nil {
		return "", "", fmt.Errorf("%q is no address of a name server", text)
	}
	return a.Addr().String(), strconv.Itoa(int(a.Port())), nil
}

// Parse implements plugins.Probe.
func (r *resolve) Parse(raws []plugins.Raw, args plugins.Args) (plugins.Value, plugins.Status, error) {
	got, ok := plugins.Find(raws, rawGetent)
	switch {
	case !ok:
		return nil, plugins.Failed, errors.New("nothing was read")
	case got.Status == plugins.Absent:
		return nil, plugins.Failed, errors.New("getent is not there: " + got.Error)
	case got.Status != plugins.OK:
		return nil, got.Status, nil
	case got.ExitCode != 0 && got.ExitCode != 2: // 2: the name was not found, getent(1)
		return nil, plugins.Failed, fmt.Errorf("getent ended with %d: %s", got.ExitCode, got.Error)
	}
	hosts, ok := plugins.Find(raws, rawHosts)
	if !ok || !hosts.Status.Tells() {
		return nil, plugins.Failed, errors.New("/etc/hosts could not be read: " + hosts.Error)
	}
	mine := hostsEntries(hosts.Data, args["name"])
	found := firstWords(got.Data)
	v := plugins.Value{
		"resolves": got.ExitCode == 0 && len(found) > 0, "addresses": found, "took_ms": got.Took.Milliseconds(), "in_hosts": mine,
	}
	all, asked := servers(raws, serverNames(raws, args))
	answered := slices.DeleteFunc(slices.Clone(all), func(s said) bool { return !s.answered })
	v["servers_asked"], v["servers_silent"] = asked, len(all)-len(answered)
	v["servers_differ"] = len(answered) > 0 && slices.ContainsFunc(answered[1:], func(s said) bool { return disagree(answered[0], s) })
	v["hosts_differ"] = overrides(mine, answered)
	list := []any{}
	for _, s := range all {
		list = append(list, s.value())
	}
	v["servers"] = list
	return v, plugins.OK, nil
}

func serverNames(raws []plugins.Raw, args plugins.Args) []string {
	if args["server"] != "" {
		return []string{args["server"]}
	}
	conf, _ := plugins.Find(raws, rawResolv)
	return nameServers(conf.Data)
}

// said is what one name server said.
type said struct {
	server, rcode string
	answered      bool
	milliseconds  int64 // -1 when dig does not say
	addresses     []string
}

func (s said) value() map[string]any {
	v := map[string]any{"server": s.server, "answered": s.answered, "rcode": s.rcode, "addresses": append([]string{}, s.addresses...)}
	if s.milliseconds >= 0 {
		v["took_ms"] = s.milliseconds
	}
	return v
}

// servers understands what each name server said; asked is false when there was
// no dig to ask with.
func servers(raws []plugins.Raw, names []string) (all []said, asked bool) {
	status := regexp.MustCompile(`status: ([A-Z0-9]+)`)
	took := regexp.MustCompile(`Query time: (\d{1,9}) msec`)
	for i, name := range names {
		raw, ok := plugins.Find(raws, rawServer+strconv.Itoa(i+1))
		if !ok || raw.Status != plugins.OK {
			continue
		}
		asked = true
		one := said{server: strings.ToValidUTF8(name, "\uFFFD"), milliseconds: -1}
		text := string(raw.Data)
		if m := status.FindStringSubmatch(text); m != nil && raw.ExitCode == 0 {
			one.answered, one.rcode, one.addresses = true, m[1], answers(text)
			if m := took.FindStringSubmatch(text); m != nil {
				one.milliseconds, _ = strconv.ParseInt(m[1], 10, 64) // nine digits are a number
			}
		}
		all = append(all, one)
	}
	return all, asked
}

// answers are the addresses of lines "name. 60 IN A 192.0.2.1".
func answers(text string) []string {
	found := []string{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 5 && words[2] == "IN" && words[3] == "A" && !strings.HasPrefix(line, ";") && len(found) < maxAddresses {
			if a, err := netip.ParseAddr(words[4]); err == nil {
				found = append(found, a.String())
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// disagree reports whether two servers that answered contradict each other: of a
// name with many addresses each may give some, but not others altogether.
func disagree(a, b said) bool {
	if a.rcode != b.rcode || (len(a.addresses) == 0) != (len(b.addresses) == 0) {
		return true
	}
	return len(a.addresses) > 0 && !slices.ContainsFunc(a.addresses, func(one string) bool { return slices.Contains(b.addresses, one) })
}

// overrides reports whether /etc/hosts has an address of the family asked for
// that no server has.
func overrides(hosts []string, servers []said) bool {
	var all []string
	for _, s := range servers {
		all = append(all, s.addresses...)
	}
	return len(all) > 0 && slices.ContainsFunc(hosts, func(h string) bool {
		a, err := netip.ParseAddr(h)
		return err == nil && a.Is4() && !slices.Contains(all, h)
	})
}

func hostsEntries(data []byte, name string) []string {
	found := []string{}
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) < 2 || !slices.ContainsFunc(words[1:], func(w string) bool { return strings.EqualFold(w, strings.TrimSuffix(name, ".")) }) {
			continue
		}
		if a, err := netip.ParseAddr(words[0]); err == nil && len(found) < maxAddresses {
			found = append(found, a.String())
		}
	}
	return found
}

func firstWords(data []byte) []string {
	found := []string{}
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if a, err := netip.ParseAddr(words[0]); err == nil && !slices.Contains(found, a.String()) && len(found) < maxAddresses {
			found = append(found, a.String())
		}
	}
	return found
}
