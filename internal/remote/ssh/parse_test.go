package ssh

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/remote"
)

// Every way to cut the stream yields the same word and output.
func TestMarkerIsFoundInAnyChunks(t *testing.T) {
	t.Parallel()
	const stream = "Welcome!\nsecondline-N secondline-NN 42\nout\nsecondline-NN 43\n"
	for i := range len(stream) {
		for j := i; j <= len(stream); j++ {
			m := &marked{marker: []byte("secondline-NN "), found: make(chan struct{}), bounded: bounded{max: 1000}}
			for _, chunk := range []string{stream[:i], stream[i:j], stream[j:]} {
				if n, err := m.Write([]byte(chunk)); n != len(chunk) || err != nil {
					t.Fatal(n, err)
				}
			}
			out, cut := m.snapshot()
			if m.said() != "42" || string(out) != "out\nsecondline-NN 43\n" || cut {
				t.Fatalf("cut at %d and %d: said %q, out %q", i, j, m.said(), out)
			}
		}
	}
}

func TestPreambleIsBounded(t *testing.T) {
	t.Parallel()
	m := &marked{marker: []byte("mark "), found: make(chan struct{}), bounded: bounded{max: 10}}
	for range 100 {
		if _, err := m.Write(make([]byte, 10_000)); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.head) > maxPreamble {
		t.Errorf("got %d bytes", len(m.head))
	}
}

// What the login shell is given, exactly.
func TestCommandScriptGolden(t *testing.T) {
	t.Parallel()
	for want, cmd := range map[string]remote.Command{
		`command -v df >/dev/null 2>&1 || say missing; say "$$"; exec df -P '/a b'`:                                                                                    {Argv: []string{"df", "-P", "/a b"}, Effect: remote.Read},
		`[ -x /bin/x ] || { [ -e /bin/x ] && say denied || say missing; }; say "$$"; exec env 'A=$(id)' 'B=' /bin/x`:                                                   {Argv: []string{"/bin/x"}, Env: map[string]string{"B": "", "A": "$(id)"}, Effect: remote.Read},
		`command -v rm >/dev/null 2>&1 || say missing; timeout --version >/dev/null 2>&1 || say unbounded; say "$$"; exec timeout -k 5s 31s env 'A=b c' rm -- '/a $b'`: {Argv: []string{"rm", "--", "/a $b"}, Env: map[string]string{"A": "b c"}},
		`command -v sudo >/dev/null 2>&1 || say missing; say "$$"; exec sudo -n -u ops -- timeout -k 5s 31s systemctl restart x.service`:                               {Argv: []string{"systemctl", "restart", "x.service"}, As: "ops"},
	} {
		if got := commandScript(cmd.WithDefaults()); got != want {
			t.Errorf("\n got %s\nwant %s", got, want)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add("Host a\n HostName b\n Port 22\n ProxyJump u@c:23,d\nMatch exec x\n User y\nHost *\n User z", "a")
	f.Add("Match all\nProxyJump [::1]:22\n", "x")
	f.Fuzz(func(t *testing.T, text, alias string) {
		if strings.Contains(strings.ToLower(text), "include") {
			t.Skip("reads other files")
		}
		file := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := readConfig(file, "/home/x")
		if err != nil {
			return
		}
		h, err := c.lookup(alias)
		for depth := 0; err == nil && h.Jump != nil; depth++ {
			if h = *h.Jump; h.Name == "" || h.Port < 0 || h.Port > 65535 || depth > len(text) {
				t.Fatalf("got jump %+v", h)
			}
		}
	})
}
