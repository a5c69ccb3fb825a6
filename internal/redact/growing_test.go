package redact

import (
	"encoding/base64"
	"strings"
	"sync"
	"testing"
)

func TestWhatIsLearnedIsRedactedInEveryForm(t *testing.T) {
	t.Parallel()
	const secret = "it's a \"secret\" with é\nand-a-second-line"
	g := NewGrowing(New())
	if got := g.Redact([]byte(secret)); string(got) != secret {
		t.Fatalf("before it was learned: %q", got)
	}
	g.Learn(secret)
	g.Learn("another-secret")
	for _, text := range []string{
		secret, "x" + secret + "y", "another-secret", "and-a-second-line", strings.ReplaceAll(secret, "'", `'\''`),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.URLEncoding.EncodeToString([]byte(secret)),
	} {
		got := string(g.Redact([]byte(text)))
		if !strings.Contains(got, "[redacted:known]") || strings.Contains(got, "second") || strings.Contains(got, "another") {
			t.Errorf("%q became %q", text, got)
		}
	}
	for _, around := range []string{"", "u:", "us:", "use:"} { // as in a header of basic authorization
		text := base64.StdEncoding.EncodeToString([]byte(around + "another-secret" + around))
		if got := string(g.Redact([]byte(text))); !strings.Contains(got, "[redacted:known]") {
			t.Errorf("%s became %s", text, got)
		}
	}
	if got := string(g.Redact([]byte("password=hunter2"))); strings.Contains(got, "hunter2") {
		t.Errorf("what its base knows stays: %s", got)
	}
}

func TestItLearnsWhileItIsUsed(t *testing.T) {
	t.Parallel()
	g := NewGrowing(New())
	var all sync.WaitGroup
	for _, secret := range []Secret{"first-secret", "second-secret", "third-secret", "fourth-secret"} {
		all.Go(func() {
			g.Learn(secret)
			if got := string(g.Redact([]byte(secret.Reveal()))); got != "[redacted:known]" {
				t.Errorf("learned, and shown as %q", got)
			}
		})
	}
	all.Wait()
}
