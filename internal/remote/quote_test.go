package remote_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/remote"
)

func TestQuoteGolden(t *testing.T) {
	t.Parallel()
	for want, argv := range map[string][]string{
		`systemctl restart postgresql@15-main.service`: {"systemctl", "restart", "postgresql@15-main.service"},
		`echo '$(reboot)' '' 'it'\''s' '~' 'a=b' '*'`:  {"echo", "$(reboot)", "", "it's", "~", "a=b", "*"},
	} {
		if got := remote.Quote(argv); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func FuzzQuoteThroughRealShell(f *testing.F) {
	for _, seed := range []string{"", "a b", "'", `"`, `\`, "$(id)", "`id`", "a\nb", "*", "~root", "!!", "\xff", "-n", "#", "é", "\r", "$'x'", "a=b", "{a,b}"} {
		f.Add(seed, "x")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if strings.ContainsRune(a+b, 0) || len(a)+len(b) > 1000 {
			t.Skip()
		}
		line := remote.Quote([]string{"printf", `%s\001`, a, b})
		for _, shell := range []string{"/bin/sh", "/bin/bash"} {
			out, err := exec.Command(shell, "-c", line).Output()
			if err != nil || string(out) != a+"\x01"+b+"\x01" {
				t.Errorf("%s: got %q, %v for %q", shell, out, err, line)
			}
		}
	})
}
