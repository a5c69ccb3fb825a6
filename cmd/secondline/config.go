package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/controller"
	"github.com/secondline-ops/secondline/controller/inventory"
	"github.com/secondline-ops/secondline/controller/notify"
	"github.com/secondline-ops/secondline/controller/notify/smtp"
	"github.com/secondline-ops/secondline/controller/notify/webhook"
	"github.com/secondline-ops/secondline/controller/schedule"
	"github.com/secondline-ops/secondline/controller/triage"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
)

// controllerConfig is the controller's file. Every key is also a flag and a
// SECONDLINE_ variable where it is a single value.
type controllerConfig struct {
	Listen      string          `yaml:"listen"`
	AgentListen string          `yaml:"agent_listen"`
	BaseURL     string          `yaml:"base_url"`
	DataDir     string          `yaml:"data_dir"`
	Store       string          `yaml:"store"` // "" is SQLite in data_dir; postgres://… is PostgreSQL
	Inventory   string          `yaml:"inventory"`
	Causes      []string        `yaml:"causes"`
	Runbooks    []string        `yaml:"runbooks"`
	Checks      []string        `yaml:"checks"`
	Catalogue   catalogueConfig `yaml:"catalogue"`
	// RunbookSigners is a file of allowed signers: then folders and commits give
	// only runbooks that one of them has signed.
	RunbookSigners string          `yaml:"runbook_signers"`
	Plugins        []string        `yaml:"plugins"` // bundled ones, whose probes causes, runbooks and checks may use
	LogLevel       string          `yaml:"log_level"`
	Retention      retentionConfig `yaml:"retention"`
	Policy         policyConfig    `yaml:"policy"`
	Notify         notifyConfig    `yaml:"notify"`
	// Prometheus are the servers that evaluate the alerts which come in.
	Prometheus []prometheusConfig `yaml:"prometheus"`
}

type catalogueConfig struct {
	Git gitConfig `yaml:"git"`
}

// gitConfig is where "secondline catalogue pull" fetches causes and runbooks
// from. The controller itself reads only what was pulled.
type gitConfig struct {
	URL     string        `yaml:"url"`
	Ref     string        `yaml:"ref"`
	Path    string        `yaml:"path"`
	Signers string        `yaml:"signers"`
	Timeout time.Duration `yaml:"timeout"`
}

type retentionConfig struct {
	Bodies    time.Duration `yaml:"bodies"`
	Incidents time.Duration `yaml:"incidents"`
	Bundles   time.Duration `yaml:"bundles"`
}

type policyConfig struct {
	Level           string        `yaml:"level"`
	Grants          []grantConfig `yaml:"grants"`
	MaxAttempts     int           `yaml:"max_attempts"`
	ApprovalTimeout time.Duration `yaml:"approval_timeout"`
	MaxHold         time.Duration `yaml:"max_hold"`
	UnverifiedHold  time.Duration `yaml:"unverified_hold"`
}

type grantConfig struct {
	Runbook string `yaml:"runbook,required"`
	Target  string `yaml:"target"`
	Level   string `yaml:"level,required"`
	By      string `yaml:"by,required"`
	Expires string `yaml:"expires,required"` // RFC 3339
}

type notifyConfig struct {
	Webhooks []webhookConfig `yaml:"webhooks"`
	Mail     []mailConfig    `yaml:"mail"`
}

type webhookConfig struct {
	Name       string `yaml:"name,required"`
	URL        string `yaml:"url,required"`
	SecretFile string `yaml:"secret_file"`
}

type mailConfig struct {
	Name         string   `yaml:"name,required"`
	Host         string   `yaml:"host,required"`
	Port         int      `yaml:"port"`
	From         string   `yaml:"from,required"`
	To           []string `yaml:"to,required"`
	User         string   `yaml:"user"`
	PasswordFile string   `yaml:"password_file"`
	TLS          string   `yaml:"tls"` // required (default), opportunistic, none
}

func defaultConfig(env *environment) controllerConfig {
	return controllerConfig{
		Listen: "127.0.0.1:7420", AgentListen: ":7421", DataDir: filepath.Join(env.stateDir(), "controller"), LogLevel: "info",
		Retention: retentionConfig(controller.DefaultRetention()), Plugins: bundledPlugins(),
	}
}

// readConfig reads the file over the defaults. Paths in it are relative to it.
func readConfig(path string, c controllerConfig) (controllerConfig, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("read configuration: %w", err)
	}
	root, err := yamlx.Parse(path, data)
	if err != nil {
		return c, err
	}
	if err := errors.Join(root.Decode(&c), c.Retention.mistakes(root)); err != nil {
		return c, err
	}
	dir := filepath.Dir(path)
	rel := func(p *string) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	rel(&c.DataDir)
	rel(&c.Inventory)
	rel(&c.RunbookSigners)
	rel(&c.Catalogue.Git.Signers)
	for _, list := range [][]string{c.Causes, c.Runbooks, c.Checks} {
		for i := range list {
			rel(&list[i])
		}
	}
	for i := range c.Notify.Webhooks {
		rel(&c.Notify.Webhooks[i].SecretFile)
	}
	for i := range c.Prometheus {
		rel(&c.Prometheus[i].TokenFile)
	}
	for i := range c.Notify.Mail {
		rel(&c.Notify.Mail[i].PasswordFile)
	}
	return c, nil
}

