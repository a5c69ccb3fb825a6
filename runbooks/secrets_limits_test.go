package runbooks

import "testing"

// TestAPlaceOfSecretsIsOneValueUnderAKey: an element of a list is under none, and
// what begins like a reference is none of something else either.
func TestAPlaceOfSecretsIsOneValueUnderAKey(t *testing.T) {
	t.Parallel()
	for _, step := range []string{
		"script: {interpreter: sh, body: x, env: [secret/db]}",
		"script: {interpreter: sh, body: x, env: secret/db}",
		"script: {interpreter: sh, body: x, env: {A: x}, other: {A: secret/db}}",
		"script: {interpreter: sh, body: x, env: {A: x}, more: {env: {A: secret/db}}}",
		"run: [announce, secret/]", "run: [announce, secret/../db]", "run: [announce, secret/-x]", "run: [announce, 'secret/ x']", "run: [announce, secret/é]",
	} {
		_, err := parseStep(step)
		wantRule(t, err, step)
	}
	for _, c := range []struct {
		keys  []string
		place string
		want  bool
	}{
		{[]string{"env", "DB"}, "env.*", true},
		{[]string{"password"}, "password", true},
		{[]string{"env", "[]"}, "env.*", false},
		{[]string{"env"}, "env.*", false},
		{[]string{"env", "DB", "x"}, "env.*", false},
		{[]string{"other", "DB"}, "env.*", false},
		{[]string{"passwords"}, "password", false},
		{[]string{"env", "DB"}, "env.*.x", false},
	} {
		if got := isPlace(c.keys, c.place); got != c.want {
			t.Errorf("%q is %s: %t", c.keys, c.place, got)
		}
	}
}
