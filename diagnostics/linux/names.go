package linux

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
)

const (
	rawHosts      = "hosts"
	rawResolvConf = "resolv_conf"
	rawResolvReal = "resolv_conf_path"
	rawAnswers    = "answers"
	rawGetent     = "getent"
	rawHostname   = "hostname"
	rawHostsStat  = "hosts_file"

	argName        = "name"
	maxServers     = 3 // MAXNS of resolv.conf(5): the rest is never asked
	maxOverrides   = 8
	resolveTimeout = 15 * time.Second
)

// checkName refuses what is no host name, so that no query and no option of a
// program comes of it.
func checkName(name string) error {
	odd := func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}
	if name == "" || len(name) > 253 || name[0] == '-' || name[0] == '.' || strings.IndexFunc(name, odd) >= 0 ||
		slices.ContainsFunc(strings.Split(strings.TrimSuffix(name, "."), "."), func(l string) bool { return l == "" || len(l) > 63 }) {
		return fault.New(fault.Invalid, "%q is not the name of a host", name).WithField(argName)
	}
	return nil
}

// resolvConf returns the name servers that are asked, see resolv.conf(5), and
// its options.
func resolvConf(data []byte) (servers []string, options string) {
	for line := range bytes.Lines(data) {
		fields := strings.Fields(string(line))
		switch {
		case len(fields) < 2:
		case fields[0] == "nameserver" && len(servers) < maxServers:
			if a, err := netip.ParseAddr(fields[1]); err == nil && a.Zone() == "" && !slices.Contains(servers, a.String()) {
				servers = append(servers, a.String())
			}
		case fields[0] == "options":
			options = strings.TrimSpace(options + " " + strings.Join(fields[1:], " "))
		}
	}
	return servers, options
}

// ask sends each server its question; pairs are server and name in turn.
func ask(ctx context.Context, rec *diagnostics.Recorder, pairs ...string) {
	argv := []string{"bash", "-c", askScript, "bash"}
	for i := 0; i+1 < len(pairs); i += 2 {
		argv = append(argv, pairs[i], question(pairs[i+1]))
	}
	rec.Run(ctx, rawAnswers, command(argv...))
}

func dnsServers() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "dns.servers",
			Title: "Whether the name servers of the host answer",
			Doc: "A datagram to each server of /etc/resolv.conf, at most 3, that asks for localhost, which every server knows by itself (RFC 6761, 6.3): " +
				"any answer counts. Two tries of 1.5 s. Needs bash.",
			Outputs: []expr.Field{
				boolean("configured", "resolv.conf is there and names a server; else the C library asks 127.0.0.1"),
				boolean("dangling", "resolv.conf is a link that leads to nothing"),
				str("path", "what resolv.conf is a link to; \"\" when it is none"),
				str("options", "of resolv.conf(5)"),
				list("servers", "in the order in which they are asked",
					str("address", "of the server"),
					boolean("local", "it is on this host"),
					boolean("answers", "it answered"),
					boolean("refused", "nobody listens there: the host of the server said so at once"),
					str("said", "NOERROR, SERVFAIL, REFUSED, ..., port closed, no answer")),
				integer("silent", "how many of them did not answer"),
			},
			CostSeconds: 0.1,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			rec.Stat(ctx, rawResolvReal, "/etc/resolv.conf")
			servers, _ := resolvConf(rec.File(ctx, rawResolvConf, "/etc/resolv.conf", maxProcBytes).Data)
			pairs := []string{}
			for _, s := range servers {
				pairs = append(pairs, s, "localhost.")
			}
			if len(pairs) > 0 {
				ask(ctx, rec, pairs...)
			}
			return nil
		},
		parse: parseDNSServers,
	}
}

func parseDNSServers(in readings) (diagnostics.Value, error) {
	link, err := in.info(rawResolvReal)
	isThere := !isStatus(err, diagnostics.Absent)
	if isThere && err != nil {
		return nil, err
	}
	raw, err := in.whole(rawResolvConf)
	readable := !isStatus(err, diagnostics.Absent)
	if readable && err != nil {
		return nil, err
	}
	servers, options := resolvConf(raw.Data)
	value := diagnostics.Value{
		"configured": len(servers) > 0, "dangling": isThere && !readable, "path": clip(link.LinkTarget, maxPathBytes),
		"options": clip(options, maxLineBytes), "servers": []any{}, "silent": int64(0),
	}
	if len(servers) == 0 {
		return value, nil
	}
	answers, err := in.answers()
	if err != nil {
		return nil, err
	}
	silent, list := int64(0), []any{}
	for _, server := range servers {
		a := answerOf(answers, server)
		if !a.came {
			silent++
		}
		address, _ := netip.ParseAddr(server)
		list = append(list, map[string]any{
			"address": server, "local": address.IsLoopback() || address.IsUnspecified(), "answers": a.came, "refused": a.refused, "said": rcodeText(a),
		})
	}
	value["servers"], value["silent"] = list, silent
	return value, nil
}

