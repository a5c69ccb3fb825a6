package plugins

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Capability is something that a plugin asks to be allowed, as it is written in
// its declaration and in the operator's configuration: "read", "run:psql",
// "file:/etc/nginx/**", "as:postgres". What is not declared is refused by the
// agent's side of the broker, whatever the plugin's code does.
type Capability string

// CapabilityRead lets a plugin yield probes; every plugin has it. By itself it
// opens nothing on the target.
const CapabilityRead Capability = "read"

// AnyUser stands for every system user in MayBe.
const AnyUser = "*"

const (
	runPrefix  = "run:"
	filePrefix = "file:"
	asPrefix   = "as:"

	maxCapabilities    = 64
	maxCapabilityBytes = 300
)

// MayRun lets a plugin run one program: a bare name, which is looked up on the
// target as for a login, or an absolute path. The name must be given the same
// when it is run.
func MayRun(program string) Capability { return Capability(runPrefix + program) }

// MayRead lets a plugin read the files and folders that match: "*" stands for
// anything but a slash, "**" at the end for everything below.
func MayRead(pattern string) Capability { return Capability(filePrefix + pattern) }

// MayBe lets a plugin run its programs as another system user, by sudo -n.
func MayBe(user string) Capability { return Capability(asPrefix + user) }

// Check says what is wrong with the capability itself.
func (c Capability) Check() error {
	text := string(c)
	if len(text) > maxCapabilityBytes {
		return fmt.Errorf("capability %q is longer than %d bytes", clip(text), maxCapabilityBytes)
	}
	kind, what, _ := strings.Cut(text, ":")
	ok := false
	switch kind + ":" {
	case string(CapabilityRead) + ":":
		ok = text == string(CapabilityRead)
	case runPrefix:
		ok = what != "" && !strings.HasPrefix(what, "-") && !strings.ContainsAny(what, "*=\x00") &&
			(!strings.Contains(what, "/") || cleanPath(what))
	case filePrefix:
		_, err := path.Match(what, "")
		ok = err == nil && cleanPath(what)
	case asPrefix:
		ok = what == AnyUser || what != "" && !strings.ContainsAny(what, "*/: \x00")
	}
	if !ok {
		return fmt.Errorf("capability %q is none of read, run:PROGRAM, file:/PATTERN, as:USER", clip(text))
	}
	return nil
}

// cleanPath reports whether the path is absolute and cannot be climbed out of.
func cleanPath(p string) bool {
	return path.IsAbs(p) && path.Clean(p) == p && !strings.Contains(p, "\x00")
}

// Capabilities are all that a plugin may do. The nil value allows nothing.
type Capabilities []Capability

// Check names everything that is wrong with the list.
func (c Capabilities) Check() error {
	if len(c) > maxCapabilities {
		return fmt.Errorf("%d capabilities, want at most %d", len(c), maxCapabilities)
	}
	if !slices.Contains(c, CapabilityRead) {
		return fmt.Errorf("capabilities %q are without %q", []Capability(c), CapabilityRead)
	}
	for _, one := range c {
		if err := one.Check(); err != nil {
			return err
		}
	}
	return nil
}

// Beyond returns those of c that allowed does not cover word for word, or by a
// wider pattern.
func (c Capabilities) Beyond(allowed Capabilities) Capabilities {
	var beyond Capabilities
	for _, one := range c {
		if !allowed.cover(one) {
			beyond = append(beyond, one)
		}
	}
	return beyond
}

func (c Capabilities) cover(one Capability) bool {
	text := string(one)
	switch {
	case slices.Contains(c, one):
		return true
	case strings.HasPrefix(text, asPrefix):
		return c.MayBe(strings.TrimPrefix(text, asPrefix))
	case strings.HasPrefix(text, filePrefix):
		// A pattern is covered by a folder given as a whole, and by no other pattern.
		pattern := strings.TrimPrefix(text, filePrefix)
		return slices.ContainsFunc(c, func(a Capability) bool {
			folder, isFile := strings.CutPrefix(string(a), filePrefix)
			folder, whole := strings.CutSuffix(folder, "/**")
			return isFile && whole && !strings.ContainsAny(folder, "*?[\\") && strings.HasPrefix(pattern, folder+"/")
		})
	}
	return false
}

// MayRun reports whether the program may be run under that name.
func (c Capabilities) MayRun(program string) bool { return slices.Contains(c, MayRun(program)) }

// MayBe reports whether programs may be run as the user; "" is the login user,
// who always may.
func (c Capabilities) MayBe(user string) bool {
	return user == "" || slices.Contains(c, MayBe(user)) || slices.Contains(c, MayBe(AnyUser))
}

// MayRead reports whether the file or folder may be read. A path that is not
// clean may not: what it leads to is not what it says.
func (c Capabilities) MayRead(name string) bool {
	if !cleanPath(name) {
		return false
	}
	return slices.ContainsFunc(c, func(one Capability) bool {
		pattern, ok := strings.CutPrefix(string(one), filePrefix)
		return ok && matches(pattern, name)
	})
}

func matches(pattern, name string) bool {
	if folder, below := strings.CutSuffix(pattern, "/**"); below {
		for n := name; ; n = path.Dir(n) {
			if ok, _ := path.Match(folder, n); ok || folder == "" {
				return true
			}
			if n == "/" {
				return false
			}
		}
	}
	ok, _ := path.Match(pattern, name)
	return ok
}
