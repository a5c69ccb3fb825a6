package linux

import (
	"encoding/json"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
)

// Limits of arguments: PATH_MAX of linux/limits.h, UNIT_NAME_MAX of
// systemd's unit-name.h, and for the rest what no honest caller needs.
const (
	maxPathBytes  = 4096
	maxUnitBytes  = 256 // with the terminating NUL of C
	maxURLBytes   = 2048
	maxMatchBytes = 8192
)

// Names of the inputs.
const (
	argMount   = "mount"
	argPath    = "path"
	argUnit    = "unit"
	argPIDFile = "pid_file"
	argMatch   = "match"
	argURL     = "url"
	argDevice  = "device"
)

// checkNames refuses arguments that are not declared and misses those required.
func checkNames(inputs []expr.Field, args diagnostics.Args) error {
	for name := range args {
		if !slices.ContainsFunc(inputs, func(f expr.Field) bool { return f.Name == name }) {
			return fault.New(fault.Invalid, "there is no input %q", name).WithField(name)
		}
	}
	for _, f := range inputs {
		if f.Required && args[f.Name] == "" {
			return fault.New(fault.Invalid, "input %q is missing", f.Name).WithField(f.Name)
		}
	}
	return nil
}

// checkPath refuses a path that is not absolute and in its shortest form.
func checkPath(field, p string) error {
	switch {
	case !strings.HasPrefix(p, "/") || path.Clean(p) != p:
		return fault.New(fault.Invalid, "%q is not an absolute path in its shortest form", p).WithField(field)
	case len(p) >= maxPathBytes || strings.ContainsRune(p, 0):
		return fault.New(fault.Invalid, "no path is like this one").WithField(field)
	}
	return nil
}

// checkDevice refuses a path that is not below /dev.
func checkDevice(p string) error {
	if err := checkPath(argDevice, p); err != nil {
		return err
	}
	if !strings.HasPrefix(p, "/dev/") {
		return fault.New(fault.Invalid, "%q is no device", p).WithField(argDevice)
	}
	return nil
}

// checkNoSecret refuses a path that is well known to hold secrets. It looks at
// the name only; whoever follows links asks again for what they lead to.
func checkNoSecret(field, p string) error {
	if holdsSecret(p) {
		return fault.New(fault.Denied, "%s holds secrets", p).WithField(field).
			WithHint("probes do not look at password files and private keys")
	}
	return nil
}

func holdsSecret(p string) bool {
	dir, name := path.Split(p)
	for part := range strings.SplitSeq(p, "/") {
		if part == ".ssh" || part == ".gnupg" {
			return true
		}
	}
	switch {
	case within(p, "/etc/ssl/private"), within(p, "/etc/pki/tls/private"):
		return true
	case dir == "/etc/" && slices.Contains([]string{"shadow", "shadow-", "gshadow", "gshadow-"}, name):
		return true
	}
	return strings.HasSuffix(name, "_key") || strings.HasPrefix(name, "id_") && !strings.HasSuffix(name, ".pub")
}

// unitName returns the full name of a unit as systemctl completes it, or an
// error of kind Invalid for what systemd.unit(5) does not allow. Patterns are
// not names.
func unitName(given string) (string, error) {
	name := given
	suffixes := []string{
		"service", "socket", "device", "mount", "automount", "swap", "target", "path", "timer", "slice", "scope",
	}
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 || !slices.Contains(suffixes, name[dot+1:]) {
		dot = len(name)
		name += ".service"
	}
	odd := func(r rune) bool {
		return r >= utf8.RuneSelf || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(`:-_.\@`, r)
	}
	if dot == 0 || len(name) >= maxUnitBytes || name[0] == '@' || strings.IndexFunc(name, odd) >= 0 {
		return "", fault.New(fault.Invalid, "%q is not the name of a unit", given).WithField(argUnit)
	}
	return name, nil
}

// checkURL refuses what is not a plain HTTP address; one with a password in it
// would show the password in the process list.
func checkURL(s string) error {
	refuse := func(why string) error {
		return fault.New(fault.Invalid, "the address %s", why).WithField(argURL)
	}
	odd := func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"<>\^{|}`+"`", r) }
	if len(s) > maxURLBytes || strings.IndexFunc(s, odd) >= 0 {
		return refuse("has characters that no URL has (RFC 3986, section 2)")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return refuse("is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return refuse("is neither http nor https")
	case u.Hostname() == "" || u.Opaque != "":
		return refuse("names no host")
	case u.User != nil:
		return refuse("has a user in it")
	}
	return nil
}

// parseMatch returns the argv prefix of the match argument; none when it is empty.
func parseMatch(s string) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	var argv []string
	if len(s) > maxMatchBytes || json.Unmarshal([]byte(s), &argv) != nil || len(argv) == 0 || argv[0] == "" {
		return nil, fault.New(fault.Invalid, "match is not a JSON array of arguments, the program first").WithField(argMatch)
	}
	return argv, nil
}
