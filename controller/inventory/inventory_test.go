package inventory

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/internal/entity"
)

const file = `entities:
  - {id: web1, kind: host, address: web1.eu.example, aliases: ["10.9.9.9:9100", Kasse]}
  - {id: db1, kind: host, address: 10.0.0.5, via: ssh, agent: web1, jump: web1, user: ops, port: 2222}
  - {id: v6, kind: host, address: "2001:db8::1"}
  - {id: orders, kind: service, runs_on: [web1, db1], depends_on: [postgres@db1], redundancy: {keep: 1}}
  - {id: postgres@db1, kind: database, runs_on: [db1], unit: postgresql@15-main}
  - {id: twin-a, kind: host, aliases: [twin]}
  - {id: twin-b, kind: host, aliases: [twin]}
  - id: box
    kind: host
    budgets: [{path: /srv/cache, size: 20MiB, delete: ["*.tmp"], keep: 2, min_age: 1h}]
    processes: [{name: relay, pid_file: /run/relay.pid, start: [/opt/relay]}]
`

func parse(t *testing.T) *Inventory {
	t.Helper()
	inv, err := Parse("inventory.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func TestResolve(t *testing.T) {
	t.Parallel()
	inv := parse(t)
	for value, want := range map[string]string{
		"web1": "web1", "WEB1": "web1", " web1 ": "web1", "web1:9100": "web1", "web1.eu.example": "web1", "web1.eu.example.": "web1",
		"web1.eu.example:9100": "web1", "https://web1.eu.example:8443/health?x=1": "web1", "http://user:pw@web1/": "web1",
		"web1.us.example": "", "https://web1.us.example/": "", // another host of the same first name
		"kasse": "web1", "10.9.9.9:9100": "web1", "10.9.9.9": "",
		"db1": "db1", "10.0.0.5": "db1", "10.0.0.5:9100": "db1", "10": "", "db1.any.example": "db1",
		"2001:db8::1": "v6", "[2001:db8::1]": "v6", "[2001:db8::1]:9100": "v6", "http://[2001:db8::1]/": "v6",
		"postgres@db1": "postgres@db1", "orders": "orders",
		"twin": "", "twin-a": "twin-a", "twin.eu.example": "",
		"": "", ".": "", "nobody": "", "http://": "", "://": "", "[": "", ":9100": "", "web1/../db1": "",
	} {
		got := inv.Resolve([]incident.Resource{{Value: value, From: "instance"}})
		if got.Entity != want {
			t.Errorf("%q is %q (%s), want %q", value, got.Entity, got.Why, want)
		}
		if got.Why == "" || (got.Entity == "") != (got.Score == 0) {
			t.Errorf("%q: %+v", value, got)
		}
	}
}

func TestResolveTakesTheBestAndNamesTheAmbiguous(t *testing.T) {
	t.Parallel()
	inv := parse(t)
	got := inv.Resolve([]incident.Resource{{Value: "web1.eu.example:1", From: "instance"}, {Value: "db1", From: "host"}})
	if got.Entity != "db1" || !strings.Contains(got.Why, "host") {
		t.Errorf("a full name must beat what was cut to size: %+v", got)
	}
	got = inv.Resolve([]incident.Resource{{Value: "twin", From: "host"}})
	if !strings.Contains(got.Why, "several") {
		t.Errorf("got %+v", got)
	}
	if got := inv.Resolve([]incident.Resource{{Value: "twin", From: "host"}, {Value: "db1", From: "node"}}); got.Entity != "db1" {
		t.Errorf("an ambiguous name hides a clear one: %+v", got)
	}
	if got := (&Inventory{}).Resolve([]incident.Resource{{Value: "web1"}}); got.Entity != "" {
		t.Errorf("the empty inventory knows %+v", got)
	}
}

func TestHost(t *testing.T) {
	t.Parallel()
	inv := parse(t)
	for id, want := range map[string]string{"web1": "web1", "postgres@db1": "db1", "orders": "", "nobody": "", "": ""} {
		got, ok := inv.Host(id)
		if ok != (want != "") || ok && got.ID != want {
			t.Errorf("host of %q is %q, %v; want %q", id, got.ID, ok, want)
		}
	}
	db1, _ := inv.Find("db1")
	box, _ := inv.Find("box")
	if AgentFor(db1) != "web1" || AgentFor(box) != "box" {
		t.Errorf("agents %q, %q", AgentFor(db1), AgentFor(box))
	}
	if b := box.Budgets; len(b) != 1 || b[0].Bytes != 20<<20 || b[0].MinAge.Hours() != 1 || box.Processes[0].Name != "relay" {
		t.Errorf("box is %+v", box)
	}
}

func TestMistakesAreReportedWithTheirPlace(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"entities:\n  - {id: a, kind: hots}\n":                                                "inventory.yaml:2",
		"entities:\n  - {id: a, kind: host}\n  - {id: a, kind: host}\n":                       "inventory.yaml:3",
		"entities:\n  - {id: s, kind: service, runs_on: [web]}\n  - {id: web1, kind: host}\n": "did you mean web1?",
		"entities:\n  - {id: s, kind: service, depends_on: [x]}\n":                            `refers to "x"`,
		"entities:\n  - {id: a, kind: host, jump: b}\n":                                       `has jump "b"`,
		"entities:\n  - {id: a, kind: host, jump: s}\n  - {id: s, kind: site}\n":              "not a host",
		"entities:\n  - {id: a, kind: host, via: ssh}\n":                                      "needs address and agent",
		"entities:\n  - {id: a, kind: host, via: telnet}\n":                                   "agent or ssh",
		"entities:\n  - {id: \"../a\", kind: host}\n":                                         "letters, digits",
		"entities:\n  - {id: a, kind: host, port: 70000}\n":                                   "port",
		"entities:\n  - {id: a, kind: host, colour: red}\n":                                   "colour",
		"entities:\n  - {kind: host}\n":                                                       "id",
		"entities:\n  - {id: a, kind: host, budgets: [{path: ../x, size: 1}]}\n":              "absolute path",
		"entities:\n  - {id: a, kind: host, budgets: [{path: /x, size: 1XB}]}\n":              "size",
		"entities:\n  - {id: a, kind: host, budgets: [{path: /x, size: 99999999TiB}]}\n":      "size",
		"entities:\n  - {id: a, kind: host, processes: [{name: p}]}\n":                        "pid_file or match",
		"hosts: []\n": "hosts",
		"":            "",
		"entities: 3": "",
	} {
		_, err := Parse("inventory.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	_, err := Parse("i.yaml", []byte("entities:\n  - {id: a, kind: hots}\n  - {id: b, kind: host, port: -1}\n"))
	if err == nil || !strings.Contains(err.Error(), "hots") || !strings.Contains(err.Error(), "-1") {
		t.Errorf("not all mistakes at once: %v", err)
	}
}

func TestNewRefusesWhatParseRefuses(t *testing.T) {
	t.Parallel()
	if _, err := New([]entity.Entity{{ID: "a", Kind: entity.Service, RunsOn: []string{"b"}}}); err == nil {
		t.Error("a reference into nothing is taken")
	}
}

// Whatever the file holds: no panic, and what is taken has sound references and
// ids that are harmless in file names, keys and addresses.
func FuzzParse(f *testing.F) {
	f.Add([]byte(file))
	f.Add([]byte("entities: [{id: a, kind: host}]"))
	f.Add([]byte("entities:\n  - &x {id: a, kind: host}\n  - *x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		inv, err := Parse("f.yaml", data)
		if err != nil {
			return
		}
		for _, e := range inv.List() {
			if e.ID == "" || strings.ContainsAny(e.ID, "/\\\x00 \n") {
				t.Errorf("id %q", e.ID)
			}
			for _, ref := range append(append([]string{}, e.RunsOn...), e.DependsOn...) {
				if _, ok := inv.Find(ref); !ok {
					t.Errorf("%s refers to %q", e.ID, ref)
				}
			}
			got := inv.Resolve([]incident.Resource{{Value: e.ID, From: "host"}})
			if _, known := inv.Find(got.Entity); got.Entity != "" && !known {
				t.Errorf("resolved to %q", got.Entity)
			}
			inv.Host(e.ID)
		}
	})
}

func FuzzResolve(f *testing.F) {
	for _, s := range []string{"web1:9100", "https://[2001:db8::1]:1/x", "web1.us.example", "[::", "%zz"} {
		f.Add(s)
	}
	inv, err := Parse("inventory.yaml", []byte(file))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got := inv.Resolve([]incident.Resource{{Value: value, From: "x"}})
		if _, ok := inv.Find(got.Entity); got.Entity != "" && !ok || got.Score > 1 {
			t.Errorf("%q: %+v", value, got)
		}
	})
}