func (in readings) answers() ([]answer, error) {
	data, err := in.output(rawAnswers)
	if err != nil {
		return nil, err
	}
	return parseAnswers(data)
}

// answerOf returns the answer of the server; one that could not even be asked,
// for want of a way to it, gave none.
func answerOf(answers []answer, server string) answer {
	i := slices.IndexFunc(answers, func(a answer) bool { return a.server == server })
	if i < 0 {
		return answer{server: server}
	}
	return answers[i]
}

// hostsLine is one name of /etc/hosts, see hosts(5).
type hostsLine struct{ name, address string }

// overrides returns the names of /etc/hosts that lead to another host: no
// loopback, none of this host's own, none without a dot, which the search list
// of resolv.conf would complete.
func overrides(data []byte, hostname string) []hostsLine {
	var lines []hostsLine
	own, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(hostname)), ".")
	for line := range bytes.Lines(data) {
		text, _, _ := strings.Cut(string(line), "#")
		fields := strings.Fields(text)
		if len(fields) < 2 {
			continue
		}
		address, err := netip.ParseAddr(fields[0])
		isOwn := slices.ContainsFunc(fields[1:], func(n string) bool {
			first, _, _ := strings.Cut(strings.ToLower(n), ".")
			return own != "" && first == own
		})
		if err != nil || !address.Is4() || address.IsLoopback() || address.IsUnspecified() || isOwn {
			continue
		}
		for _, name := range fields[1:] {
			known := slices.ContainsFunc(lines, func(l hostsLine) bool { return strings.EqualFold(l.name, name) })
			if checkName(name) == nil && strings.Contains(name, ".") && !known && len(lines) < maxOverrides {
				lines = append(lines, hostsLine{strings.ToLower(name), address.String()})
			}
		}
	}
	return lines
}

func dnsOverrides() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "dns.overrides",
			Title: "Names that /etc/hosts leads elsewhere than the name server",
			Doc: "hosts(5), and a datagram about each of its names, at most 8, to the first server of /etc/resolv.conf. IPv4 only; no loopback, " +
				"no name of the host itself, none without a dot. Needs bash. Most lines of this kind are meant.",
			Outputs: []expr.Field{
				list("names", "those for which the name server has an answer, in the order of the file",
					str("name", "the name"),
					str("address", "that /etc/hosts gives, and programs take"),
					list("dns", "addresses that the name server gives; none when it knows none"),
					boolean("differs", "the name server knows the name, and not by this address")),
				integer("unanswered", "names about which the name server said nothing"),
				optional(timestamp("modified_at", "last change of /etc/hosts; missing when it is not there")),
				optional(integer("modified_seconds", "how long ago that was")),
			},
			CostSeconds: 0.05,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			rec.Stat(ctx, rawHostsStat, "/etc/hosts")
			file := rec.File(ctx, rawHosts, "/etc/hosts", maxProcBytes)
			hostname := rec.File(ctx, rawHostname, "/proc/sys/kernel/hostname", maxProcBytes)
			lines := overrides(file.Data, string(hostname.Data))
			if len(lines) == 0 {
				return nil
			}
			servers, _ := resolvConf(rec.File(ctx, rawResolvConf, "/etc/resolv.conf", maxProcBytes).Data)
			if len(servers) == 0 {
				return nil
			}
			pairs := []string{}
			for _, l := range lines {
				pairs = append(pairs, servers[0], l.name)
			}
			ask(ctx, rec, pairs...)
			return nil
		},
		parse: parseOverrides,
	}
}

