package runbooks

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/yamlx"
)

func TestSecretsAreHandedOverWhereTheyMayBe(t *testing.T) {
	t.Parallel()
	const other = "${inputs.word}"
	for _, c := range []struct {
		value string
		rule  string // "" is accepted
		takes []string
	}{
		{"secret/db", "", []string{"db"}},
		{"secret/Db_2.old-x", "", []string{"Db_2.old-x"}},
		{"secret/" + strings.Repeat("a", 100), "", []string{strings.Repeat("a", 100)}},
		{other, "", nil},
		{"/run/secret/db", "", nil},
		{"my-secret/db", "", nil},
		{"secrets/db", "", nil},
		{"", "", nil},
		{"secret/" + strings.Repeat("a", 101), RuleSecrets, nil},
		{"secret/", RuleSecrets, nil},
		{"secret/../shadow", RuleSecrets, nil},
		{"secret/.hidden", RuleSecrets, nil},
		{"secret/-x", RuleSecrets, nil},
		{"secret/a b", RuleSecrets, nil},
		{"secret/a/b", RuleSecrets, nil},
		{"secret/" + other, RuleSecrets, nil},
		{"secret/é", RuleSecrets, nil},
		{"Bearer secret/db", RuleSecrets, nil},
		{"a=secret/db", RuleSecrets, nil},
		{" secret/db", RuleSecrets, nil},
		{"x:secret/" + other, RuleSecrets, nil},
	} {
		rb, err := parseStep(fmt.Sprintf("script: {interpreter: sh, body: x, env: {WORD: %q, MORE: %q}}", c.value, c.value))
		switch {
		case c.rule == "" && err != nil:
			t.Errorf("%q is refused: %v", c.value, err)
		case c.rule == "" && !slices.Equal(rb.Steps[0].Secrets, c.takes):
			t.Errorf("with %q the step takes %q, not %q", c.value, rb.Steps[0].Secrets, c.takes)
		case c.rule != "":
			wantRule(t, err, c.value)
		}
	}
	for _, step := range []string{
		"run: [announce, secret/db]", "run: [announce, '--token=secret/db']", "unit: {name: secret/db, state: started}", "cleanup: {path: [a, {b: secret/db}]}",
		"script: {interpreter: secret/db, body: x}", "script: {interpreter: sh, body: 'echo secret/db'}", "script: {interpreter: sh, body: x, env: {A: [secret/db]}}",
		"script: {interpreter: sh, body: x, env: {A: {B: secret/db}}}", "run: [announce]\n      undo: {run: [announce, secret/db]}",
		"runbook: {name: restart-web, digest: '', with: {unit: secret/db}}",
	} {
		if strings.HasPrefix(step, "runbook:") {
			called, _ := testOptions().Called("restart-web")
			step = strings.Replace(step, "digest: ''", "digest: "+called.Digest, 1)
		}
		_, err := parseStep(step)
		wantRule(t, err, step)
	}
	for _, spec := range []string{
		"inputs: {word: {type: string, default: secret/db}}", "inputs: {word: {type: string, choices: [a, secret/db]}}",
		"inputs: {word: {type: string, choices: \"['secret/db']\"}}", "inputs: {word: {type: string}}\n  probes: {x: {probe: disk.usage, with: {mount: secret/db}}}",
	} {
		_, err := parseSpec(spec, "run: [announce]")
		wantRule(t, err, spec)
	}
}

