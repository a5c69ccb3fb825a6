package guard

import (
	"path"
	"slices"
	"strings"
)

// allowReads refuses arguments that name a file which may not be read, in any
// of the ways in which programs take files: alone, behind the = of an option,
// attached to a short option, as a part of a list or a URL, quoted in a script.
// It knows names, not what symbolic links make of them, nor what a program
// finds below a folder that it walks.
func (g gate) allowReads(argv []string) error {
	if len(g.l.ReadDeny) == 0 {
		return nil
	}
	for i, a := range argv {
		for _, name := range namesIn(a) {
			if (i > 0 || path.IsAbs(name)) && slices.ContainsFunc(g.l.ReadDeny, func(p string) bool { return denies(p, name) }) {
				return refuse("read_deny", "%s may not be read", name)
			}
		}
	}
	return nil
}

// namesIn returns what of an argument could be the name of a file.
func namesIn(arg string) []string {
	names := []string{arg}
	if at := strings.IndexByte(arg, '/'); at > 0 && arg[0] == '-' {
		names = append(names, arg[at:]) // -f/etc/hosts
	}
	if len(arg) > 2 && arg[0] == '-' {
		names = append(names, arg[2:]) // -fetc/hosts
	}
	return append(names, strings.FieldsFunc(arg, func(r rune) bool { return strings.ContainsRune("=:,;@<>|&()'\" \t\r\n", r) })...)
}

// denies reports whether the pattern matches the name, or a folder above it. Of
// a relative name nobody here knows what it is relative to: it is denied when
// it could be what the pattern means, that is, when the pattern ends like it.
func denies(pattern, name string) bool {
	if path.IsAbs(name) {
		for at := path.Clean(name); at != "/"; at = path.Dir(at) {
			if ok, _ := path.Match(pattern, at); ok {
				return true
			}
		}
		return false
	}
	clean := path.Clean("/" + name) // takes leading .. away
	if clean == "/" {
		return false
	}
	want := strings.Split(strings.TrimPrefix(pattern, "/"), "/")
	parts := strings.Split(clean[1:], "/")
	for n := 1; n <= min(len(parts), len(want)); n++ {
		if endsLike(want[len(want)-n:], parts[:n]) {
			return true
		}
	}
	return false
}

// endsLike compares part by part. Wildcards alone are not likeness.
func endsLike(want, parts []string) bool {
	literal := false
	for i, w := range want {
		if ok, _ := path.Match(w, parts[i]); !ok {
			return false
		}
		literal = literal || !strings.ContainsAny(w, `*?[\`)
	}
	return literal
}
