package runbooks

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
)

// onHost are the vars of a run that a person asks for on a host.
func onHost(e entity.Entity) map[string]any { return FromVars(nil, e, e) }

func TestAPatternMatchesTheWholeValue(t *testing.T) {
	t.Parallel()
	rb := parseInputs(t, `name: {type: string, pattern: "[a-z]+|x"}
dir: {type: path, pattern: "/srv/[^/]+", default: /srv/a}
unit: {type: unit, pattern: 'orders@.*[.]service', default: orders@1}`)
	for value, ok := range map[string]bool{
		"abc": true, "": false, "abc1": false, "1abc": false, "a b": false, "x y": false, "a|x": false, "A": false,
	} {
		_, _, err := BindInputs(rb, map[string]string{"name": value}, onHost(entity.Entity{ID: "db1"}))
		if (err == nil) != ok {
			t.Errorf("%q: %v", value, err)
		}
		if err != nil && !strings.Contains(err.Error(), "does not match [a-z]+|x") {
			t.Errorf("%q: %v", value, err)
		}
	}
	_, shown, err := BindInputs(rb, map[string]string{"name": "a", "unit": "orders@2"}, onHost(entity.Entity{ID: "db1"}))
	if want := map[string]string{"name": "a", "dir": "/srv/a", "unit": "orders@2.service"}; err != nil || !cmp.Equal(shown, want) {
		t.Errorf("got %v, %v", shown, err)
	}
	if _, _, err := BindInputs(rb, map[string]string{"name": "a", "dir": "/srv/a/b"}, onHost(entity.Entity{ID: "db1"})); err == nil {
		t.Error("a path below was taken")
	}
}

func TestChoicesAreTheOnlyValues(t *testing.T) {
	t.Parallel()
	rb := parseInputs(t, `scope: {type: string, choices: [security, all], default: security}
size: {type: bytes, choices: [1GiB, 2GiB]}`)
	for given, want := range map[string]string{"2GiB": "", "1073741824": "", "1024MiB": "", "3GiB": `input size is "3221225472"; one of: 1073741824, 2147483648`} {
		_, _, err := BindInputs(rb, map[string]string{"size": given}, onHost(entity.Entity{ID: "db1"}))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", given, err)
		}
	}
	if _, _, err := BindInputs(rb, map[string]string{"size": "1GiB", "scope": "securityall"}, onHost(entity.Entity{ID: "db1"})); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v", err)
	}
}

const declaredInputs = `
account: {type: string, choices: 'entity.self_service.accounts.map(a, a.name)'}
keys: {type: path, from: 'entity.self_service.accounts.filter(a, a.name == inputs.account)[0].authorized_keys'}
unit: {type: unit, choices: entity.self_service.units, default: orders}
`

func TestChoicesCanComeFromTheInventory(t *testing.T) {
	t.Parallel()
	rb := parseInputs(t, declaredInputs)
	host := entity.Entity{ID: "db1", Kind: entity.Host, SelfService: entity.SelfService{
		Units:    []string{"orders.service", "nginx.service"},
		Accounts: []entity.Account{{Name: "deploy", AuthorizedKeys: "/etc/ssh/keys/deploy"}, {Name: "backup"}},
	}}
	_, shown, err := BindInputs(rb, map[string]string{"account": "deploy", "unit": "nginx"}, onHost(host))
	want := map[string]string{"account": "deploy", "keys": "/etc/ssh/keys/deploy", "unit": "nginx.service"}
	if diff := cmp.Diff(want, shown); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for given, want := range map[string]string{
		"root": `input account is "root"; one of: deploy, backup`, "backup": "input keys is \"\", not an absolute path",
	} {
		if _, _, err := BindInputs(rb, map[string]string{"account": given}, onHost(host)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", given, err)
		}
	}
	_, _, err = BindInputs(rb, map[string]string{"account": "deploy"}, onHost(entity.Entity{ID: "db1"}))
	if err == nil || !strings.Contains(err.Error(), "input unit has nothing to choose from: entity.self_service.units is empty") {
		t.Errorf("a host that declares nothing: %v", err)
	}
	if vars := onHost(entity.Entity{ID: "web1"}); !fault.Is(second(BindInputs(rb, map[string]string{"unit": "orders"}, vars)), fault.Invalid) {
		t.Error("what only another host declares was taken")
	}
}

