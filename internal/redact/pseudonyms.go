package redact

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
)

const (
	// minPseudonymKey is the shortest key, in bytes: tokens of a short one can be
	// turned back by trying names.
	minPseudonymKey = 16
	minName         = 2 // shorter names would tear ordinary text apart
	maxLabels       = 12
)

// Pseudonyms replaces the names of hosts and people, and all IP addresses, by
// tokens that a key gives: the same name has the same token in every text, and
// nobody who has not the key can turn one back. An address becomes an address of
// a range that is in no use (240.0.0.0/4 of RFC 1112, 2001:db8::/32 of RFC
// 3849), so that what reads text still finds one; loopback, multicast and masks
// stay.
//
// It knows only the names it was given, as whole words. A name that was cut
// ("last" shows eight signs), or stands within another word, stays; so do
// addresses in hexadecimal, as in /proc/net/tcp. It is not safe for concurrent use.
type Pseudonyms struct {
	key    []byte
	tokens map[string]string // by name in lower case
	names  map[string]string // by token: those that were used
	clash  string            // a token that two names got
}

// NewPseudonyms returns those of a key for the given names. Names of accounts that
// every system has are left out. The error is of kind Invalid.
func NewPseudonyms(key []byte, hosts, users []string) (*Pseudonyms, error) {
	if len(key) < minPseudonymKey {
		return nil, fault.New(fault.Invalid, "the key of pseudonyms has %d bytes, want at least %d", len(key), minPseudonymKey)
	}
	p := &Pseudonyms{key: bytes.Clone(key), tokens: map[string]string{}, names: map[string]string{}}
	for _, user := range users {
		p.know("user", user)
	}
	for _, host := range hosts { // a host and a user of one name: it is the host
		p.know("host", host)
	}
	return p, nil
}

func (p *Pseudonyms) know(kind, name string) {
	name = strings.ToLower(strings.Trim(name, "."))
	if _, err := netip.ParseAddr(name); err == nil || len(name) < minName || slices.Contains(commonAccounts(), name) || pseudonymForm().MatchString(name) {
		return
	}
	sum := p.sum(kind, name)
	p.tokens[name] = kind + "-" + hex.EncodeToString(sum[:5])
}

func pseudonymForm() *regexp.Regexp { return regexp.MustCompile(`^(?:host|user)-[0-9a-f]{10}$`) }

func (p *Pseudonyms) sum(kind, name string) []byte {
	mac := hmac.New(sha256.New, p.key)
	mac.Write([]byte(kind + "\x00" + name))
	return mac.Sum(nil)
}

// KeyID names the key without telling it.
func (p *Pseudonyms) KeyID() string { return hex.EncodeToString(p.sum("key", "")[:6]) }

// Names returns what each token stands for, of those that Replace has used. It is
// the secret half: it must not go where the text goes. An error of kind Conflict
// says that two names got one token, which another key avoids.
func (p *Pseudonyms) Names() (map[string]string, error) {
	if p.clash != "" {
		return nil, fault.New(fault.Conflict, "two names have the pseudonym %s", p.clash).WithHint("use another key")
	}
	return p.names, nil
}

// Replace returns text with tokens in place of names and addresses. It leaves its
// own tokens alone.
func (p *Pseudonyms) Replace(text []byte) []byte {
	var out []byte
	last := 0
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text) && strings.IndexByte("nrt", text[i+1]) >= 0:
			i += 2 // a line's end in JSON is no part of the word behind it
		case !isWord(c) && c != ':':
			i++
		default:
			end := i
			for end < len(text) && (isWord(text[end]) || text[end] == ':') {
				end++
			}
			if word := string(text[i:end]); word != "" {
				if with := p.word(word); with != word {
					out = append(append(out, text[last:i]...), with...)
					last = end
				}
			}
			i = end
		}
	}
	if out == nil {
		return text
	}
	return append(out, text[last:]...)
}

// word replaces within a run of letters, digits, dots, hyphens and colons: an
// address, or names between colons.
func (p *Pseudonyms) word(word string) string {
	if strings.Count(word, ":") >= 2 {
		trimmed := strings.TrimRight(word, ".")
		if with, ok := p.address(trimmed); ok {
			return with + word[len(trimmed):]
		}
	}
	parts := strings.Split(word, ":")
	for i, part := range parts {
		parts[i] = p.dotted(part)
	}
	return strings.Join(parts, ":")
}

