package library_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// TestSelfServiceIsForPeopleAndBounded: what requesters may start cures nothing,
// and takes no text that is not bounded by a pattern, a list, or its owner.
func TestSelfServiceIsForPeopleAndBounded(t *testing.T) {
	t.Parallel()
	var names []string
	for _, rb := range load(t).All() {
		if !rb.SelfService {
			continue
		}
		names = append(names, rb.Name)
		if len(rb.Cures) > 0 {
			t.Errorf("%s cures %v, and is for people", rb.Name, rb.Cures)
		}
		for _, in := range rb.Inputs {
			bounded := in.From != "" || in.Pattern != "" || in.ChoicesFrom != "" || len(in.Choices) > 0
			switch in.Type {
			case runbooks.InputString, runbooks.InputPath, runbooks.InputUnit:
				if !bounded {
					t.Errorf("%s: %s takes any %s", rb.Name, in.Name, in.Type)
				}
			case runbooks.InputPercent, runbooks.InputInt, runbooks.InputBool, runbooks.InputDuration, runbooks.InputBytes, runbooks.InputArgv, runbooks.InputPatterns:
			}
		}
		cases, err := filepath.Glob(filepath.Join("testdata", rb.Name, "*", "case.yaml"))
		if err != nil || len(cases) < 2 {
			t.Errorf("%s has %d recorded cases, %v", rb.Name, len(cases), err)
		}
	}
	slices.Sort(names)
	want := []string{
		"apply-updates", "collect-bundle", "extend-disk-quota", "install-listed-package", "lock-service-account-password", "maintenance-off", "maintenance-on", "renew-certificate",
		"reset-service-account-key", "restart-service", "rotate-logs-now",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("self-service (-want +got):\n%s", diff)
	}
}

