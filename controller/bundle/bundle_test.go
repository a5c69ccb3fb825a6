package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/diagnostics"
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

func TestNoPlantedSecretIsInAnyFile(t *testing.T) {
	t.Parallel()
	secrets := map[string]string{
		"password=": "hunter2-Kx81", "DB_PASSWORD=": "s3cr3tDb99", "token: ": "tok-8dh3kKq", "api_key=": "ak-9912xZq", "secret=": "shh-77aaQz",
		"Authorization: Bearer ": "abcdef1234567890QQ", "Authorization: Basic ": "dXNlcjpwYXNzQQ==", "Cookie: sid=": "c00k1eQQvalue", "Set-Cookie: a=": "setc00kieQQ",
		"postgres://u:": "pgpassQQ1@h/db", "https://u:": "urlpassQQ2@h/", "": "ghp_0123456789abcdefghijABCDEFGHIJ012345", " ": "glpat-ABCDEFGHIJKLMNOPQRST",
		"  ": "AKIAABCDEFGHIJKLMNOP", "   ": "xoxb-1234567890-abcdefghij", "    ": "sk_live_0123456789abcdefABCDEF", "     ": "npm_0123456789abcdefghijABCDEFGHIJ012345",
		"      ": "hvs.ABCDEFGHIJKLMNOPQRSTUVWX", "jwt ": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlUVE", "root:": "$6$saltsalt$hashhashhashQQ", "md5 ": "md50123456789abcdef0123456789abcdef",
		"scram ": "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVkUVE=:c2VydmVyUVE=", "sshpass -p ": "sshpwQQ11", "mysql -uroot -p": "mypwQQ22", "--password ": "optpwQQ33",
		"dsn u:": "dsnpwQQ44@tcp(h:1)/d", "client_secret=": "clisecQQ55", "AWS_SECRET_ACCESS_KEY=": "wJalrXUtnFEMIK7MDENGQQ", "passphrase: ": "phraseQQ66", "<password>": "xmlpwQQ77",
	}
	if len(secrets) < 30 {
		t.Fatalf("only %d secrets", len(secrets))
	}
	var text strings.Builder
	for _, before := range slices.Sorted(maps.Keys(secrets)) {
		tail := ""
		if before == "<password>" {
			tail = "</password>"
		}
		text.WriteString(before + secrets[before] + tail + "\n")
	}
	w := newWorld(t, text.String())
	w.signals[0].Labels["db_password"] = "barewordQQ88" // a secret only by its name
	w.in.Hints["api_token"] = "barewordQQ99"
	archive, b := written(t, assemble(t, w), newKey(t))
	planted := append(slices.Collect(maps.Values(secrets)), "barewordQQ88", "barewordQQ99")
	for name, data := range files(t, archive) {
		for _, secret := range planted {
			secret, _, _ = strings.Cut(secret, "@")
			if bytes.Contains(data, []byte(secret)) {
				t.Errorf("%s holds %q", name, secret)
			}
		}
	}
	if len(b.Manifest().Redactions) == 0 {
		t.Error("the manifest does not say that something was redacted")
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