func second(_ map[string]any, _ map[string]string, err error) error { return err }

func TestAPreviewSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	rb := parseInputs(t, declaredInputs+"mount: {type: path, from: hypothesis.object.mount}\nkeep: {type: int, default: 2, max: 9}\n")
	host := entity.Entity{ID: "db1", SelfService: entity.SelfService{
		Units: []string{"orders.service"}, Accounts: []entity.Account{{Name: "deploy", AuthorizedKeys: "/etc/ssh/keys/deploy"}},
	}}
	type state struct{ Value, Problem, Choices string }
	if _, err := PreviewInputs(rb, map[string]string{"kept": "1"}, onHost(host)); !fault.Is(err, fault.Invalid) {
		t.Errorf("what is no input: %v", err)
	}
	got := map[string]state{}
	bound, err := PreviewInputs(rb, map[string]string{"keep": "10"}, onHost(host))
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range bound {
		got[in.Name] = state{in.Value, in.Problem, strings.Join(in.Choices, " ")}
	}
	for name, want := range map[string]state{
		"account": {"", "is missing", "deploy"}, "unit": {"orders.service", "", "orders.service"}, "keep": {"", "is 10, above its max of 9", ""},
	} {
		if got[name] != want {
			t.Errorf("%s: got %+v, want %+v", name, got[name], want)
		}
	}
	for name, why := range map[string]string{"keys": "input account has no value", "mount": "no diagnosis led to this run"} {
		if got[name].Value != "" || !strings.Contains(got[name].Problem, why) {
			t.Errorf("%s: %+v", name, got[name])
		}
	}
}

func TestBoundsOfInputsAreCheckedWhenLoaded(t *testing.T) {
	t.Parallel()
	for input, why := range map[string]string{
		`{type: int, pattern: "[0-9]+"}`:                            "type int, which has no pattern",
		`{type: string, pattern: "["}`:                              "no regular expression (RE2)",
		`{type: string, pattern: ")("}`:                             "no regular expression (RE2)",
		`{type: string, pattern: ""}`:                               "1 to 500 bytes",
		`{type: string, pattern: "a", default: b}`:                  `default of input "x" is "b", which does not match a`,
		`{type: string, pattern: "a", choices: [a, b]}`:             `choice of input "x" is "b", which does not match a`,
		`{type: int, max: 3, choices: [1, 4]}`:                      "above its max of 3",
		`{type: int, choices: [1, two]}`:                            "not a whole number",
		`{type: bytes, choices: [1KiB, 1024]}`:                      "there twice: 1024",
		`{type: string, choices: []}`:                               "1 to 100 values",
		`{type: bool, choices: ["true"]}`:                           "type bool, which has no choices",
		`{type: string, choices: [a], default: b}`:                  `default of input "x" is "b"; one of: a`,
		`{type: string, choices: entity.self_service.unit}`:         "unit",
		`{type: string, choices: entity.self_service.maintenance}`:  "list",
		`{type: patterns, from: 'entity.groups', choices: ["*.x"]}`: "has no choices",
	} {
		text := "apiVersion: secondline/v1\nkind: Runbook\nmetadata: {name: x, title: X}\nspec:\n  inputs:\n    x: " + input +
			"\n  steps:\n    - {id: look, effect: read, run: [uptime]}\n"
		if _, err := Parse("x.yaml", []byte(text), testOptions()); err == nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), "x.yaml:6") {
			t.Errorf("%s: got %v, want %q", input, err, why)
		}
	}
}
