package pkg

import (
	"strings"
	"testing"
)

// FuzzParseSimulation reads arbitrary lines of apt: a line that removes is
// never overlooked, and every Inst is a change with a name and a version.
func FuzzParseSimulation(f *testing.F) {
	f.Add("Inst hello (2.10-3 Debian:12.15/oldstable [amd64])\nConf hello (2.10-3 Debian:12.15/oldstable [amd64])\n")
	f.Add("Inst libc6 [2.36-9] (2.36-10 Debian:12 [amd64]) []\n")
	f.Add("Remv old [1.0]\n")
	f.Add("Inst broken\n")
	f.Fuzz(func(t *testing.T, out string) {
		all, err := parseSimulation(out)
		if err != nil {
			return
		}
		inst := 0
		for line := range strings.Lines(out) {
			verb, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			if verb == "Remv" || verb == "Purg" {
				t.Errorf("%q removes", out)
			}
			if verb == "Inst" {
				inst++
			}
		}
		if inst != len(all) {
			t.Errorf("%q gave %v", out, all)
		}
		for _, c := range all {
			if c.Name == "" || c.To == "" {
				t.Errorf("%q gave %v", out, all)
			}
		}
	})
}

// FuzzParse reads arbitrary output of dpkg-query.
func FuzzParse(f *testing.F) {
	f.Add("install\tok\tinstalled\t1.0\tall\n")
	f.Add("deinstall\tok\tconfig-files\t1.0\tall\n")
	f.Add("a\tb\n")
	f.Fuzz(func(t *testing.T, out string) {
		if r, err := parse(out); err == nil && (r.Status == "" || r.Error == "") {
			t.Errorf("%q gave %+v", out, r)
		}
	})
}

func TestWhatBringsOthersAlongIsNotTakenBack(t *testing.T) {
	t.Parallel()
	s := saved{Name: "web", State: Installed, Version: "2", OldFile: "/var/cache/apt/archives/web_1_all.deb"}
	s.Before.Version = "1"
	if why := s.whyNoUndo(); why != "" {
		t.Errorf("alone it cannot be taken back: %s", why)
	}
	s.Also = []change{{}}
	if why := s.whyNoUndo(); !strings.Contains(why, "would stay") {
		t.Errorf("with others: %q", why)
	}
}
