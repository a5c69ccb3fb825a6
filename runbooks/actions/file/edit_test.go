package file

import (
	"regexp"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
)

// spliceBytes is what head, cat and tail make of a text.
func spliceBytes(old []byte, p splice) string {
	all := strings.SplitAfter(string(old), "\n")
	if all[len(all)-1] == "" {
		all = all[:len(all)-1]
	}
	out := strings.Join(all[:min(p.Head, len(all))], "") + string(p.Insert)
	if p.Tail > 0 && p.Tail <= len(all) {
		out += strings.Join(all[p.Tail-1:], "")
	}
	return out
}

func TestKeysAreSetInTheStyleOfTheFile(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ before, key, value, after string }{
		"equals":                   {"a=1\nb=2\n", "a", "3", "a=3\nb=2\n"},
		"equals with blanks":       {"a = 1\nb = 2\n", "b", "3", "a = 1\nb = 3\n"},
		"new key, same blanks":     {"a = 1\n", "b", "3", "a = 1\nb = 3\n"},
		"colon":                    {"a: 1\nb: 2\n", "a", "3", "a: 3\nb: 2\n"},
		"blank":                    {"Port 22\nListen all\n", "Port", "23", "Port 23\nListen all\n"},
		"the last counts":          {"a=1\na=2\nb=1\n", "a", "3", "a=1\na=3\nb=1\n"},
		"a comment is no key":      {"#a=1\n;a=2\na=3\n", "a", "4", "#a=1\n;a=2\na=4\n"},
		"a comment behind":         {"a = 1  # why\n", "a", "2", "a = 2  # why\n"},
		"a sign in a value":        {"a = red #3\n", "a", "x", "a = x\n"},
		"quotes stay":              {"a=\"1\"\n", "a", "2", "a=\"2\"\n"},
		"quotes given":             {"a=\"1\"\n", "a", "'2'", "a='2'\n"},
		"no newline at the end":    {"a=1", "a", "2", "a=2"},
		"nor for a new key":        {"a=1", "b", "2", "a=1\nb=2\n"},
		"empty file":               {"", "a", "1", "a=1\n"},
		"only comments":            {"# nothing\n", "a", "1", "# nothing\na=1\n"},
		"dos":                      {"a=1\r\nb=2\r\n", "a", "3", "a=3\r\nb=2\r\n"},
		"section":                  {"a=0\n[x]\na=1\n[y]\na=2\n", "y.a", "3", "a=0\n[x]\na=1\n[y]\na=3\n"},
		"before the sections":      {"a=0\n[x]\na=1\n", "a", "3", "a=3\n[x]\na=1\n"},
		"new above the sections":   {"a=0\n\n[x]\na=1\n", "b", "3", "a=0\nb=3\n\n[x]\na=1\n"},
		"new in a section":         {"[x]\na = 1\n\n[y]\na = 2\n", "x.b", "3", "[x]\na = 1\nb = 3\n\n[y]\na = 2\n"},
		"new in an empty section":  {"[x]\n[y]\na=2\n", "x.b", "3", "[x]\nb=3\n[y]\na=2\n"},
		"section with dots":        {"[x]\n[x.y]\na=2\n", "x.y.a", "3", "[x]\n[x.y]\na=3\n"},
		"indented":                 {"[core]\n\tbare = false\n", "core.editor", "vi", "[core]\n\tbare = false\n\teditor = vi\n"},
		"flat key with dots":       {"net.ipv4.x = 1\n", "net.ipv4.x", "2", "net.ipv4.x = 2\n"},
		"key of several words":     {"workgroup = a\nlog level = 3\n", "log level", "1", "workgroup = a\nlog level = 1\n"},
		"a shorter key is another": {"workgroup = a\nlog level = 3\n", "log", "x", "workgroup = a\nlog level = 3\nlog = x\n"},
		"a flag gets a value":      {"a = 1\nskip\n", "skip", "yes", "a = 1\nskip = yes\n"},
		"match is a section":       {"Port 22\nMatch User bob\n  Port 1\n", "X11", "no", "Port 22\nX11 no\nMatch User bob\n  Port 1\n"},
		"deeper lines go along":    {"a =\n  x\n  y\nb = 1\n[s]\nc = 1\n", "z", "1", "a =\n  x\n  y\nb = 1\nz = 1\n[s]\nc = 1\n"},
		"yaml below a key":         {"a:\n  b: 1\nb: 2\n", "b", "3", "a:\n  b: 1\nb: 3\n"},
		"empty value":              {"a=1\n", "a", "", "a=\n"},
		"key=value with a colon":   {"url=http://x\nb=1\n", "url", "http://y", "url=http://y\nb=1\n"},
	} {
		p, done, err := setKey(lines([]byte(tt.before)), tt.key, tt.value)
		if err != nil || done {
			t.Errorf("%s: done %t, %v", name, done, err)
			continue
		}
		got := spliceBytes([]byte(tt.before), p)
		if got != tt.after {
			t.Errorf("%s: got %q, want %q", name, got, tt.after)
		}
		if _, done, err := setKey(lines([]byte(got)), tt.key, tt.value); !done || err != nil {
			t.Errorf("%s: it is not there afterwards: %v", name, err)
		}
	}
}

