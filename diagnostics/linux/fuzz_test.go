package linux

import (
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
)

// FuzzParse puts any bytes and any exit status in place of one reading of a
// recorded case. Parse never panics, and what it calls OK is what it declares.
func FuzzParse(f *testing.F) {
	cases := allRecorded(f)
	for i, c := range cases {
		for j, raw := range c.raws {
			f.Add(i, j, raw.ExitCode, raw.Data)
		}
	}
	f.Fuzz(func(t *testing.T, i, j, exitCode int, data []byte) {
		if i < 0 || i >= len(cases) || j < 0 || j >= len(cases[i].raws) {
			t.Skip()
		}
		raws := slices.Clone(cases[i].raws)
		raws[j].Data, raws[j].ExitCode, raws[j].Status = data, exitCode, diagnostics.OK
		value, status := checkParsed(t, cases[i].probe, raws, cases[i].args)
		again, sameStatus, _ := cases[i].probe.Parse(raws, cases[i].args)
		if status != sameStatus || len(value) != len(again) {
			t.Errorf("parsed twice: %s and %s", status, sameStatus)
		}
	})
}

func FuzzProcNet(f *testing.F) {
	f.Add([]byte(procNetTCP), "tcp")
	f.Add([]byte(procNetTCP6), "tcp")
	f.Fuzz(func(t *testing.T, data []byte, proto string) {
		found, err := parseProcNet(data, proto)
		if err != nil && found != nil {
			t.Error("listeners and an error")
		}
		for _, l := range found {
			if l.port < 0 || l.port > 65535 || l.address == "" {
				t.Errorf("listener %+v", l)
			}
		}
	})
}

func FuzzUnitName(f *testing.F) {
	for _, s := range []string{"nginx", "postgresql@15-main", "-.mount", "a.service.service", "x y", "@a.service", `a\x2db.device`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		unit, err := unitName(s)
		if err != nil {
			return
		}
		again, err := unitName(unit)
		if err != nil || again != unit || !strings.HasPrefix(unit, s) {
			t.Errorf("%q became %q, then %q (%v)", s, unit, again, err)
		}
		if strings.ContainsAny(unit, " \n\t*?[]'\"$`;|&<>(){}/\x00") {
			t.Errorf("%q holds what no unit name holds", unit)
		}
	})
}

func FuzzCheckPath(f *testing.F) {
	for _, s := range []string{"/", "/var/log", "/a/../etc/shadow", "var", "/a//b", "/a/", "/a\nb", "/a\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if checkPath(argPath, s) == nil && (!path.IsAbs(s) || path.Clean(s) != s || strings.Contains(s, "\x00")) {
			t.Errorf("%q passed", s)
		}
	})
}

func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"http://a/", "https://[::1]:8443/x?y=z#f", "file:///etc/passwd", "http://u:p@a/", "http://a b/", "http:a", "-o/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if checkURL(s) != nil {
			return
		}
		if low := strings.ToLower(s); !strings.HasPrefix(low, "http://") && !strings.HasPrefix(low, "https://") {
			t.Errorf("%q passed", s)
		}
	})
}

func FuzzOwner(f *testing.F) {
	f.Add(`("nginx",pid=51,fd=5),("nginx",pid=50,fd=5))`)
	f.Add(`("a",pid=1,fd=3))",pid=77,fd=5))`)
	f.Fuzz(func(t *testing.T, text string) {
		name, pid := owner(text)
		if pid < 0 || pid == 0 && name != "" {
			t.Errorf("%q, %d", name, pid)
		}
	})
}

func FuzzLocate(f *testing.F) {
	locate := newLocator()
	f.Add("nginx: [emerg] x in /etc/nginx/nginx.conf:3")
	f.Add("Checking '/etc/am.yml'  FAILED: yaml:\n  line 3: field foo\n")
	f.Fuzz(func(t *testing.T, output string) {
		at := locate.find(output)
		if at.file != "" && (!path.IsAbs(at.file) || at.line < 0 || at.message == "") {
			t.Errorf("%+v", at)
		}
	})
}

func FuzzUnescape(f *testing.F) {
	f.Add(`/srv/my\040disk\134x`)
	f.Fuzz(func(t *testing.T, s string) {
		if out := unescape(s); len(out) > len(s) || !strings.Contains(s, `\`) && out != s {
			t.Errorf("%q became %q", s, out)
		}
	})
}

func FuzzEpoch(f *testing.F) {
	f.Add("1795307189.5930000000")
	f.Add("-1.0")
	f.Fuzz(func(t *testing.T, s string) {
		if at, ok := epoch(s); ok {
			if _, err := time.Parse(time.RFC3339Nano, at.Format(time.RFC3339Nano)); err != nil {
				t.Errorf("%q became %v", s, at)
			}
		}
	})
}
