package entity

import (
	"path"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
)

// SelfService is what the owner of a host lets people ask for: the runbooks of
// self service work on nothing else. The zero value offers nothing.
type SelfService struct {
	Units        []string      `json:"units,omitempty"`    // that may be restarted
	Packages     []string      `json:"packages,omitempty"` // that may be installed
	Accounts     []Account     `json:"accounts,omitempty"`
	Certificates []Certificate `json:"certificates,omitempty"`
	Quotas       []Quota       `json:"quotas,omitempty"`
	Maintenance  string        `json:"maintenance,omitempty"` // the file that says the host is in maintenance, to whoever sends it work
}

// Account is a service account: nobody's own.
type Account struct {
	Name           string `json:"name" yaml:"name,required"`
	AuthorizedKeys string `json:"authorized_keys,omitempty" yaml:"authorized_keys"` // the file of sshd(8), which the account itself cannot write
}

// Certificate is a certificate with what renews it.
type Certificate struct {
	Path  string `json:"path" yaml:"path,required"`
	Key   string `json:"key" yaml:"key,required"`
	Renew string `json:"renew" yaml:"renew,required"` // the unit that renews it, and ends: certbot.service
	Unit  string `json:"unit" yaml:"unit,required"`   // the unit that serves it, and is reloaded
}

// Quota is a directory with a project quota (setquota(8), -P).
type Quota struct {
	Path    string `json:"path"`
	Mount   string `json:"mount"`   // of the file system
	Project int    `json:"project"` // its number
	Max     int64  `json:"max"`     // bytes that may be asked for at most
}

// Validate refuses what no runbook could use. It names every mistake.
func (s SelfService) Validate() []error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fault.New(fault.Invalid, "self_service: "+format, args...))
	}
	file := func(what, name string) {
		if !path.IsAbs(name) || path.Clean(name) != name || strings.ContainsAny(name, "\x00\n") {
			bad("%s %q: an absolute path without .. is needed", what, name)
		}
	}
	unit := func(what, name string) {
		if strings.HasPrefix(name, "-") || !strings.Contains(name, ".") || strings.ContainsAny(name, "/ \t\n\x00") {
			bad("%s %q: the whole name of a unit is needed, with its suffix", what, name)
		}
	}
	for _, name := range s.Units {
		unit("unit", name)
	}
	for _, a := range s.Accounts {
		if a.Name == "" || a.Name == "root" {
			bad("account %q is no service account", a.Name)
		}
		if a.AuthorizedKeys != "" {
			file("authorized_keys", a.AuthorizedKeys)
		}
	}
	for _, c := range s.Certificates {
		file("certificate", c.Path)
		file("key", c.Key)
		unit("renew", c.Renew)
		unit("unit", c.Unit)
	}
	for _, q := range s.Quotas {
		file("quota", q.Path)
		file("mount", q.Mount)
		if q.Project <= 0 || q.Max <= 0 {
			bad("quota %q: project is %d and max %d; both must be more than 0", q.Path, q.Project, q.Max)
		}
	}
	if s.Maintenance != "" {
		file("maintenance", s.Maintenance)
	}
	if slices.Contains(s.Packages, "") {
		bad("a package without a name")
	}
	return errs
}

func selfServiceField() expr.Field {
	str := func(name, doc string) expr.Field { return expr.Field{Name: name, Type: expr.String, Doc: doc} }
	return expr.Field{Name: "self_service", Type: expr.Object, Doc: "what its owner lets people ask for", Elem: []expr.Field{
		{Name: "units", Type: expr.List, Doc: "units that may be restarted"},
		{Name: "packages", Type: expr.List, Doc: "packages that may be installed"},
		{Name: "accounts", Type: expr.List, Doc: "service accounts", Elem: []expr.Field{
			str("name", "of the account"), str("authorized_keys", "its file of SSH keys; may be empty"),
		}},
		{Name: "certificates", Type: expr.List, Doc: "certificates with what renews them", Elem: []expr.Field{
			str("path", "the certificate"), str("key", "its key"), str("renew", "the unit that renews it"), str("unit", "the unit that serves it"),
		}},
		{Name: "quotas", Type: expr.List, Doc: "directories with a project quota", Elem: []expr.Field{
			str("path", "the directory"), str("mount", "where its file system is mounted"),
			{Name: "project", Type: expr.Int, Doc: "number of the project"},
			{Name: "max", Type: expr.Int, Doc: "bytes that may be asked for at most"},
		}},
		str("maintenance", "the file that says the host is in maintenance; empty when there is none"),
	}}
}

func (s SelfService) vars() map[string]any {
	accounts, certificates, quotas := []any{}, []any{}, []any{}
	for _, a := range s.Accounts {
		accounts = append(accounts, map[string]any{"name": a.Name, "authorized_keys": a.AuthorizedKeys})
	}
	for _, c := range s.Certificates {
		certificates = append(certificates, map[string]any{"path": c.Path, "key": c.Key, "renew": c.Renew, "unit": c.Unit})
	}
	for _, q := range s.Quotas {
		quotas = append(quotas, map[string]any{"path": q.Path, "mount": q.Mount, "project": int64(q.Project), "max": q.Max})
	}
	return map[string]any{
		"units": list(s.Units), "packages": list(s.Packages), "accounts": accounts, "certificates": certificates, "quotas": quotas,
		"maintenance": s.Maintenance,
	}
}
