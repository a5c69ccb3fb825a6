package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/local"
	"github.com/secondline-ops/secondline/internal/remote/ssh"
)

// reachOptions say how a server is reached to be read: as ssh would, or not at
// all over a network.
type reachOptions struct {
	target         string // [user@]host[:port], or localhost
	local          bool
	hostName, jump string
	port           int
	identities     []string
	knownHosts     []string
	configFile     string

	user, host string // of target
}

func (o *reachOptions) addFlags(env *environment, cmd *cobra.Command) {
	home := env.getenv("HOME")
	f := cmd.Flags()
	f.BoolVar(&o.local, "local", false, "this machine, without SSH")
	f.StringVar(&o.hostName, "host-name", "", "address to connect to, when HOST is only what it is called")
	f.IntVarP(&o.port, "port", "p", 0, "SSH port")
	f.StringArrayVarP(&o.identities, "identity", "i", nil, "private key file; may be given several times")
	f.StringVarP(&o.jump, "jump", "J", "", "[user@]host[:port] to go through")
	knownHostsFlag(f, &o.knownHosts)
	f.StringVar(&o.configFile, "ssh-config", filepath.Join(home, ".ssh", "config"), "ssh_config(5), of which are read: "+sshDirectives+"; none to read none")
}

// sshDirectives are those of ssh_config(5) that count.
const sshDirectives = "Host, HostName, User, Port, IdentityFile, ProxyJump, UserKnownHostsFile"

// knownHostsFlag leaves the list empty when it is not given: ssh then chooses,
// by the configuration of the host.
func knownHostsFlag(f *pflag.FlagSet, into *[]string) {
	f.StringSliceVar(into, "known-hosts", nil, "files with the keys of hosts (default: UserKnownHostsFile of the SSH configuration, else ~/.ssh/known_hosts, and /etc/ssh/ssh_known_hosts)")
}

// complete splits the target. What only looks like a host is refused: a name
// that begins with a dash is a mistyped flag.
func (o *reachOptions) complete() error {
	for _, file := range o.identities {
		if _, err := os.Stat(file); err != nil {
			return usageError{fault.Wrap(fault.Invalid, err, "use the key of --identity")}
		}
	}
	if o.target == "" && !o.local {
		return usageError{fault.New(fault.Invalid, "say which host").WithHint("[user@]host, or --local for this machine")}
	}
	if o.target == "localhost" || o.target == "" {
		o.local, o.host = true, "localhost"
		return nil
	}
	o.user, o.host = "", o.target
	if i := strings.LastIndexByte(o.target, '@'); i >= 0 {
		o.user, o.host = o.target[:i], o.target[i+1:]
		if o.user == "" {
			return usageError{fault.New(fault.Invalid, "%q names no user before the @", o.target)}
		}
	}
	if name, port, ok := strings.Cut(o.host, ":"); ok && !strings.Contains(port, ":") {
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 {
			return usageError{fault.New(fault.Invalid, "%q is no port", port)}
		}
		if o.port == 0 {
			o.port = n
		}
		o.host = name
	}
	o.host = strings.Trim(o.host, "[]")
	if o.host == "" || strings.HasPrefix(o.host, "-") || strings.ContainsAny(o.host, " \t\n/") {
		return usageError{fault.New(fault.Invalid, "%q is no host", o.target)}
	}
	return nil
}

func (o *reachOptions) name() string { return o.host }

// open returns a Runner that only reads. done closes what it needs.
func (o *reachOptions) open(ctx context.Context, env *environment, about entity.Entity) (*remote.Server, func(), error) {
	return o.openFor(ctx, env, about, remote.Options{Gate: remote.ReadOnly(), Redactor: redact.New()})
}

// openFor returns a Runner behind the rules.
func (o *reachOptions) openFor(ctx context.Context, env *environment, about entity.Entity, rules remote.Options) (*remote.Server, func(), error) {
	rules.Name = about.ID
	if o.local {
		t := local.New()
		return remote.Open(t, rules), func() { _ = t.Close() }, nil
	}
	dialer, err := ssh.NewDialer(ssh.Options{
		KnownHosts: o.knownHosts, ConfigFile: o.config(), Home: env.getenv("HOME"), Identities: o.identityFiles(env),
		AgentSocket: env.getenv("SSH_AUTH_SOCK"),
	})
	if err != nil {
		return nil, nil, err
	}
	host := ssh.Host{Name: o.host, Address: firstWord(o.hostName, about.Address), Port: firstNumber(o.port, about.Port), User: firstWord(o.user, about.User)}
	if o.jump != "" {
		if host.Jump, err = parseJump(o.jump); err != nil {
			return nil, nil, errors.Join(err, dialer.Close())
		}
	}
	transport, err := dialer.Dial(ctx, host)
	if err != nil {
		_ = dialer.Close() // nothing was opened that could be lost
		return nil, nil, hinted(err)
	}
	return remote.Open(transport, rules), func() { _ = transport.Close(); _ = dialer.Close() }, nil
}

func (o *reachOptions) config() string {
	if o.configFile == "none" {
		return ""
	}
	return existing(o.configFile)
}

// identityFiles are those given, or else the ones that ssh(1) tries by itself.
func (o *reachOptions) identityFiles(env *environment) []string {
	if len(o.identities) > 0 {
		return o.identities
	}
	return usualIdentities(env)
}

// usualIdentities are the key files that ssh(1) tries by itself, and that exist.
func usualIdentities(env *environment) (files []string) {
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		if f := existing(filepath.Join(env.getenv("HOME"), ".ssh", name)); f != "" {
			files = append(files, f)
		}
	}
	return files
}

// parseJump reads "[user@]host[:port]".
func parseJump(text string) (*ssh.Host, error) {
	via := reachOptions{target: text}
	if err := via.complete(); err != nil {
		return nil, err
	}
	return &ssh.Host{Name: via.host, User: via.user, Port: via.port}, nil
}

// hinted gives an error of the transport the form whose hint is shown.
func hinted(err error) error {
	e, ok := errors.AsType[*remote.Error](err)
	if !ok {
		return err
	}
	text := fmt.Sprintf("%s %s", e.Doing, e.Target)
	if e.Doing == "" {
		text = "reach " + e.Target
	}
	out := fault.Wrap(e.Fault(), e.Err, "%s", text)
	hint := e.Hint
	if hint == "" {
		if inner, ok := errors.AsType[*fault.Error](e.Err); ok {
			hint = inner.Hint
		}
	}
	if hint == "" && e.Fault() == fault.Unreachable {
		hint = "is it up, and is the address right? try: ssh " + e.Target
	}
	return out.WithHint("%s", hint)
}

func firstWord(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

func firstNumber(numbers ...int) int {
	for _, n := range numbers {
		if n != 0 {
			return n
		}
	}
	return 0
}
