package remote_test

import (
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/local"
)

func TestSecretsAreGivenToTheProgramAlone(t *testing.T) {
	t.Parallel()
	r := remote.Open(local.New(), remote.Options{Gate: remote.AllowAll(), Redactor: bare{}})
	for _, value := range []string{"plain", "", "\n", "two\nlines", "end\n", "  blanks\t", "'\"`$(id)\\n\\", "é\r\n☃", ".", "A 1\n.", strings.Repeat("x", 64<<10)} {
		res, err := r.Run(t.Context(), remote.Command{
			Argv: []string{"sh", "-c", `printf '%s|%s|' "$ONE" "$TWO"; cat; printf '|%s' "$@"; tr '\0' ' ' < /proc/$$/cmdline; env`, "sh", "a b", "$c"},
			Env:  map[string]string{"PLAIN": "p"}, Stdin: []byte("read\nme"), Effect: remote.Read,
			Secrets: []remote.Secret{
				{Name: "secret/one", Env: "ONE", Value: redact.Secret(value)}, {Name: "secret/head", Value: "first\n"}, {Name: "secret/two", Env: "TWO", Value: "2nd-value"},
			},
		})
		if err != nil || res.ExitCode != 0 {
			t.Fatalf("%.20q: %v %d %s", value, err, res.ExitCode, res.Stderr)
		}
		got := string(res.Stdout)
		if want := value + "|2nd-value|first\nread\nme|a b|$c"; !strings.HasPrefix(got, want) {
			t.Errorf("%.20q arrived as %.200q", value, got)
		}
		_, line, _ := strings.Cut(got, "|a b|$c")
		line, env, _ := strings.Cut(line, "$c ")
		if strings.Contains(line, "2nd-value") || strings.Contains(env, "sl_") || !strings.Contains(env, "PLAIN=p") {
			t.Errorf("the program's arguments and environment are %q, %.300q", line, env)
		}
	}
}

func TestASecretThatCannotBeAVariableIsRefused(t *testing.T) {
	t.Parallel()
	for name, secrets := range map[string][]remote.Secret{
		"a NUL byte":     {{Name: "secret/a", Env: "A", Value: "tell-tale\x00"}},
		"a bad name":     {{Name: "secret/a", Env: "A=B", Value: "tell-tale"}},
		"twice":          {{Name: "secret/a", Env: "A", Value: "tell-tale"}, {Name: "secret/b", Env: "A", Value: "x"}},
		"beside another": {{Name: "secret/a", Env: "PLAIN", Value: "tell-tale"}},
		"too large":      {{Name: "secret/a", Env: "A", Value: redact.Secret(strings.Repeat("tell-tale", 20_000))}},
	} {
		err := remote.Command{Argv: []string{"true"}, Env: map[string]string{"PLAIN": "p"}, Secrets: secrets}.Validate()
		if err == nil || strings.Contains(err.Error(), "tell-tale") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// bare is the redactor of a host whose output is compared byte by byte.
type bare struct{}

func (bare) Redact(text []byte) []byte { return text }
