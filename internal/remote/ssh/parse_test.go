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

func TestBrokenAnswersAreNotRead(t *testing.T) {
	t.Parallel()
	for _, out := range []string{"", "\n", "81a4", "zz 1 1 1 1 1 1 1 1 x\n", "81a4 x 1 1 1 1 1 1 1 y\n", "81a4 -1 1 1 1 1 1 1 1 y\n"} {
		if info, err := parseStat([]byte(out)); err == nil {
			t.Errorf("%q: got %+v", out, info)
		}
	}
	for _, out := range []string{"", "1 2 3", "4096 1 1 1 1 x", "1 2 3 4 5 6 7"} {
		if info, err := parseStatfs([]byte(out)); err == nil {
			t.Errorf("%q: got %+v", out, info)
		}
	}
}

func FuzzParsers(f *testing.F) {
	f.Add([]byte("81a4 5 8 0 0 65024 9 1 1700000000 2023-11-14 22:13:20.123456789 +0000\n"))
	f.Add([]byte("a1ff 5 8 0 0 65024 9 1 1700000000 2023-11-14 22:13:20\nto\n"))
	f.Add([]byte("4096 1 2 3 4 5\n"))
	f.Add([]byte("f 644 5 8 0 0 65024 9 1 1700000000.1234567890\x00name\x00\x00d 755 5 8 0 0 1 9 1 1.0\x00d\x00\x00l 777"))
	f.Fuzz(func(t *testing.T, out []byte) {
		if info, err := parseStat(out); err == nil && len(info.LinkTarget) > len(out) {
			t.Error("the target is longer than the answer")
		}
		_, _ = parseStatfs(out)
		entries, more, err := parseFind(out, 3)
		if err == nil && (len(entries) > 3 || (len(entries) == 0 && len(out) > 0 && !more)) {
			t.Errorf("got %d entries, more %v", len(entries), more)
		}
		for _, e := range entries {
			if strings.ContainsRune(e.Name+e.LinkTarget, 0) {
				t.Errorf("a name holds NUL: %q", e.Name)
			}
		}
	})
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