func TestWhatPeopleMayAskFor(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "self-service.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	inv, err := Parse("inventory.yaml", []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	web1, _ := inv.Find("web1")
	want := entity.SelfService{
		Units: []string{"orders.service", "nginx.service"}, Packages: []string{"htop", "strace"}, Maintenance: "/etc/nginx/maintenance",
		Accounts: []entity.Account{{Name: "deploy", AuthorizedKeys: "/etc/ssh/authorized_keys/deploy"}},
		Certificates: []entity.Certificate{{
			Path: "/etc/letsencrypt/live/shop/fullchain.pem", Key: "/etc/letsencrypt/live/shop/privkey.pem", Renew: "certbot.service", Unit: "nginx.service",
		}},
		Quotas: []entity.Quota{{Path: "/srv/spool", Mount: "/srv", Project: 100, Max: 20 << 30}},
	}
	if diff := cmp.Diff(want, web1.SelfService); diff != "" {
		t.Errorf("self_service (-want +got):\n%s", diff)
	}
	for offer, why := range map[string]string{
		"units: [orders]":                                       "with its suffix",
		"units: [--all.service]":                                "whole name of a unit",
		"units: ['a b.service']":                                "whole name of a unit",
		"packages: ['']":                                        "without a name",
		"accounts: [{name: root}]":                              "no service account",
		"accounts: [{name: a, authorized_keys: x/y}]":           "absolute path",
		"accounts: [{authorized_keys: /x}]":                     "name",
		"maintenance: ../x":                                     "absolute path",
		"quotas: [{path: /a, mount: /, project: 0, max: 1GiB}]": "more than 0",
		"quotas: [{path: /a, mount: /, project: 1, max: lots}]": "size",
		"quotas: [{path: a, mount: /, project: 1, max: 1GiB}]":  "absolute path",
		"certificates: [{path: /a, key: /b, renew: certbot renew, unit: nginx.service}]": "renew \"certbot renew\"",
		"certificates: [{path: /a, key: /b, renew: certbot.service}]":                    "unit",
		"cars: [a]": "cars",
	} {
		_, err := Parse("i.yaml", []byte("entities:\n  - {id: a, kind: host, self_service: {"+offer+"}}\n"))
		if err == nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), "i.yaml:2") {
			t.Errorf("%s: %v, want %q", offer, err, why)
		}
	}
}
