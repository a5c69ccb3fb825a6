package ssh

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kevinburke/ssh_config"

	"github.com/secondline-ops/secondline/internal/fault"
)

const maxConfigBytes = 1 << 20

// noFile as the name of a file means that there is none (ssh_config(5)).
const noFile = "none"

// config is the part of an ssh_config(5) that is understood.
type config struct {
	file    *ssh_config.Config
	home    string
	ignored []string
}

// readConfig reads the file, and notes what in it has no effect here.
func readConfig(path, home string) (*config, error) {
	c := &config{home: home}
	if path == "" {
		return c, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "read ssh config")
	}
	if len(text) > maxConfigBytes {
		return nil, fault.New(fault.Invalid, "ssh config %s has more than %d bytes", path, maxConfigBytes)
	}
	if c.file, err = ssh_config.DecodeBytes([]byte(c.withoutMatch(path, string(text)))); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "parse ssh config %s", path)
	}
	for _, h := range c.file.Hosts {
		for _, n := range h.Nodes {
			switch n := n.(type) {
			case *ssh_config.KV:
				if !slices.Contains([]string{"hostname", "user", "port", "identityfile", "proxyjump", "userknownhostsfile"}, strings.ToLower(n.Key)) {
					c.ignore(path, n.Pos().Line, n.Key)
				}
			case *ssh_config.Include:
				c.ignore(path, n.Pos().Line, "Include (values of the included files count; what is ignored in them is not listed)")
			}
		}
	}
	return c, nil
}

func (c *config) ignore(path string, line int, what string) {
	c.ignored = append(c.ignored, fmt.Sprintf("%s:%d: %s", path, line, what))
}

// withoutMatch blanks the Match blocks that the parser cannot judge and would
// reject the whole file for.
func (c *config) withoutMatch(path, text string) string {
	lines := strings.Split(text, "\n")
	skipping := false
	for i, line := range lines {
		fields := strings.FieldsFunc(strings.ToLower(line), func(r rune) bool { return r == ' ' || r == '\t' || r == '=' || r == '\r' })
		if len(fields) > 0 && (fields[0] == "host" || fields[0] == "match") {
			skipping = fields[0] == "match" && (len(fields) != 2 || fields[1] != "all")
			if skipping {
				c.ignore(path, i+1, strings.TrimSpace(line)+" (the whole block)")
			}
		}
		if skipping {
			lines[i] = ""
		}
	}
	return strings.Join(lines, "\n")
}

// lookup returns what the file says of the alias.
func (c *config) lookup(alias string) (Host, error) {
	var h Host
	if c.file == nil {
		return h, nil
	}
	values := map[string]string{}
	for _, key := range []string{"HostName", "User", "Port", "ProxyJump"} {
		v, err := c.file.Get(alias, key)
		if err != nil {
			return h, fault.Wrap(fault.Invalid, err, "read %s of %s in the ssh config", key, alias)
		}
		values[key] = v
	}
	h.Address = strings.ReplaceAll(values["HostName"], "%h", alias)
	h.User = values["User"]
	if values["Port"] != "" {
		port, err := strconv.Atoi(values["Port"])
		if err != nil || port < 1 || port > 65535 {
			return h, fault.New(fault.Invalid, "port %q of %s in the ssh config", values["Port"], alias)
		}
		h.Port = port
	}
	files, err := c.file.GetAll(alias, "IdentityFile")
	if err != nil {
		return h, fault.Wrap(fault.Invalid, err, "read IdentityFile of %s in the ssh config", alias)
	}
	for _, f := range files {
		h.identities = append(h.identities, c.atHome(f))
	}
	known, err := c.file.Get(alias, "UserKnownHostsFile")
	if err != nil {
		return h, fault.Wrap(fault.Invalid, err, "read UserKnownHostsFile of %s in the ssh config", alias)
	}
	h.knownHosts = words(known)
	h.Jump, err = parseJumps(values["ProxyJump"])
	return h, err
}

// atHome fills in "~/" and "%d", which stand for the home folder.
func (c *config) atHome(file string) string {
	if rest, ok := strings.CutPrefix(file, "~/"); ok {
		file = filepath.Join(c.home, rest)
	}
	return strings.ReplaceAll(file, "%d", c.home)
}

// files returns the files that the configuration file itself names for any host.
func (c *config) files() (identities, knownHosts []string) {
	if c.file == nil {
		return nil, nil
	}
	add := func(list []string, names ...string) []string {
		for _, name := range names {
			if name = c.atHome(name); !strings.Contains(name, "%") && name != noFile && !slices.Contains(list, name) {
				list = append(list, name)
			}
		}
		return list
	}
	for _, h := range c.file.Hosts {
		for _, n := range h.Nodes {
			kv, ok := n.(*ssh_config.KV)
			switch {
			case !ok:
			case strings.EqualFold(kv.Key, "IdentityFile"):
				identities = add(identities, kv.Value)
			case strings.EqualFold(kv.Key, "UserKnownHostsFile"):
				knownHosts = add(knownHosts, words(kv.Value)...)
			}
		}
	}
	return identities, knownHosts
}

// word is a word of a value with several: quotes keep one with spaces together.
var word = regexp.MustCompile(`"[^"]*"|[^\s"]+`)

func words(value string) []string {
	list := word.FindAllString(value, -1)
	for i := range list {
		list[i] = strings.Trim(list[i], `"`)
	}
	return list
}

// parseJumps reads "[user@]host[:port],…", the first hop first.
func parseJumps(text string) (*Host, error) {
	if text == "" || strings.EqualFold(text, "none") {
		return nil, nil //nolint:nilnil // no jump is a value
	}
	var jump *Host
	for hop := range strings.SplitSeq(text, ",") {
		hop = strings.TrimPrefix(strings.TrimSpace(hop), "ssh://")
		h := &Host{Jump: jump}
		if i := strings.LastIndexByte(hop, '@'); i >= 0 {
			h.User, hop = hop[:i], hop[i+1:]
		}
		h.Name = strings.Trim(hop, "[]")
		if i := strings.LastIndexByte(hop, ':'); i >= 0 && (strings.Count(hop, ":") == 1 || hop[i-1] == ']') {
			port, err := strconv.Atoi(hop[i+1:])
			if err != nil || port < 1 || port > 65535 {
				return nil, fault.New(fault.Invalid, "port of jump host %q", hop)
			}
			h.Name, h.Port = strings.Trim(hop[:i], "[]"), port
		}
		if h.Name == "" {
			return nil, fault.New(fault.Invalid, "jump host %q has no name", text)
		}
		jump = h
	}
	return jump, nil
}