func (p *Pseudonyms) dotted(word string) string {
	if strings.Count(word, ".") >= 3 {
		pieces := strings.Split(word, "-") // 10.0.0.1-10.0.0.9
		for i, piece := range pieces {
			trimmed := strings.Trim(piece, ".")
			if with, ok := p.address(trimmed); ok {
				pieces[i] = strings.Replace(piece, trimmed, with, 1)
			}
		}
		word = strings.Join(pieces, "-")
	}
	labels := strings.Split(word, ".")
	if len(labels) > maxLabels {
		return word
	}
	var out []string
	for i := 0; i < len(labels); {
		n := p.longest(labels[i:])
		if n == 0 {
			out = append(out, labels[i])
			i++
			continue
		}
		name := strings.ToLower(strings.Join(labels[i:i+n], "."))
		p.note(p.tokens[name], name)
		out = append(out, p.tokens[name])
		i += n
	}
	return strings.Join(out, ".")
}

// longest returns how many labels from the first on are a known name; 0 for none.
func (p *Pseudonyms) longest(labels []string) int {
	for n := len(labels); n > 0; n-- {
		if _, known := p.tokens[strings.ToLower(strings.Join(labels[:n], "."))]; known {
			return n
		}
	}
	return 0
}

func (p *Pseudonyms) note(token, name string) {
	if have, used := p.names[token]; used && have != name {
		p.clash = token
	}
	p.names[token] = name
}

// address returns the token of an address; ok is false for what is none, or stays.
func (p *Pseudonyms) address(text string) (token string, ok bool) {
	a, err := netip.ParseAddr(text)
	if err != nil || !isTold(a.Unmap()) {
		return "", false
	}
	a = a.Unmap().WithZone("")
	sum := p.sum("ip", a.String())
	if a.Is4() {
		// The last of 240.0.0.0/4 is the broadcast address.
		n := binary.BigEndian.Uint32(sum)&0x0fffffff | 0xf0000000
		if n == 0xffffffff {
			n--
		}
		token = netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n))).String()
	} else {
		token = netip.AddrFrom16([16]byte(append([]byte{0x20, 0x01, 0x0d, 0xb8}, sum[:12]...))).String()
	}
	p.note(token, a.String())
	return token, true
}

// isTold reports whether an address tells where something is.
func isTold(a netip.Addr) bool {
	if a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() {
		return false
	}
	if a.Is4() {
		first := a.As4()[0]
		return first != 0 && first < 240 // masks, and tokens
	}
	return !netip.MustParsePrefix("2001:db8::/32").Contains(a)
}

// UsersIn returns the names of accounts that text tells to be such.
func UsersIn(text []byte) []string {
	var out []string
	for _, m := range accountForms().FindAllSubmatch(text, -1) {
		if name := string(m[1]); !slices.Contains(out, name) && !slices.Contains(commonAccounts(), name) {
			out = append(out, name)
		}
	}
	return out
}

func accountForms() *regexp.Regexp {
	return regexp.MustCompile(`(?:/home/|\b(?:for|for invalid user|of|by) user |\b(?:Accepted|Failed) [a-z/-]{1,30} for (?:invalid user )?|\b[ug]id=\d{1,10}\(|` +
		`\b(?:user|User|USER|LOGNAME|SUDO_USER|ruser|logname)=|\bperson:)([A-Za-z_][A-Za-z0-9_.-]{1,31})`)
}

// commonAccounts are those that a distribution makes, and words that stand where
// a name may: they tell nothing of anybody.
func commonAccounts() []string {
	return []string{
		"root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy", "www-data", "backup", "list", "irc", "gnats", "nobody", "_apt",
		"systemd-network", "systemd-resolve", "systemd-timesync", "systemd-coredump", "systemd-oom", "messagebus", "sshd", "syslog", "tss", "uuidd", "polkitd", "dbus", "chrony", "ntp",
		"postgres", "mysql", "redis", "nginx", "apache", "rabbitmq", "elasticsearch", "prometheus", "grafana", "postfix", "dovecot", "bind", "named", "haproxy", "memcache", "docker",
		"adm", "wheel", "sudo", "users", "shadow", "utmp", "tty", "disk", "cdrom", "audio", "video", "plugdev", "nogroup", "ssh_keys", "rpc", "rpcuser", "ftp", "halt", "shutdown", "operator",
		"secondline", "user", "unknown", "cli", "invalid", "localhost",
	}
}