func TestSelfServiceTakesOnlyWhatTheOwnerListed(t *testing.T) {
	t.Parallel()
	c := load(t)
	host := entity.Entity{ID: "db1", Kind: entity.Host, SelfService: entity.SelfService{
		Units: []string{"orders.service"}, Packages: []string{"htop"}, Maintenance: "/etc/orders/maintenance",
		Accounts:     []entity.Account{{Name: "deploy", AuthorizedKeys: "/etc/ssh/keys/deploy"}, {Name: "backup"}},
		Certificates: []entity.Certificate{{Path: "/etc/tls/a.pem", Key: "/etc/tls/a.key", Renew: "certbot.service", Unit: "nginx.service"}},
		Quotas:       []entity.Quota{{Path: "/srv/spool", Mount: "/srv", Project: 7, Max: 20 << 30}},
	}}
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDYQ4xWcVpsoLxFhTHw6BPsqWwSkRJ8e9u3sFJMnPLu5 deploy@build"
	rsa := "ssh-rsa " + strings.Repeat("A", 543) + "="
	type given = map[string]string
	for name, one := range map[string]struct {
		given given
		want  string // part of what is bound, name=value; "" is refused
	}{
		"restart-service/listed":                {given{"unit": "orders"}, "unit=orders.service"},
		"restart-service/another":               {given{"unit": "sshd"}, ""},
		"restart-service/option":                {given{"unit": "--all"}, ""},
		"install-listed-package/listed":         {given{"package": "htop"}, "package=htop"},
		"install-listed-package/another":        {given{"package": "netcat"}, ""},
		"install-listed-package/two":            {given{"package": "htop netcat"}, ""},
		"install-listed-package/verb":           {given{"package": "htop-"}, ""},
		"reset-service-account-key/key":         {given{"account": "deploy", "key": key}, "file=/etc/ssh/keys/deploy"},
		"reset-service-account-key/no comment":  {given{"account": "deploy", "key": strings.TrimSuffix(key, " deploy@build")}, "account=deploy"},
		"reset-service-account-key/rsa":         {given{"account": "deploy", "key": rsa}, "account=deploy"},
		"reset-service-account-key/short rsa":   {given{"account": "deploy", "key": "ssh-rsa " + strings.Repeat("A", 372)}, ""},
		"reset-service-account-key/options":     {given{"account": "deploy", "key": `command="/bin/sh" ` + key}, ""},
		"reset-service-account-key/two lines":   {given{"account": "deploy", "key": key + "\n" + key}, ""},
		"reset-service-account-key/two keys":    {given{"account": "deploy", "key": key + " " + key}, ""},
		"reset-service-account-key/private":     {given{"account": "deploy", "key": "-----BEGIN OPENSSH PRIVATE KEY-----"}, ""},
		"reset-service-account-key/root":        {given{"account": "root", "key": key}, ""},
		"reset-service-account-key/no file":     {given{"account": "backup", "key": key}, ""},
		"lock-service-account-password/listed":  {given{"account": "backup"}, "account=backup"},
		"lock-service-account-password/root":    {given{"account": "root"}, ""},
		"extend-disk-quota/listed":              {given{"path": "/srv/spool", "size": "10GiB"}, "most=21474836480"},
		"extend-disk-quota/another":             {given{"path": "/srv", "size": "10GiB"}, ""},
		"renew-certificate/listed":              {given{"certificate": "/etc/tls/a.pem"}, "renewer=certbot.service"},
		"renew-certificate/another":             {given{"certificate": "/etc/tls/b.pem"}, ""},
		"maintenance-on/said":                   {given{"why": "new disk", "until": "2026-12-24T18:00Z"}, "file=/etc/orders/maintenance"},
		"maintenance-on/never ends":             {given{"why": "new disk", "until": "some day"}, ""},
		"maintenance-on/without a reason":       {given{"why": "  x", "until": "2026-12-24T18:00Z"}, ""},
		"maintenance-off/its own file":          {nil, "file=/etc/orders/maintenance"},
		"rotate-logs-now/rule":                  {given{"rule": "orders", "log": "/var/log/orders/orders.log"}, "rule=orders"},
		"rotate-logs-now/climbs":                {given{"rule": "../../tmp/x", "log": "/var/log/orders/orders.log"}, ""},
		"rotate-logs-now/elsewhere":             {given{"rule": "orders", "log": "/etc/passwd"}, ""},
		"apply-updates/by itself":               {nil, "scope=security"},
		"apply-updates/more":                    {given{"scope": "full-upgrade"}, ""},
		"collect-bundle/by itself":              {nil, "logs=/var/log"},
		"collect-bundle/secrets":                {given{"logs": "/etc"}, ""},
		"collect-bundle/looks like what it may": {given{"logs": "/var/logs"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			book, _, _ := strings.Cut(name, "/")
			rb, ok := c.Find(book)
			if !ok {
				t.Fatal("no such runbook")
			}
			_, shown, err := runbooks.BindInputs(rb, one.given, runbooks.FromVars(nil, host, host))
			if one.want == "" {
				if !fault.Is(err, fault.Invalid) {
					t.Errorf("bound: %v, %v", shown, err)
				}
				return
			}
			key, value, _ := strings.Cut(one.want, "=")
			if err != nil || shown[key] != value {
				t.Errorf("got %v, %v; want %s", shown, err, one.want)
			}
			// A host whose owner lists nothing offers nothing of it.
			bare := entity.Entity{ID: "web1", Kind: entity.Host}
			_, _, err = runbooks.BindInputs(rb, one.given, runbooks.FromVars(nil, bare, bare))
			listed := !slices.Contains([]string{"rotate-logs-now", "apply-updates", "collect-bundle"}, book)
			if listed != (err != nil) {
				t.Errorf("on a host whose owner lists nothing: %v", err)
			}
		})
	}
}

// TestLibraryHasNoLeftovers: a case that no runbook has is never tried.
func TestLibraryHasNoLeftovers(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	c := load(t)
	for _, e := range entries {
		if _, ok := c.Find(e.Name()); !ok {
			t.Errorf("testdata/%s is of no runbook", e.Name())
		}
	}
}