// settings reads everything that the configuration names. All mistakes are
// reported together.
func (c controllerConfig) settings(probes *diagnostics.ProbeSet) (controller.Settings, error) {
	var s controller.Settings
	var errs []error
	var err error
	if s.Inventory, err = c.inventory(); err != nil {
		errs = append(errs, err)
	}
	if err := mustBeFolders(slices.Concat(c.Causes, c.Runbooks, c.Checks)); err != nil {
		errs = append(errs, err)
	} else {
		s.Pinned, s.Catalogue, err = c.catalogue(probes)
		errs = append(errs, err)
		s.Checks, err = loadChecks(c.Checks, probes)
		errs = append(errs, err)
	}
	s.Policy, err = c.Policy.policy()
	errs = append(errs, err)
	s.Channels, err = c.Notify.channels()
	errs = append(errs, err)
	s.Prometheus, err = prometheusServers(c.Prometheus)
	errs = append(errs, err)
	s.Retention = controller.Retention(c.Retention)
	errs = append(errs, c.Retention.mistakes(nil))
	return s, errors.Join(errs...)
}

// mistakes reports the values that are refused, at their place in the file; in
// root nil those that came from elsewhere.
func (r retentionConfig) mistakes(root *yamlx.Node) error {
	problems := controller.Retention(r).Problems()
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(problems)) {
		if root == nil {
			errs = append(errs, fault.New(fault.Invalid, "retention.%s: %s", key, problems[key]).WithField("retention."+key))
			continue
		}
		if section, ok := root.Get("retention"); ok {
			if value, ok := section.Get(key); ok {
				errs = append(errs, value.Errorf("%s", problems[key]))
			}
		}
	}
	return errors.Join(errs...)
}

func (c controllerConfig) inventory() (*inventory.Inventory, error) {
	if c.Inventory == "" {
		return inventory.New(nil)
	}
	data, err := os.ReadFile(c.Inventory)
	if err != nil {
		return nil, fmt.Errorf("read inventory: %w", err)
	}
	return inventory.Parse(c.Inventory, data)
}

// mustBeFolders names each that cannot be looked into.
func mustBeFolders(dirs []string) error {
	var errs []error
	for _, dir := range dirs {
		if _, err := os.ReadDir(dir); err != nil {
			errs = append(errs, fault.Wrap(fault.NotFound, err, "read the folder %s", dir).WithHint("make it, or correct its name; in a configuration file it is relative to that file"))
		}
	}
	return errors.Join(errs...)
}

func folders(dirs []string) []fs.FS {
	var out []fs.FS
	for _, d := range dirs {
		out = append(out, os.DirFS(d))
	}
	return out
}

func loadChecks(dirs []string, probes *diagnostics.ProbeSet) ([]*diagnostics.Check, error) {
	var out []*diagnostics.Check
	var errs []error
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
		errs = append(errs, err)
		for _, f := range files {
			check, err := loadCheck(f, probes)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			out = append(out, check)
		}
	}
	return out, errors.Join(errs...)
}

func loadCheck(path string, probes *diagnostics.ProbeSet) (*diagnostics.Check, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read check: %w", err)
	}
	check, err := diagnostics.ParseCheck(path, data, probes)
	if err != nil {
		return nil, err
	}
	if _, err := schedule.Parse(check.Schedule); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return check, nil
}

func (p policyConfig) policy() (triage.Policy, error) {
	out := triage.DefaultPolicy()
	var errs []error
	level := func(word string) runbooks.Level {
		switch l := runbooks.Level(word); l {
		case runbooks.Observe, runbooks.Suggest, runbooks.Approve, runbooks.Auto:
			return l
		}
		errs = append(errs, fault.New(fault.Invalid, "level %q: observe, suggest, approve, or in a grant auto", word).WithField("policy.level"))
		return runbooks.Observe
	}
	if p.Level != "" {
		out.Level = level(p.Level)
	}
	if out.Level == runbooks.Auto { // promise 7: earned or granted, by somebody, until a time
		errs = append(errs, fault.New(fault.Invalid, `"auto" is for one runbook, by somebody, until a time: write it as an entry of policy.grants`).WithField("policy.level"))
	}
	for _, g := range p.Grants {
		expires, err := time.Parse(time.RFC3339, g.Expires)
		if err != nil {
			errs = append(errs, fmt.Errorf("grant for %s: expires %q is not a time such as 2027-01-31T00:00:00Z", g.Runbook, g.Expires))
		}
		out.Grants = append(out.Grants, triage.Grant{Runbook: g.Runbook, Target: g.Target, Level: level(g.Level), By: g.By, Expires: expires})
	}
	for value, into := range map[*time.Duration]*time.Duration{
		&p.ApprovalTimeout: &out.ApprovalTimeout, &p.MaxHold: &out.MaxHold, &p.UnverifiedHold: &out.UnverifiedHold,
	} {
		if *value > 0 {
			*into = *value
		}
	}
	if p.MaxAttempts > 0 {
		out.MaxAttempts = p.MaxAttempts
	}
	return out, errors.Join(errs...)
}

func (n notifyConfig) channels() ([]notify.Sender, error) {
	var out []notify.Sender
	var errs []error
	for _, w := range n.Webhooks {
		secret, err := secretFile(w.SecretFile)
		errs = append(errs, err)
		s, err := webhook.New(webhook.Options{Name: w.Name, URL: w.URL, Secret: secret})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, s)
	}
	for _, m := range n.Mail {
		password, err := secretFile(m.PasswordFile)
		errs = append(errs, err)
		s, err := smtp.New(smtp.Options{
			Name: m.Name, Host: m.Host, Port: m.Port, From: m.From, To: m.To, User: m.User, Password: password, TLS: smtp.TLSPolicy(m.TLS),
		})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, s)
	}
	return out, errors.Join(errs...)
}

// secretFile reads a secret; no path is no secret.
func secretFile(path string) (redact.Secret, error) {
	if path == "" {
		return "", nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	return redact.Secret(strings.TrimSpace(string(data))), nil
}
