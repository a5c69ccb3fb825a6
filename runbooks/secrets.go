package runbooks

import (
	"regexp"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
)

// SecretPrefix begins a reference to a secret of the agent.
const SecretPrefix = "secret/"

// secretHint says where a reference may stand.
const secretHint = "put it into env of a script, a header of http, or the password of sql, as the whole value: secret/NAME" //nolint:gosec // it is advice

// IsSecretName reports whether text can be the name of a secret, which is also
// the name of its file.
func IsSecretName(text string) bool {
	return regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$`).MatchString(text)
}

// ParseSecret reads a value that may be a reference to a secret. For every other
// value ok is false; an error is of a reference whose name is none.
func ParseSecret(text string) (name string, ok bool, err error) {
	name, ok = strings.CutPrefix(text, SecretPrefix)
	if !ok {
		return "", false, nil
	}
	if !IsSecretName(name) {
		return "", true, fault.New(fault.Invalid, "%q is not the name of a secret: 1 to 100 letters, digits, dashes, dots and underscores", name)
	}
	return name, true, nil
}

// mentionsSecret reports whether a text holds a reference, as a part of it or
// whole. A path like /run/secret/db is none.
func mentionsSecret(text string) bool {
	return strings.Contains(text, SecretPrefix) && // almost no text does, and to make the expression takes long
		(strings.HasPrefix(text, SecretPrefix) || regexp.MustCompile(`(^|[^A-Za-z0-9_./@-])secret/[A-Za-z0-9_$]`).MatchString(text))
}

// soundsSecret reports whether a key is one whose value nobody should read.
func soundsSecret(key string) bool {
	word := strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(key))
	return slices.ContainsFunc([]string{
		"password", "passwd", "pass", "passphrase", "pwd", "secret", "token", "authorization", "cookie", "credential", "credentials",
		"apikey", "privatekey", "secretkey", "accesskey",
	}, func(end string) bool { return strings.HasSuffix(word, end) })
}

// secrets checks every scalar of an action's part: a reference stands whole and
// where the action takes one, and no secret is written out there.
func (p *parser) secrets(part *yamlx.Node, decoder Decoder) bool {
	var places []string
	if taker, ok := decoder.(SecretTaker); ok {
		places = taker.SecretPlaces()
	}
	return p.secretsBelow(part, nil, places)
}

func (p *parser) secretsBelow(n *yamlx.Node, keys, places []string) bool {
	if n.Kind() == yamlx.Scalar {
		return p.secret(n, keys, slices.ContainsFunc(places, func(place string) bool { return isPlace(keys, place) }))
	}
	good := true
	for _, item := range n.Items() {
		good = p.secretsBelow(item, append(slices.Clone(keys), "[]"), places) && good
	}
	for _, key := range n.Keys() {
		good = p.secretsBelow(at(n, key), append(slices.Clone(keys), key), places) && good
	}
	return good
}

func isPlace(keys []string, place string) bool {
	return slices.EqualFunc(keys, strings.Split(place, "."), func(key, want string) bool { return key == want || want == "*" && key != "[]" })
}

// secret checks one scalar.
func (p *parser) secret(n *yamlx.Node, keys []string, taken bool) bool {
	text, _ := n.Scalar()
	_, whole, err := ParseSecret(text)
	switch {
	case taken && whole && err != nil:
		p.fail(n, RuleSecrets, "%v", err)
	case taken && whole:
		return true
	case mentionsSecret(text):
		p.add(n.Errorf("no secret is handed over here").WithRule(RuleSecrets).WithHint("%s", secretHint))
	case taken && soundsSecret(keys[len(keys)-1]) && p.isConstant(text) && !slices.Contains([]string{"", "true", "false"}, text):
		p.add(n.Errorf("the value of %s is written out, for everybody who may read the runbook", keys[len(keys)-1]).WithRule(RuleSecrets).
			WithHint("give it to the agent as a secret, and write secret/NAME"))
	default:
		return true
	}
	return false
}

// isConstant reports whether everybody who reads the text knows its value.
func (p *parser) isConstant(text string) bool {
	if !strings.Contains(text, "${") {
		return true
	}
	env, err := p.env(ScopeTemplate)
	if err != nil {
		return false // what is wrong is told elsewhere
	}
	t, err := env.CompileTemplate(text)
	return err == nil && len(t.Vars()) == 0
}

// noSecrets checks what hands nothing to a program of its own: inputs, arguments
// of probes, an undo.
func (p *parser) noSecrets(n *yamlx.Node) bool { return n == nil || p.secretsBelow(n, nil, nil) }
