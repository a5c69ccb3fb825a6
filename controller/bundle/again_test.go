package bundle

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
)

const pseudonymKey = "0123456789abcdef0123456789abcdef"

// TestPseudonymsHideEveryNameAndVerify: in no member of the archive stands a
// name, and every claim still holds of the bytes that are there.
func TestPseudonymsHideEveryNameAndVerify(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "Accepted publickey for zoe from 198.51.100.7 port 4022 on db1, /home/zoe/x, postgres@db1, fe80::17")
	b, names, err := Again(assemble(t, w), AgainOptions{Version: "1.2.3", PseudonymKey: []byte(pseudonymKey)})
	if err != nil {
		t.Fatal(err)
	}
	archive, back := written(t, b, nil)
	for name, data := range files(t, archive) {
		for _, plain := range []string{"zoe", "198.51.100.7", "10.0.0.5", "db1", "fe80::17", "person:ann", "person:bob"} {
			if regexp.MustCompile(`\b` + regexp.QuoteMeta(plain) + `\b`).Match(data) {
				t.Errorf("%s holds %q", name, plain)
			}
		}
		if bytes.Contains(data, []byte(pseudonymKey)) {
			t.Errorf("%s holds the key", name)
		}
	}
	if r := Verify(back, asked(t)); r.Held() != 3 || !r.VerifiedUnsigned() {
		t.Errorf("%s: %q %+v", r, r.Problems, r.Claims)
	}
	token := ""
	for have, name := range names {
		if name == "db1" {
			token = have
		}
	}
	md, err := back.File("report.md")
	if err != nil || !strings.Contains(string(md), token) || token == "" {
		t.Errorf("the report does not speak of %q, %v", token, err)
	}

	// The same token in another bundle of the same key, another one of another.
	other := newWorld(t, "something else on db1")
	for key, same := range map[string]bool{pseudonymKey: true, pseudonymKey + "x": false} {
		second, _, err := Again(assemble(t, other), AgainOptions{Version: "1.2.3", PseudonymKey: []byte(key)})
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Contains(second.files[incidentFile], []byte(token)); got != same {
			t.Errorf("another bundle has the token: %t, want %t", got, same)
		}
	}
}

func TestNamesThatWouldBreakTheFormatAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "x")
	w.facts[2].Target = "severity" // a host that is called like a field
	if _, _, err := Again(assemble(t, w), AgainOptions{PseudonymKey: []byte(pseudonymKey)}); err == nil {
		t.Error("a field was lost")
	}
}

func TestAgainRefusesWhatWasEdited(t *testing.T) {
	t.Parallel()
	b := assemble(t, newWorld(t, "x"))
	b.files["report.md"] = []byte("bob did it")
	if _, _, err := Again(b, AgainOptions{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v", err)
	}
}

func TestAgainKeepsWhatWasCounted(t *testing.T) {
	t.Parallel()
	b := assemble(t, newWorld(t, "password=hunter2hunter2"))
	again, names, err := Again(b, AgainOptions{Version: "1.2.3"})
	if err != nil || len(names) != 0 {
		t.Fatal(names, err)
	}
	if !bytes.Equal(again.sealed, b.sealed) {
		t.Errorf("nothing was asked for, and it is another bundle:\n%s\n%s", b.sealed, again.sealed)
	}
}

func TestABudgetIsKeptAndSaid(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a line of a log\n", 8000)
	whole := assemble(t, newWorld(t, long))
	for name, c := range map[string]struct {
		budget Budget
		says   []string
	}{
		"an item": {Budget{ItemBytes: 1000}, []string{"bodies/b1.txt: all after the first 1000 of its 128000 bytes", "-journal: all after the first 1000 of its", "128003 bytes, more than the 1000 of an item"}},
		"all":     {Budget{TotalBytes: whole.size() - 200_000}, []string{"bodies/b1.txt: its 128000 bytes would make the bundle too large", "-journal: its 128000 bytes"}},
	} {
		b, _, err := Again(whole, AgainOptions{Version: "1.2.3", Budget: c.budget})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		left := strings.Join(b.Manifest().LeftOut, "\n")
		for _, want := range c.says {
			if !strings.Contains(left, want) {
				t.Errorf("%s: does not say %q:\n%s", name, want, left)
			}
		}
		if c.budget.TotalBytes > 0 && b.size() > c.budget.TotalBytes {
			t.Errorf("%s: %d bytes, want at most %d", name, b.size(), c.budget.TotalBytes)
		}
		for _, item := range b.Manifest().Items {
			if strings.HasPrefix(item.Path, "bodies/") && (item.Bytes != 1000 || !item.Truncated) {
				t.Errorf("%s: %+v", name, item)
			}
		}
		if r := Verify(readBack(t, b), asked(t)); len(r.Problems) > 0 {
			t.Errorf("%s: %s: %q", name, r, r.Problems)
		}
		md := string(b.files["report.md"])
		if !strings.Contains(md, "left out: bodies") {
			t.Errorf("%s: the report does not say it", name)
		}
	}
	if _, _, err := Again(whole, AgainOptions{Budget: Budget{TotalBytes: 1000}}); !fault.Is(err, fault.TooLarge) {
		t.Errorf("a budget that holds no report: %v", err)
	}
	if _, _, err := Again(whole, AgainOptions{Budget: Budget{ItemBytes: -1, TotalBytes: 1 << 40}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a bad budget: %v", err)
	}
}

// What proves the diagnosis goes last.
func TestABudgetKeepsTheProof(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "x")
	w.fact("9:disk.fill#1", "50\n"+strings.Repeat("y\n", 50_000), at(4)) // newest, cited by nothing
	whole := assemble(t, w)
	b, _, err := Again(whole, AgainOptions{Version: "1.2.3", Budget: Budget{TotalBytes: whole.size() - 50_000}})
	if err != nil {
		t.Fatal(err)
	}
	if r := Verify(b, asked(t)); r.Held() != len(r.Claims) || len(b.Manifest().LeftOut) == 0 {
		t.Errorf("%s, left out %q", r, b.Manifest().LeftOut)
	}
}

type brokenSigner struct{}

func (brokenSigner) Sign(string, []byte) ([]byte, error) { return nil, errors.New("the key is gone") }

func TestAFailedSignatureLeavesNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "b.tar.gz")
	b := assemble(t, newWorld(t, "x"))
	if err := WriteFile(path, b, brokenSigner{}); err == nil {
		t.Error("it was written without the signature")
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := WriteFile(path, b, nil); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	if err := WriteFile(path, b, brokenSigner{}); err == nil {
		t.Error("it was written without the signature")
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file that was there was touched")
	}
}

// A redactor that fails on some text must not let the rest out.
func TestAFailedRedactionMakesNoBundle(t *testing.T) {
	t.Parallel()
	m := material{raws: map[string]content{}}
	m.input.Incident = *newWorld(t, "x").in
	m.input.Incident.Runs[0].Result.Steps = nil
	m.input.MadeAt = at(5).AddDate(9999, 0, 0) // which JSON cannot hold
	if b, err := pack(m, nil, Budget{}); err == nil || b != nil {
		t.Errorf("a bundle was made: %v", err)
	}
}
