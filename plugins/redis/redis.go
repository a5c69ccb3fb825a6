// Package redis is the bundled plugin that asks a Redis server how it stands:
// memory against its limit, persistence, clients, replication, latency. It asks
// with redis-cli(1) on the target, without a credential: a server that wants a
// password denies, and that is said.
package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/plugins"
)

const (
	rawInfo        = "info"
	rawLatency     = "latency"
	defaultPort    = "6379"
	commandTimeout = 10 * time.Second
	maxOutputBytes = 256 << 10

	// settingsMark is what ECHO gives back between INFO and the settings.
	settingsMark = "secondline-settings"
)

// Plugin returns what plugins.Serve wants.
func Plugin() (plugins.Info, []plugins.Probe) {
	info := plugins.Info{Name: "redis", Version: "1", Capabilities: plugins.Capabilities{plugins.CapabilityRead, plugins.MayRun("redis-cli")}}
	socket := regexp.MustCompile(`^/[A-Za-z0-9_./-]{1,100}$`) // its path has 108 bytes, unix(7)
	return info, []plugins.Probe{
		probe{spec: infoSpec(), socket: socket, raw: rawInfo, stdin: infoScript(), parse: parseInfo},
		probe{spec: latencySpec(), socket: socket, raw: rawLatency, args: []string{"--raw", "--latency"}, parse: parseLatency},
	}
}

// probe runs redis-cli once and understands what it says.
type probe struct {
	spec   plugins.Spec
	socket *regexp.Regexp
	raw    string
	args   []string
	stdin  []byte
	parse  func(plugins.Raw) (plugins.Value, error)
}

var _ plugins.Probe = probe{}

// Spec implements plugins.Probe.
func (p probe) Spec() plugins.Spec {
	s := p.spec
	s.Inputs = []plugins.Field{
		{Name: "port", Type: plugins.Int, Doc: "port on the target itself; 6379 when empty"},
		{Name: "socket", Type: plugins.String, Doc: "absolute path of its socket, in place of a port"},
	}
	return s
}

// Read implements plugins.Probe.
func (p probe) Read(ctx context.Context, h plugins.Host, args plugins.Args) ([]plugins.Raw, error) {
	argv := []string{"redis-cli"}
	switch port, socket := args["port"], args["socket"]; {
	case socket != "" && (port != "" || !p.socket.MatchString(socket)):
		return nil, fmt.Errorf("socket %q is not an absolute path, or a port is given as well", socket)
	case socket != "":
		argv = append(argv, "-s", socket)
	default:
		if port == "" {
			port = defaultPort
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("port %q is no port", port)
		}
		argv = append(argv, "-h", "127.0.0.1", "-p", port)
	}
	rec := plugins.NewRecorder(h)
	rec.Run(ctx, p.raw, plugins.Command{Argv: append(argv, p.args...), Stdin: p.stdin, Timeout: commandTimeout, MaxOutputBytes: maxOutputBytes})
	return rec.Raws(), nil
}

// Parse implements plugins.Probe.
func (p probe) Parse(raws []plugins.Raw, _ plugins.Args) (plugins.Value, plugins.Status, error) {
	raw, ok := plugins.Find(raws, p.raw)
	switch {
	case !ok:
		return nil, plugins.Failed, errors.New("nothing was read")
	case raw.Status == plugins.Absent:
		return nil, plugins.Failed, errors.New("redis-cli is not installed, so that Redis cannot be asked: " + raw.Error)
	case raw.Status != plugins.OK:
		return nil, raw.Status, nil
	}
	if status, err := refused(raw); status != plugins.OK {
		return nil, status, err
	}
	value, err := p.parse(raw)
	if err != nil {
		return nil, plugins.Failed, err
	}
	return value, plugins.OK, nil
}

// refused understands an answer that is none. An error of the server stands
// where the answer would, and redis-cli exits with 0 all the same.
func refused(raw plugins.Raw) (plugins.Status, error) {
	begin := string(raw.Data[:min(len(raw.Data), 300)])
	first, _, _ := strings.Cut(strings.TrimSpace(begin+"\n"+raw.Error), "\n")
	first = strings.TrimPrefix(strings.ToValidUTF8(first, "\uFFFD"), "(error) ")
	has := func(signs ...string) bool {
		for _, s := range signs {
			if strings.HasPrefix(first, s) {
				return true
			}
		}
		return false
	}
	switch {
	case strings.Contains(begin+raw.Error, "Could not connect to Redis"):
		if strings.Contains(begin+raw.Error, "Connection refused") || strings.Contains(begin+raw.Error, "No such file or directory") {
			return plugins.Absent, nil
		}
		return plugins.Failed, errors.New(first)
	case has("NOAUTH", "NOPERM", "WRONGPASS", "DENIED", "ERR operation not permitted"):
		return plugins.Denied, errors.New(first)
	case has("LOADING", "BUSY", "ERR", "MASTERDOWN"), raw.ExitCode != 0:
		return plugins.Failed, errors.New(first)
	}
	return plugins.OK, nil
}

func infoScript() []byte {
	return []byte("INFO\nECHO " + settingsMark + "\nCONFIG GET stop-writes-on-bgsave-error\nCONFIG GET save\n")
}

// facts are the lines "name:value" of INFO.
type facts map[string]string

func (f facts) number(name string) int64 {
	n, _ := strconv.ParseInt(f[name], 10, 64) // 0 when an old server does not have it
	return n
}

func (f facts) ratio(name string) float64 {
	n, _ := strconv.ParseFloat(f[name], 64)
	return n
}

// readFacts splits the answer into INFO and the lines behind it.
func readFacts(data []byte) (facts, []string) {
	info, rest, _ := bytes.Cut(data, []byte(settingsMark))
	f := facts{}
	for line := range bytes.Lines(info) {
		name, value, ok := strings.Cut(strings.TrimRight(strings.ToValidUTF8(string(line), "\uFFFD"), "\r\n"), ":")
		if ok && !strings.HasPrefix(name, "#") {
			f[name] = value
		}
	}
	var lines []string
	for line := range bytes.Lines(rest) {
		lines = append(lines, strings.Trim(string(line), "\r\n"))
	}
	return f, lines
}

// setting returns the line behind the name, as CONFIG GET answers.
func setting(lines []string, name string) (string, bool) {
	for i := range lines {
		if lines[i] == name && i+1 < len(lines) {
			return lines[i+1], true
		}
	}
	return "", false
}