func TestSecretsAreNotWrittenOut(t *testing.T) {
	t.Parallel()
	for key, refused := range map[string]bool{
		"PASSWORD": true, "DB_PASSWORD": true, "PGPASSWORD": true, "Authorization": true, "X-Api-Key": true, "API_TOKEN": true, "AWS_SECRET_ACCESS_KEY": true,
		"client_secret": true, "Cookie": true, "DB_PASS": true, "COMPASS_DIR": false, "PASSWORD_FILE": false, "MAX_TOKENS": false, "KEY": false, "SECRETARY": false, "WORD": false,
	} {
		_, err := parseStep(fmt.Sprintf("script: {interpreter: sh, body: x, env: {%s: hunter2}}", key))
		if refused {
			wantRule(t, err, key)
		} else if err != nil {
			t.Errorf("%s: %v", key, err)
		}
		if _, err := parseStep(fmt.Sprintf("script: {interpreter: sh, body: x, env: {%s: \"${''}hunter2\"}}", key)); refused {
			wantRule(t, err, key+" as a template of nothing")
		}
		for _, value := range []string{"secret/db", `"${inputs.word}"`, `""`, `"true"`} {
			if _, err := parseStep(fmt.Sprintf("script: {interpreter: sh, body: x, env: {%s: %s}}", key, value)); err != nil {
				t.Errorf("%s: %s: %v", key, value, err)
			}
		}
	}
}

func TestInputsAreNoWayToASecret(t *testing.T) {
	t.Parallel()
	rb, err := parseStep("run: [announce, '${inputs.word}']")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := BindInputs(rb, map[string]string{"word": "secret/db"}, map[string]any{}); err == nil || !strings.Contains(err.Error(), "no way to a secret") {
		t.Errorf("got %v", err)
	}
	if _, _, err := BindInputs(rb, map[string]string{"word": "/run/secret/db"}, map[string]any{}); err != nil {
		t.Error(err)
	}
}

func parseStep(step string) (*Runbook, error) {
	return parseSpec("inputs: {word: {type: string}}", step)
}

func parseSpec(spec, step string) (*Runbook, error) {
	if !strings.Contains(step, "undo:") {
		step += "\n      undo: none"
	}
	text := "apiVersion: secondline/v1\nkind: Runbook\nmetadata: {name: test, title: A test}\nspec:\n  " + spec +
		"\n  steps:\n    - id: act\n      " + step + "\n      verify: {that: used.used_percent < 90.0}\n"
	if strings.Contains(spec, "probes:") {
		text = strings.Replace(text, "used.used_percent", "x.used_percent", 1)
	} else {
		text = strings.Replace(text, "\n  steps:", "\n  probes: {used: {probe: disk.usage, with: {mount: /}}}\n  steps:", 1)
	}
	if strings.HasPrefix(step, "unit:") || strings.HasPrefix(step, "cleanup:") {
		text += "      preserve: none\n"
	}
	if strings.HasPrefix(step, "runbook:") {
		text = strings.Replace(strings.Replace(text, "\n      undo: none", "", 1), "      verify: {that: used.used_percent < 90.0}\n", "", 1)
	}
	return Parse("test.yaml", []byte(text), testOptions())
}

// wantRule complains unless all that is wrong breaks RuleSecrets.
func wantRule(t *testing.T, err error, what string) {
	t.Helper()
	found := yamlx.Errors(err)
	if len(found) == 0 {
		t.Errorf("%s: %v, want a mistake by %s", what, err, RuleSecrets)
	}
	for _, one := range found {
		if one.Rule != RuleSecrets || one.Line < 1 || one.Snippet == "" {
			t.Errorf("%s: refused by %s: %v", what, one.Rule, one)
		}
	}
}

func FuzzParseSecret(f *testing.F) {
	for _, seed := range []string{"secret/db", "secret/", "secret/../x", "secret/a\x00", "xsecret/db", "", "secret/\xff", "Bearer secret/db"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, ok, err := ParseSecret(text)
		switch {
		case ok && err == nil:
			if "secret/"+name != text || name == "" || len(name) > 100 || strings.ContainsAny(name, "/\x00\n ${}") || strings.HasPrefix(name, ".") || !mentionsSecret(text) {
				t.Errorf("%q is taken for a reference to %q", text, name)
			}
		case name != "":
			t.Errorf("%q has the name %q", text, name)
		case strings.HasPrefix(text, SecretPrefix) != ok:
			t.Errorf("%q: %v", text, ok)
		}
	})
}