func TestKeysThatCannotBeSetSurelyAreRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		before, key string
		kind        fault.Kind
	}{
		"another case":     {"LogLevel=1\n", "loglevel", fault.NotFound},
		"no such section":  {"[x]\na=1\n", "y.a", fault.NotFound},
		"several lines":    {"a = 1 \\\n  2\n", "a", fault.Denied},
		"deeper lines":     {"a =\n  x\n  y\n", "a", fault.Denied},
		"yaml with more":   {"a:\n  b: 1\n", "a", fault.Denied},
		"blocks in braces": {"server {\n listen 80;\n}\n", "listen", fault.Denied},
		"xml":              {"<?xml version='1'?>\n<a/>\n", "a", fault.Denied},
		"a redacted value": {"a = [redacted:assignment]\n", "a", fault.Denied},
		"a list of tables": {"[[x]]\na=1\n", "x.a", fault.NotFound},
		"below match":      {"Port 22\nMatch all\nX11 yes\n", "all.X11", fault.NotFound},
	} {
		if p, done, err := setKey(lines([]byte(tt.before)), tt.key, "new"); !fault.Is(err, tt.kind) {
			t.Errorf("%s: %+v, done %t, error %v, want %s", name, p, done, err, tt.kind)
		}
	}
}

func TestManagedFilesAreKnown(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"# This file is managed by Puppet, do not edit": "puppet", "# Ansible managed": "ansible", "# ansible_managed": "ansible",
		"// Generated by Chef for web1": "chef", "# managed via SaltStack": "saltstack", "# Puppet-managed file": "puppet",
		"# maintained automatically by CFEngine": "cfengine", "; THIS FILE IS MANAGED BY THE PUPPET MASTER": "puppet",
		"# Salt: local changes will be overwritten": "salt",
		"# the chef's settings":                     "", "# password salt generated by hand": "", "puppet=1": "", "": "", "# puppet agent configuration": "",
	} {
		if got := managedBy(lines([]byte("#!/x\n" + line + "\n"))); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
	if got := managedBy(lines([]byte(strings.Repeat("\n", headerLines) + "# Ansible managed\n"))); got != "" {
		t.Errorf("deep in the file: got %q", got)
	}
	for pattern, want := range map[string]bool{
		"/etc/nginx": true, "/etc/nginx/": true, "/etc/nginx/*": true, "/etc/*/conf.d": true, "/etc/nginx/conf.d/a.conf": true, "/etc/*/conf.d/*.conf": true,
		"/etc/ngin": false, "*.conf": false, "/etc/nginx/a.conf": false, "/": false, "": false,
	} {
		if got := managedPattern("/etc/nginx/conf.d/a.conf", []string{pattern}) != ""; got != want {
			t.Errorf("%q: got %t", pattern, got)
		}
	}
}

func TestADiffShowsWhatChangesAndIsBounded(t *testing.T) {
	t.Parallel()
	old := lines([]byte("1\n2\n3\n4\n5\n6\n7\n8\n9\n"))
	s := saved{Path: "/etc/x", Kind: replaces, Mode: "0600", After: strings.Repeat("b", 64), Before: state{
		Exists: true, Mode: "0644", User: "root", Group: "adm", Digest: strings.Repeat("a", 64),
	}}
	got := diff(s, old.lines, old.replace(4, "five").apply(old))
	want := "--- /etc/x mode 0644 owner root:adm sha256 " + strings.Repeat("a", 32) + "\n+++ /etc/x mode 0600 owner root:adm sha256 " + strings.Repeat("b", 32) +
		"\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	many := strings.Split(strings.Repeat(strings.Repeat("x", 2000)+"\n", 3000), "\n")
	if got := diff(s, many, strings.Split(strings.Repeat("y\n", 3000), "\n")); len(got) > 400_000 || !strings.Contains(got, "more lines") {
		t.Errorf("%d bytes", len(got))
	}
}

func FuzzEdits(f *testing.F) {
	f.Add([]byte("[a]\nb = 1\n"), "a.b", "2")
	f.Add([]byte("Port 22\n\tX: y\\\n"), "Port", "[x]")
	f.Add([]byte("\xff\n\n=\n[[\n:"), "a", "")
	f.Fuzz(func(t *testing.T, data []byte, key, value string) {
		old := lines(data)
		if checkKey(key) == nil && checkValue(value) == nil {
			if p, done, err := setKey(old, key, value); err == nil && !done {
				one(t, data, p)
			}
		}
		if checkLine(value) == nil {
			p, done, err := ensureLine(old, value, regexp.MustCompile("^.a"), nil)
			if err == nil && !done {
				one(t, data, p)
				if _, done, _ := ensureLine(lines([]byte(spliceBytes(data, p))), value, nil, nil); !done {
					t.Errorf("%q is not in %q afterwards", value, spliceBytes(data, p))
				}
			}
		}
	})
}

// one complains about an edit that touches more than one line, and about a diff
// that shows something else than what the server makes.
func one(t *testing.T, data []byte, p splice) {
	t.Helper()
	old := lines(data)
	got := lines([]byte(spliceBytes(data, p))).lines
	if grown := len(got) - len(old.lines); grown < 0 || grown > 1 {
		t.Errorf("%q became %q", old.lines, got)
	}
	if shown := p.apply(old); strings.Join(shown, "\n") != strings.Join(got, "\n") {
		t.Errorf("shown %q, made %q", shown, got)
	}
}

func FuzzParsePlace(f *testing.F) {
	f.Add([]byte("0 0\n/etc\n0 0 41ed\n0 0 41ed\n.\n"))
	f.Add([]byte("0 0\n/etc\n0 0 41ed\n.\n65024 1 1 81a4 0 0 3 1.5 2.5\nroot\nroot\n" + strings.Repeat("ab", 32) + "  -\n3\n"))
	f.Add([]byte("0 0\n/etc\n0 0 41ed\n.\n1 1 1 81a4 0 0 3 1.5 2.5\nroot\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		p, err := parsePlace(out)
		if err == nil && p.File.Exists && (len(p.Way) == 0 || p.File.Mode == "" || p.File.Stamp == "" || p.File.Digest != "" && len(p.File.Digest) != 64) {
			t.Errorf("half a place of %q", out)
		}
	})
}