func parseOverrides(in readings) (diagnostics.Value, error) {
	raw, err := in.whole(rawHosts)
	if isStatus(err, diagnostics.Absent) {
		return diagnostics.Value{"names": []any{}, "unanswered": int64(0)}, nil
	}
	if err != nil {
		return nil, err
	}
	hostname, err := in.whole(rawHostname)
	if err != nil {
		return nil, notAbsent(err)
	}
	if len(bytes.TrimSpace(hostname.Data)) == 0 {
		return nil, cannotTell(diagnostics.Failed, "%s: it is empty", rawHostname)
	}
	info, err := in.info(rawHostsStat)
	if err != nil {
		return nil, notAbsent(err)
	}
	value := diagnostics.Value{
		"names": []any{}, "unanswered": int64(0), "modified_at": info.ModifiedAt.UTC(),
		"modified_seconds": max(0, int64(raw.At.Sub(info.ModifiedAt).Seconds())),
	}
	lines := overrides(raw.Data, string(hostname.Data))
	if len(lines) == 0 {
		return value, nil
	}
	conf, err := in.whole(rawResolvConf)
	if err != nil {
		return nil, notAbsent(err)
	}
	if servers, _ := resolvConf(conf.Data); len(servers) == 0 {
		value["unanswered"] = int64(len(lines))
		return value, nil
	}
	answers, err := in.answers()
	if err != nil {
		return nil, err
	}
	names, unanswered := []any{}, int64(0)
	for _, l := range lines {
		i := slices.IndexFunc(answers, func(a answer) bool { return a.came && a.name == strings.TrimSuffix(l.name, ".") })
		if i < 0 {
			unanswered++
			continue
		}
		a := answers[i]
		dns := []any{}
		for _, address := range a.addresses {
			dns = append(dns, address)
		}
		names = append(names, map[string]any{
			"name": l.name, "address": l.address, "dns": dns, "differs": len(a.addresses) > 0 && !slices.Contains(a.addresses, l.address),
		})
	}
	value["names"], value["unanswered"] = names, unanswered
	return value, nil
}

func dnsName() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:   "dns.name",
			Title:  "What a name leads to on this host",
			Doc:    "getent ahosts, which asks as programs do, see nsswitch.conf(5), and a datagram to each server of /etc/resolv.conf about its IPv4 address. Needs bash.",
			Inputs: []expr.Field{required(str(argName, "the name of a host, as a program asks for it"))},
			Outputs: []expr.Field{
				boolean("resolved", "programs of this host get an address"),
				list("addresses", "those that they get"),
				integer("took_ms", "until they do, or give up; 5000 more for each server that does not answer, usually"),
				list("servers", "what each server said",
					str("address", "of the server"),
					str("said", "NOERROR, NXDOMAIN, SERVFAIL, ..., port closed, no answer"),
					list("dns", "IPv4 addresses that it gave")),
			},
			CostSeconds: 0.1,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
			if err := checkName(args[argName]); err != nil {
				return err
			}
			cmd := command("getent", "ahosts", args[argName])
			cmd.Timeout = resolveTimeout
			rec.Run(ctx, rawGetent, cmd)
			servers, _ := resolvConf(rec.File(ctx, rawResolvConf, "/etc/resolv.conf", maxProcBytes).Data)
			pairs := []string{}
			for _, s := range servers {
				pairs = append(pairs, s, args[argName])
			}
			if len(pairs) > 0 {
				ask(ctx, rec, pairs...)
			}
			return nil
		},
		parse: parseDNSName,
	}
}

func parseDNSName(in readings) (diagnostics.Value, error) {
	raw, err := in.ran(rawGetent)
	if err != nil {
		return nil, err
	}
	const notFound = 2 // getent(1)
	if raw.ExitCode != 0 && raw.ExitCode != notFound {
		return nil, cannotTell(diagnostics.Failed, "getent: %s", unexpected(raw))
	}
	addresses := []any{}
	for line := range bytes.Lines(raw.Data) {
		first, _, _ := strings.Cut(string(line), " ")
		if a, err := netip.ParseAddr(first); err == nil && !slices.Contains(addresses, any(a.String())) {
			addresses = append(addresses, a.String())
		}
	}
	if raw.ExitCode == 0 && len(addresses) == 0 {
		return nil, cannotTell(diagnostics.Failed, "getent: its output is not understood")
	}
	conf, err := in.whole(rawResolvConf)
	if err != nil && !isStatus(err, diagnostics.Absent) {
		return nil, err
	}
	list := []any{}
	if servers, _ := resolvConf(conf.Data); len(servers) > 0 {
		answers, err := in.answers()
		if err != nil {
			return nil, err
		}
		for _, server := range servers {
			a := answerOf(answers, server)
			dns := []any{}
			for _, address := range a.addresses {
				dns = append(dns, address)
			}
			list = append(list, map[string]any{"address": server, "said": rcodeText(a), "dns": dns})
		}
	}
	return diagnostics.Value{
		"resolved": raw.ExitCode == 0, "addresses": addresses, "took_ms": raw.Took.Milliseconds(), "servers": list,
	}, nil
}
