package redact_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
)

const testKey = "0123456789abcdef0123456789abcdef"

func pseudonyms(t *testing.T, key string) *redact.Pseudonyms {
	t.Helper()
	p, err := redact.NewPseudonyms([]byte(key), []string{"db1", "db1.example.org", "Web-2", "10.0.0.5"}, []string{"ann", "root", "db1"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestNamesAndAddressesBecomeTokens(t *testing.T) {
	t.Parallel()
	p := pseudonyms(t, testKey)
	in := "db1 DB1 postgres@db1 db1:9100 db1.example.org web-2, ann@db1 /home/ann/x {\"h\":\"db1\\ndb1\"} 10.0.0.5:5432 10.0.0.5/24 [fe80::1]:80 10.0.0.5-10.0.0.9 db1."
	out := string(p.Replace([]byte(in)))
	for _, name := range []string{"db1", "DB1", "web-2", "ann", "10.0.0", "fe80", "example"} {
		if strings.Contains(out, name) {
			t.Errorf("%q stays in %q", name, out)
		}
	}
	if again := string(p.Replace([]byte(out))); again != out {
		t.Errorf("it replaces its own tokens:\n%s\n%s", out, again)
	}
	if another := string(pseudonyms(t, testKey).Replace([]byte(in))); another != out {
		t.Errorf("the same key gives\n%s\n%s", out, another)
	}
	if other := string(pseudonyms(t, testKey+"x").Replace([]byte("db1"))); other == string(p.Replace([]byte("db1"))) {
		t.Error("another key gives the same token")
	}
	names, err := p.Names()
	if err != nil {
		t.Fatal(err)
	}
	back := out
	for token, name := range names {
		back = strings.ReplaceAll(back, token, name)
	}
	if want := strings.NewReplacer("DB1", "db1").Replace(in); back != want {
		t.Errorf("turned back:\n got %s\nwant %s", back, want)
	}
	for token, name := range names {
		if _, err := netip.ParseAddr(name); err == nil {
			if _, err := netip.ParseAddr(token); err != nil {
				t.Errorf("%s is no address", token)
			}
		}
	}
}

func TestWhatIsNoNameStays(t *testing.T) {
	t.Parallel()
	p := pseudonyms(t, testKey)
	for _, text := range []string{
		"", "db10 xdb1 db1-old mydb1", "127.0.0.1 ::1 0.0.0.0:80 255.255.255.0 224.0.0.1", "10:00:00 2026-03-01T10:00:00Z", "aa:bb:cc:dd:ee:ff", "1.2.3 v1.2.3.4 nginx/1.22.1", "annual root root@",
		"std::string", "a.b.c.d.e.f", "…:", "::", "a::::b", "6.1.0-18-amd64", "\\n", "\\",
	} {
		if got := string(p.Replace([]byte(text))); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestAccountsAreFoundWhereTheyAreNamed(t *testing.T) {
	t.Parallel()
	got := redact.UsersIn([]byte("Accepted publickey for ann from 10.0.0.9\nFailed password for invalid user bob from x\nsession opened for user carl(uid=1000)\n/home/dora/x root uid=0(root) USER=root user=erik the user is here"))
	if want := []string{"ann", "bob", "carl", "dora", "erik"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAShortKeyIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := redact.NewPseudonyms([]byte("short"), nil, nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v", err)
	}
}

func FuzzPseudonyms(f *testing.F) {
	f.Add([]byte("db1 10.0.0.5"))
	f.Add([]byte(":::db1.\\ndb1"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := redact.NewPseudonyms([]byte(testKey), []string{"db1"}, []string{"ann"})
		if err != nil {
			t.Fatal(err)
		}
		out := p.Replace(slices.Concat(text, []byte(" db1 10.1.2.3 ann "), text))
		if strings.Contains(string(out), " db1 ") && !strings.Contains(string(text), "db1") {
			t.Fatalf("a name stays in %q", out)
		}
		if again := p.Replace(out); string(again) != string(out) {
			t.Fatalf("not idempotent:\n%q\n%q", out, again)
		}
	})
}
