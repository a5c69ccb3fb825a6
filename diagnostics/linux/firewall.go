package linux

import (
	"context"
	"regexp"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

// firewallScript prints the rules twice, two seconds apart: a connection that
// is not answered asks again after one second (tcp(7), RFC 6298).
const firewallScript = `PATH="$PATH:/usr/sbin:/sbin"; if command -v nft >/dev/null; then l() { nft list ruleset 2>&1; }; ` +
	`elif command -v iptables-save >/dev/null; then l() { iptables-save -c 2>&1; }; else exit 127; fi; l && echo sample && sleep 2 && l && echo sample`

const maxRules = 50

func firewallRules() probe {
	r := ruleReader{
		nftCounter: regexp.MustCompile(`counter packets (\d+) bytes \d+ ?`), nftHook: regexp.MustCompile(`\bhook (\w+)`),
		saved: regexp.MustCompile(`^\[(\d+):\d+\] (-A (\S+) .*-j (DROP|REJECT)\b.*)$`),
		port:  regexp.MustCompile(`(?:dport|--dports?) (?:\{ ?)?(\d{1,5})(?:[-:](\d{1,5}))?`),
	}
	return probe{
		spec: diagnostics.Spec{
			Name:  "firewall.rules",
			Title: "Rules of the packet filter that throw packets away, and how many now",
			Doc:   "nft list ruleset, or iptables-save where there is no nft, twice within two seconds. Denied to all but root. A rule without a counter shows no number; what a policy throws away has none.",
			Outputs: []expr.Field{
				list("rules", "those that drop or reject, at most 50, those that do so now first",
					str("rule", "as it is listed"),
					str("chain", "in which it stands"),
					str("hook", "input, output, forward, prerouting, ingress, ...; \"\" for a chain that others jump to"),
					boolean("counted", "it has a counter"),
					integer("packets", "thrown away between the looks"),
					integer("port_low", "the first destination port that it names; 0 when it names none"),
					integer("port_high", "the end of that range")),
				integer("packets", "that all of them threw away between the looks"),
				boolean("drops_by_policy", "a chain throws away what no rule accepts"),
			},
			CostSeconds: 2.2,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			rec.Run(ctx, rawSamples, command("sh", "-c", firewallScript))
			return nil
		},
		parse: r.parse,
	}
}

type ruleReader struct {
	nftCounter, nftHook, saved, port *regexp.Regexp
}

// dropRule is a rule that throws packets away.
type dropRule struct {
	rule, chain, hook string
	counted           bool
	packets           uint64
	low, high         int64
}

// rules reads one listing; the rules are in order, so that both looks can be
// held against each other.
func (r ruleReader) rules(text string) (found []dropRule, policyDrop bool) {
	chain, hook := "", ""
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		words := strings.Fields(line)
		switch {
		case len(words) > 1 && words[0] == "chain":
			chain, hook = words[1], ""
		case strings.HasPrefix(line, "type ") && r.nftHook.MatchString(line):
			hook = r.nftHook.FindStringSubmatch(line)[1]
			policyDrop = policyDrop || strings.Contains(line, "policy drop")
		case strings.HasPrefix(line, ":"): // iptables-save: ":INPUT DROP [12:720]"
			policyDrop = policyDrop || len(words) > 1 && words[1] == "DROP"
		case r.saved.MatchString(line):
			m := r.saved.FindStringSubmatch(line)
			n, _ := strconv.ParseUint(m[1], 10, 64)
			found = append(found, r.withPort(dropRule{rule: m[2], chain: m[3], hook: savedHook(m[3]), counted: true, packets: n}))
		case chain != "" && isDropping(words):
			rule := dropRule{rule: r.nftCounter.ReplaceAllString(line, ""), chain: chain, hook: hook}
			if m := r.nftCounter.FindStringSubmatch(line); m != nil {
				rule.counted = true
				rule.packets, _ = strconv.ParseUint(m[1], 10, 64)
			}
			found = append(found, r.withPort(rule))
		}
	}
	return found, policyDrop
}

// isDropping reports whether the verdict of an nft rule is to throw away.
func isDropping(words []string) bool {
	for i, w := range words {
		switch w {
		case "comment", "prefix":
			return false
		case "drop":
			return i == len(words)-1 || words[i+1] == "comment"
		case "reject":
			return true
		}
	}
	return false
}

// savedHook is the hook of a built-in chain of iptables.
func savedHook(chain string) string {
	switch chain {
	case "INPUT", "OUTPUT", "FORWARD", "PREROUTING", "POSTROUTING":
		return strings.ToLower(chain)
	}
	return ""
}

func (r ruleReader) withPort(d dropRule) dropRule {
	if m := r.port.FindStringSubmatch(d.rule); m != nil {
		d.low, _ = strconv.ParseInt(m[1], 10, 32)
		d.high = d.low
		if m[2] != "" {
			d.high, _ = strconv.ParseInt(m[2], 10, 32)
		}
	}
	return d
}

func (r ruleReader) parse(in readings) (diagnostics.Value, error) {
	raw, err := in.ran(rawSamples)
	if err != nil {
		return nil, err
	}
	text := string(raw.Data)
	if raw.ExitCode != 0 {
		status := diagnostics.Failed
		if strings.Contains(text, "Operation not permitted") || strings.Contains(text, "must be root") || strings.Contains(text, "ermission denied") {
			status = diagnostics.Denied
		}
		return nil, cannotTell(status, "%s", clip(firstText(text), maxLineBytes))
	}
	looks := strings.Split(text, "sample\n")
	if len(looks) != 3 || looks[2] != "" {
		return nil, cannotTell(diagnostics.Failed, "%s: the output has not the form of this host's usual tools", rawSamples)
	}
	before, _ := r.rules(looks[0])
	after, policyDrop := r.rules(looks[1])
	if len(before) != len(after) {
		return nil, cannotTell(diagnostics.Failed, "the rules changed while they were read")
	}
	busy, idle, total := []any{}, []any{}, int64(0)
	for i, d := range after {
		gain := int64(0)
		if before[i].rule == d.rule {
			gain = gained(before[i].packets, d.packets)
		}
		total += gain
		entry := map[string]any{
			"rule": clip(d.rule, maxLineBytes), "chain": clip(d.chain, maxCommand), "hook": d.hook, "counted": d.counted,
			"packets": gain, "port_low": d.low, "port_high": d.high,
		}
		if gain > 0 {
			busy = append(busy, entry)
		} else {
			idle = append(idle, entry)
		}
	}
	all := append(busy, idle...)
	return diagnostics.Value{"rules": all[:min(len(all), maxRules)], "packets": total, "drops_by_policy": policyDrop}, nil
}
