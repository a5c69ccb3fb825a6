package guard

import (
	"slices"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

// FuzzDeniedFilesAreNeverRead hides a denied file in an argument in every way
// that the gate claims to see through.
func FuzzDeniedFilesAreNeverRead(f *testing.F) {
	f.Add("--file=", "./", uint8(2), "cat")
	f.Add("-f", "x/../", uint8(0), "sh")
	f.Add("a,b:", "/", uint8(9), "curl")
	f.Add("\x00=", "", uint8(1), "")
	gate := Limits{Mode: Act, ReadDeny: []string{"/etc/secret/*", "/root/.ssh"}}.Gate()
	f.Fuzz(func(t *testing.T, before, detour string, climbs uint8, program string) {
		if strings.Trim(detour, "./") != "" && detour != "x/../" || strings.Contains(detour, "..") && detour != "x/../" {
			detour = "" // it would lead elsewhere
		}
		hidden := []string{
			"/etc/" + detour + "/secret/key", "/" + detour + "/root/.ssh/" + detour + "/id_ed25519",
			strings.Repeat("../", int(climbs)) + "etc/" + detour + "/secret/key",
		}
		for _, name := range hidden {
			for _, arg := range []string{name, "--" + before + "=" + name, "-f" + name, before + "," + name, before + " '" + name + "'", "file://" + before + ":" + name} {
				cmd := remote.Command{Argv: []string{program, "-v", arg}, Effect: remote.Read}
				if err := gate.Allow(t.Context(), "web1", cmd); !fault.Is(err, fault.Denied) {
					t.Errorf("%q was not refused: %v", cmd.Argv, err)
				}
			}
		}
	})
}

// FuzzFindDeletesOnlyInsideTheRoots gives find arbitrary words around -delete.
func FuzzFindDeletesOnlyInsideTheRoots(f *testing.F) {
	f.Add("-L /var/log/app -name x", "")
	f.Add("/var/log/app", "-follow")
	f.Add("-P /var/log/app/../../../etc", "-name x")
	f.Add("/var/log/a /etc", "")
	f.Add("-P -H /var/log/a", "-type f")
	gate := Limits{Mode: Act, CleanupRoots: []string{"/var/log"}}.Gate()
	f.Fuzz(func(t *testing.T, before, after string) {
		args := append(append(strings.Fields(before), "-delete"), strings.Fields(after)...)
		if gate.Allow(t.Context(), "web1", remote.Command{Argv: append([]string{"find"}, args...)}) != nil {
			return
		}
		for _, follows := range []string{"-L", "-H", "-follow", "-exec", "-files0-from"} {
			if slices.Contains(args, follows) {
				t.Errorf("%q may delete", args)
			}
		}
		starts := 0
		for _, a := range args {
			if a == "-P" && starts == 0 {
				continue
			}
			if strings.HasPrefix(a, "-") {
				break
			}
			starts++
			if !strings.HasPrefix(a, "/var/log/") || strings.Contains(a, "..") && slices.Contains(strings.Split(a, "/"), "..") {
				t.Errorf("%q deletes in %q", args, a)
			}
		}
		if starts == 0 {
			t.Errorf("%q deletes where nobody said", args)
		}
	})
}
