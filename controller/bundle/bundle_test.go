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
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/sshsig"
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

func TestEveryClaimOfABundleHolds(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	first, b := written(t, assemble(t, newWorld(t, "x")), key)
	r := Verify(b, probeSet(t), []sshsig.PublicKey{key.Public()})
	if want := "3 of 3 claims hold, all files intact, signature valid"; r.String() != want || !r.Intact() {
		t.Errorf("%s; want %s; %q %+v", r, want, r.Problems, r.Claims)
	}
	if r := Verify(b, probeSet(t), []sshsig.PublicKey{newKey(t).Public()}); r.Signature != SignatureNoKey || r.Signer == "" {
		t.Errorf("signature by a key that was not given: %s", r.Signature)
	}
	second, _ := written(t, assemble(t, newWorld(t, "x")), key)
	if !bytes.Equal(first, second) {
		t.Error("the same bundle gives other bytes")
	}
	_, unsigned := written(t, assemble(t, newWorld(t, "x")), nil)
	if r := Verify(unsigned, probeSet(t), nil); r.Signature != SignatureNone || !r.Intact() {
		t.Errorf("unsigned: %s", r)
	}
}

func TestEveryChangedFileIsFound(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	_, clean := written(t, assemble(t, newWorld(t, "x")), key)
	keys := []sshsig.PublicKey{key.Public()}
	for _, name := range clean.Files() {
		_, b := written(t, clean, nil)
		b.files[name] = slices.Clone(b.files[name])
		b.files[name][len(b.files[name])/2] ^= 1
		if r := Verify(b, probeSet(t), keys); r.Intact() || len(r.Problems) == 0 {
			t.Errorf("a flipped bit in %s was not found: %s", name, r)
		}
		delete(b.files, name)
		if r := Verify(b, probeSet(t), keys); r.Intact() {
			t.Errorf("missing %s was not found", name)
		}
	}
	_, b := written(t, clean, nil)
	b.files["raw/more.txt"] = []byte("x")
	if r := Verify(b, probeSet(t), keys); r.Intact() {
		t.Error("a file that is not in the manifest was not found")
	}
	_, b = written(t, clean, nil)
	b.sealed = bytes.Replace(b.sealed, []byte("1.2.3"), []byte("1.2.4"), 1)
	if r := Verify(b, probeSet(t), keys); r.Signature != SignatureBad || r.Intact() {
		t.Errorf("a changed manifest: %s", r)
	}
}

// Whoever can forge digests still cannot make the raw bytes say something else.
func TestForgedFactsDoNotHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "x")
	w.raws[w.facts[0].Raws[0].SHA256] = []byte("12\n") // stored under another digest: the report still says 97
	b := assemble(t, w)
	if r := Verify(b, probeSet(t), nil); r.Held() == len(r.Claims) || r.Intact() {
		t.Errorf("claims hold on other bytes: %s", r)
	}
	w = newWorld(t, "x")
	b = assemble(t, w)
	b.files["report.json"] = bytes.Replace(b.files["report.json"], []byte(`"confirmed"`), []byte(`"possible"`), 1)
	for i := range b.manifest.Items {
		if b.manifest.Items[i].Path == "report.json" {
			b.manifest.Items[i].Bytes, b.manifest.Items[i].SHA256 = len(b.files["report.json"]), hexDigest(b.files["report.json"])
		}
	}
	if r := Verify(b, probeSet(t), nil); r.Intact() {
		t.Error("a report that says something else than the diagnosis was not found")
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

func TestReadRefusesHostileArchives(t *testing.T) {
	t.Parallel()
	entry := func(name string, kind byte) []tar.Header {
		return []tar.Header{{Name: name, Typeflag: kind, Linkname: "/etc/passwd"}}
	}
	for name, c := range map[string]struct {
		headers []tar.Header
		kind    fault.Kind
	}{
		"up":          {entry("a/../../x", tar.TypeReg), fault.Invalid},
		"absolute":    {entry("/etc/x", tar.TypeReg), fault.Invalid},
		"dots":        {entry("../x", tar.TypeReg), fault.Invalid},
		"link":        {entry("a/x", tar.TypeSymlink), fault.Invalid},
		"hard link":   {entry("a/x", tar.TypeLink), fault.Invalid},
		"device":      {entry("a/x", tar.TypeChar), fault.Invalid},
		"no folder":   {entry("x", tar.TypeReg), fault.Invalid},
		"two folders": {[]tar.Header{{Name: "a/x"}, {Name: "b/x"}}, fault.Invalid},
		"twice":       {[]tar.Header{{Name: "a/x"}, {Name: "a/x"}}, fault.Invalid},
		"long name":   {entry("a/"+strings.Repeat("x", 300), tar.TypeReg), fault.Invalid},
		"no manifest": {entry("a/x", tar.TypeReg), fault.Invalid},
		"huge":        {[]tar.Header{{Name: "a/x", Size: 1 << 40}}, fault.TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			w := tar.NewWriter(z)
			for _, h := range c.headers {
				if err := w.WriteHeader(&h); err != nil {
					t.Fatal(err)
				}
			}
			w.Flush()
			z.Close()
			if _, err := Read(&b); !fault.Is(err, c.kind) {
				t.Errorf("got %v, want %s", err, c.kind)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("no archive"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var zipped bytes.Buffer
		z := gzip.NewWriter(&zipped)
		z.Write(data)
		z.Close()
		b, err := Read(&zipped)
		if err == nil {
			Verify(b, probeSet(t), nil)
		}
	})
}

func TestMissingRawIsNamedAndProvesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "x")
	w.raws = map[string][]byte{}
	b := assemble(t, w)
	if got := strings.Join(b.Manifest().LeftOut, "\n"); !strings.Contains(got, "1:disk.fill#1") {
		t.Errorf("left out: %q", got)
	}
	if r := Verify(b, probeSet(t), nil); r.Held() == len(r.Claims) {
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
