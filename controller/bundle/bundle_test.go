package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/redact/redacttest"
)

var update = flag.Bool("update", false, "write the golden files")

func TestReportReadsLikeTheGoldenFiles(t *testing.T) {
	t.Parallel()
	b := assemble(t, newWorld(t, "all is well"))
	for _, name := range []string{"report.json", "report.md", "report.html"} {
		got, err := b.File(name)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, got)
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// TestOneMissingReadingIsOneLineForPeople: the report keeps each piece of evidence,
// what people read has one line for the reading that all of it misses.
func TestOneMissingReadingIsOneLineForPeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "x")
	d := w.in.Diagnosis
	d.NotLookedAt = []string{"unit.status: timed out: took longer than 10 s; leaves open: a, b"}
	d.Hypotheses[0].CannotTell = []diagnostics.Evidence{
		{ID: "p", Text: "cannot tell: it took too long", Facts: []string{"1:unit.status#1"}},
		{ID: "q", Text: "cannot tell: it took too long", Facts: []string{"1:unit.status#1", "1:disk.fill#1"}},
	}
	b := assemble(t, w)
	for name, line := range map[string]string{
		"report.md":   "- unit.status: timed out: took longer than 10 s; leaves open: a, b [1:unit.status\\#1]",
		"report.html": "<li>unit.status: timed out: took longer than 10 s; leaves open: a, b <span",
	} {
		data, err := b.File(name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		_, missing, _ := strings.Cut(text, "What could not be looked at")
		missing, _, _ = strings.Cut(missing, "What was done")
		if !strings.Contains(missing, line) || strings.Count(missing, "took longer than 10 s") != 1 {
			t.Errorf("%s: what could not be looked at: %s", name, missing)
		}
		if n := strings.Count(text, "cannot tell: it took too long"); n != 1 {
			t.Errorf("%s: the reason stands there %d times", name, n)
		}
	}
	data, err := b.File("report.json")
	if n := strings.Count(string(data), "cannot tell: it took too long"); n != 2 || err != nil {
		t.Errorf("report.json has %d of 2 pieces of evidence, %v", n, err)
	}
}

// TestNoPlantedSecretIsInAnyFile plants one secret of each kind wherever text from
// outside goes, and greps all members of the finished archive.
func TestNoPlantedSecretIsInAnyFile(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	var planted []string
	for _, c := range redacttest.Canaries() {
		text.WriteString(c.Text + "\n\n")
		planted = append(planted, strings.Split(c.Secret, "\n")...)
	}
	if len(planted) < 60 {
		t.Fatalf("only %d secrets", len(planted))
	}
	w := newWorld(t, text.String())
	w.signals[0].Labels["db_password"] = "barewordQQ88" // a secret only by its name
	w.in.Hints["api_token"] = "barewordQQ99"
	planted = append(planted, "barewordQQ88", "barewordQQ99")
	archive, b := written(t, assemble(t, w), newKey(t))
	for name, data := range files(t, archive) {
		for _, secret := range planted {
			if bytes.Contains(data, []byte(secret)) {
				t.Errorf("%s holds %q", name, secret)
			}
		}
	}
	whole := 0
	for _, item := range b.Manifest().Items {
		if strings.HasPrefix(item.Path, "raw/") || strings.HasPrefix(item.Path, "bodies/") {
			for _, n := range item.Redactions {
				whole += n
			}
		}
	}
	if total := b.Manifest().Redactions; whole < 2*60 || len(total) < 10 {
		t.Errorf("%d redactions are counted at the files that hold all secrets, of the kinds %v", whole, total)
	}
	if r := Verify(b, asked(t)); !r.Intact() {
		t.Errorf("what was redacted does not verify: %s: %q", r, r.Problems)
	}
}

// files unpacks with the standard library alone.
func files(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err != nil {
			return out
		}
		var b bytes.Buffer
		b.ReadFrom(r)
		out[h.Name] = b.Bytes()
	}
}

func TestHostileTextStaysText(t *testing.T) {
	t.Parallel()
	hostile := "<script>alert(1)</script> \x1b[31mred\x1b[0m $(reboot) ](http://evil) \u202egnp.exe \"><img src=http://evil/x> # head\n# head"
	b := assemble(t, newWorld(t, hostile))
	page, _ := b.File("report.html")
	md, _ := b.File("report.md")
	for _, bad := range []string{"<script", "<img", "\x1b", "\u202e"} {
		if bytes.Contains(page, []byte(bad)) {
			t.Errorf("report.html holds %q", bad)
		}
	}
	for _, bad := range []string{"<script", "\x1b", "\u202e", "](http"} {
		for line := range strings.Lines(string(md)) {
			if !strings.HasPrefix(line, "      ") && strings.Contains(strings.ReplaceAll(line, `\]`, ""), bad) {
				t.Errorf("report.md holds %q: %s", bad, line)
			}
		}
	}
	if !bytes.Contains(page, []byte("$(reboot)")) {
		t.Error("what the alert said is lost")
	}
	for _, bad := range []string{"src=", "http-equiv=\"refresh", "url(", "@import", "href=\"http"} {
		if bytes.Contains(bytes.ReplaceAll(page, []byte("&lt;img src=http"), nil), []byte(bad)) {
			t.Errorf("report.html loads something: %q", bad)
		}
	}
}

func TestMissingRawIsNamedAndProvesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "x")
	w.raws = map[string][]byte{}
	b := assemble(t, w)
	if got := strings.Join(b.Manifest().LeftOut, "\n"); !strings.Contains(got, "1:disk.fill#1") {
		t.Errorf("left out: %q", got)
	}
	if r := Verify(b, asked(t)); r.Held() == len(r.Claims) {
		t.Errorf("without bytes: %s", r)
	}
}

func TestTerminalIsNarrowAndPlain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "\x1b[2J "+strings.Repeat("long", 100))
	text := Compose(Input{Incident: *w.in, Events: w.events, Facts: w.facts}).Terminal(60)
	for line := range strings.Lines(text) {
		if len([]rune(strings.TrimSuffix(line, "\n"))) > 60 || strings.Contains(line, "\x1b") {
			t.Errorf("line %q", line)
		}
	}
	if !strings.Contains(text, "The disk is full") {
		t.Errorf("no cause in:\n%s", text)
	}
}

func TestSSHKeygenVerifiesTheManifest(t *testing.T) {
	t.Parallel()
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		if os.Getenv("SECONDLINE_REQUIRE_REAL") == "1" {
			t.Fatal(err)
		}
		t.Skip("ssh-keygen is missing")
	}
	key := newKey(t)
	archive, _ := written(t, assemble(t, newWorld(t, "x")), key)
	dir := t.TempDir()
	for name, data := range files(t, archive) {
		if filepath.Base(name) == signatureFile {
			os.WriteFile(filepath.Join(dir, "sig"), data, 0o600)
		}
	}
	os.WriteFile(filepath.Join(dir, "allowed"), []byte("secondline "+key.Public().String()+"\n"), 0o600)
	check := func(message []byte) error {
		cmd := exec.CommandContext(t.Context(), keygen, "-Y", "verify", "-f", filepath.Join(dir, "allowed"), "-I", "secondline", "-n", Namespace, "-s", filepath.Join(dir, "sig"))
		cmd.Stdin = bytes.NewReader(message)
		return cmd.Run()
	}
	manifest := files(t, archive)["incident-42/"+manifestFile]
	if err := check(manifest); err != nil {
		t.Errorf("ssh-keygen: %v", err)
	}
	if err := check(append(manifest, ' ')); err == nil {
		t.Error("ssh-keygen verified another manifest")
	}
}
