package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller"
	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/catalogue"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote/local"
	"github.com/secondline-ops/secondline/internal/yamlx"
)

func catalogueCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "catalogue",
		Short: "Pin the commit that causes and runbooks are taken from",
		Long: `Causes and runbooks may come from a Git repository, besides the shipped ones and those of folders. The controller takes the
commit that was pinned, and no other: a branch that moves on changes nothing until somebody pulls. These commands work in the
controller's data folder, on its host and as its user, and then tell the running controller.

The configuration file names the repository:

  catalogue:
    git: {url: "https://git.example/ops/catalogue.git", ref: main, path: secondline}

with causes/*.yaml and runbooks/**/*.yaml below the path.`,
		Example: `  secondline catalogue diff --config /etc/secondline/controller.yaml
  secondline catalogue pull --config /etc/secondline/controller.yaml
  secondline catalogue rollback --config /etc/secondline/controller.yaml`,
	}
	f := &catalogueFlags{conn: addConnection(env, cmd)}
	cmd.PersistentFlags().StringVar(&f.config, "config", "", "the controller's configuration file")
	cmd.PersistentFlags().StringVar(&f.dataDir, "data-dir", "", "the controller's data folder, when it is started with another one than its file says")
	_ = cmd.MarkPersistentFlagFilename("config", "yaml", "yml")
	_ = cmd.MarkPersistentFlagDirname("data-dir")
	return group(cmd, catalogueStatus(env, f), cataloguePull(env, f), catalogueDiff(env, f), catalogueUse(env, f), catalogueRollback(env, f), catalogueLog(env, f))
}

// catalogueFlags say whose catalogue is meant.
type catalogueFlags struct {
	conn            *connection
	config, dataDir string
}

// desk reads the configuration and what is pinned.
func (f *catalogueFlags) desk(env *environment) (*catalogueDesk, error) {
	conf := defaultConfig(env)
	if f.config != "" {
		var err error
		if conf, err = readConfig(f.config, conf); err != nil {
			return nil, err
		}
	}
	conf.DataDir = cmp.Or(f.dataDir, conf.DataDir)
	if info, err := os.Stat(conf.DataDir); err != nil || !info.IsDir() {
		return nil, fault.New(fault.NotFound, "there is no data folder %s", conf.DataDir).
			WithHint("name it with --data-dir, or its configuration with --config; starting the controller makes it")
	}
	if conf.Catalogue.Git == (gitConfig{}) {
		return nil, fault.New(fault.Invalid, "the configuration names no repository: catalogue.git.url").
			WithHint("name the configuration with --config; what to write: secondline catalogue --help")
	}
	if err := conf.Catalogue.Git.source().Validate(); err != nil {
		return nil, err
	}
	d := &catalogueDesk{env: env, conf: conf, folder: catalogue.In(conf.DataDir), conn: f.conn.of(conf)}
	var err error
	d.pins, err = d.folder.Pins()
	return d, err
}

// of makes the controller with the configuration the one that is asked, unless
// the person names another.
func (c *connection) of(conf controllerConfig) *connection {
	own := *c
	if own.url == "" && c.env.getenv("SECONDLINE_URL") == "" {
		if host, port, err := net.SplitHostPort(conf.Listen); err == nil {
			if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
				host = "127.0.0.1"
			}
			own.url = "http://" + net.JoinHostPort(host, port)
		}
	}
	file := filepath.Join(conf.DataDir, "admin-token")
	if _, err := os.Stat(file); err == nil && own.token == "" && own.tokenFile == "" &&
		c.env.getenv("SECONDLINE_TOKEN") == "" && c.env.getenv("SECONDLINE_TOKEN_FILE") == "" {
		own.tokenFile = file
	}
	return &own
}

// catalogueDesk is one command at work on the catalogue of a controller.
type catalogueDesk struct {
	env    *environment
	conf   controllerConfig
	folder catalogue.Folder
	conn   *connection
	pins   []catalogue.Pin // newest first
}

// lock takes the lock and reads the pins again: another command may have ended
// in between.
func (d *catalogueDesk) lock() (*catalogue.Locked, error) {
	l, err := d.folder.Lock()
	if err != nil {
		return nil, err
	}
	if d.pins, err = l.Pins(); err != nil {
		return nil, errors.Join(err, l.Unlock())
	}
	return l, nil
}

// fetch gets what the ref names now.
func (d *catalogueDesk) fetch(ctx context.Context, l *catalogue.Locked) (*catalogue.Draft, error) {
	fetcher := catalogue.Fetcher{Runner: local.New(), Env: map[string]string{"HOME": d.env.getenv("HOME")}, Timeout: d.conf.Catalogue.Git.Timeout}
	for _, name := range []string{"SSH_AUTH_SOCK", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"} {
		if value := d.env.getenv(name); value != "" {
			fetcher.Env[name] = value
		}
	}
	return l.NewDraft(func(scratch, tree string) (catalogue.Commit, error) {
		return fetcher.Fetch(ctx, d.conf.Catalogue.Git.source(), scratch, tree)
	})
}

func (d *catalogueDesk) probes() (*diagnostics.ProbeSet, error) {
	return declaredProbes(d.conf.Plugins)
}

// changesTo loads the tree as the controller would, and says what differs from
// what is in force. A tree with mistakes is shown with all of them.
func (d *catalogueDesk) changesTo(_ context.Context, tree catalogue.Tree) ([]controller.Change, error) {
	probes, err := d.probes()
	if err != nil {
		return nil, err
	}
	next, err := d.conf.loadCatalogue(tree, probes)
	if err != nil {
		return nil, mistakenError{err}
	}
	_, now, err := d.conf.catalogue(probes)
	if err != nil {
		say(d.env.stderr, "what is pinned now cannot be used (%v); shown is what differs from a catalogue without it", err)
		if now, err = d.conf.loadCatalogue(catalogue.Tree{}, probes); err != nil {
			return nil, mistakenError{err}
		}
	}
	return controller.Changes(now, next), nil
}

// mistakenError says that a catalogue does not pass lint.
type mistakenError struct{ error }

func (e mistakenError) Unwrap() error { return e.error }

// refuse shows the mistakes of a catalogue and ends with exit code 1; other
// errors stay what they are.
func (d *catalogueDesk) refuse(err error) error {
	mistaken, ok := errors.AsType[mistakenError](err)
	if !ok {
		return err
	}
	complain(d.env, mistaken.error)
	n := len(yamlx.Errors(err))
	if n == 0 {
		n = 1
	}
	say(d.env.stderr, "%d mistakes: nothing was pinned, and what was in force stays in force", n)
	return exitCode(fault.ExitFailed)
}

// moved is what a command did, or would do.
type moved struct {
	Pin     *catalogue.Pin      `json:"pin"`    // in force now; null when nothing was pinned
	Before  string              `json:"before"` // the commit before; "" for none
	Changes []controller.Change `json:"changes"`
	// Controller says what the running controller made of it.
	Controller string `json:"controller,omitempty"`

	unheard bool // the controller has not taken it
}

func (d *catalogueDesk) before() string {
	if len(d.pins) == 0 {
		return ""
	}
	return d.pins[0].Commit
}

// put pins the commit and tells the controller.
func (d *catalogueDesk) put(ctx context.Context, l *catalogue.Locked, pin catalogue.Pin, draft *catalogue.Draft, changes []controller.Change) (moved, error) {
	m := moved{Pin: &pin, Before: d.before(), Changes: changes}
	if err := l.Put(d.pins, pin, draft); err != nil {
		return m, err
	}
	m.Controller, m.unheard = d.tell(ctx, pin)
	return m, nil
}

// tell has the running controller read its files again.
func (d *catalogueDesk) tell(ctx context.Context, pin catalogue.Pin) (text string, unheard bool) {
	const later = "it takes the commit when it reads its files again: systemctl reload secondline-controller (SIGHUP), or a restart"
	client, err := d.conn.client()
	if err != nil {
		return "no controller was told (" + err.Error() + "); " + later, false
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	info, err := client.Reload(ctx)
	switch {
	case fault.Is(err, fault.Unreachable):
		return "no controller runs at " + d.conn.address() + "; " + later, false
	case err != nil:
		return "the controller at " + d.conn.address() + " has not taken it: " + err.Error(), true
	case info.Git == nil || info.Git.Commit != pin.Commit || info.Git.Digest != pin.Digest:
		return "the controller at " + d.conn.address() + " has read its files again, and they are not these: it has another data folder or configuration", true
	}
	return "the controller at " + d.conn.address() + " works with it now", false
}

// who is the person at the keyboard, also behind sudo.
func (e *environment) who() string {
	if name := e.getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}

func cataloguePull(env *environment, f *catalogueFlags) *cobra.Command {
	var full bool
	cmd := &cobra.Command{
		Use: "pull", Short: "Fetch the commit that the ref names now, lint it, show what changes, and pin it", Args: exactly(0),
		Long: `Fetches what catalogue.git.ref names now, and checks all of it as the controller would. With any mistake nothing is pinned
(exit code 1). Else what differs from the catalogue in force is shown, the commit is pinned, and the running controller is told.
To look first: secondline catalogue diff.`,
		Example: `  secondline catalogue pull --config /etc/secondline/controller.yaml
  secondline catalogue pull --config controller.yaml --full    # with the text of every change`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	out := addOutput(cmd)
	fullFlag(cmd, &full)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return f.change(env, out, full, func(d *catalogueDesk, l *catalogue.Locked) (moved, error) { return d.pull(cmd.Context(), l) })
	}
	return cmd
}

func fullFlag(cmd *cobra.Command, full *bool) {
	cmd.Flags().BoolVar(full, "full", false, "also the text of every change, as a diff")
}

func (d *catalogueDesk) pull(ctx context.Context, l *catalogue.Locked) (m moved, err error) {
	draft, err := d.fetch(ctx, l)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, draft.Discard()) }()
	git := d.conf.Catalogue.Git
	if len(d.pins) > 0 && d.pins[0].Commit == draft.ID && d.pins[0].Digest == draft.Digest && git.admits(d.pins[0]) == nil {
		if _, err := d.folder.Open(d.pins[0]); err == nil {
			m = moved{Pin: &d.pins[0], Before: d.before(), Changes: []controller.Change{}}
			m.Controller, m.unheard = d.tell(ctx, d.pins[0])
			return m, nil
		}
	}
	changes, err := d.changesTo(ctx, draft.Tree)
	if err != nil {
		return m, err
	}
	pin := catalogue.Next(d.pins, catalogue.Pin{
		Commit: draft.ID, Subject: draft.Subject, URL: git.URL, Ref: git.Ref, Path: git.Path, Digest: draft.Digest, Signer: draft.Signer,
	}, catalogue.Pulled, d.env.who(), time.Now())
	return d.put(ctx, l, pin, draft, changes)
}

// change runs a command that changes what is pinned, and shows what it did.
func (f *catalogueFlags) change(env *environment, out *format, full bool, do func(*catalogueDesk, *catalogue.Locked) (moved, error)) (err error) {
	d, err := f.desk(env)
	if err != nil {
		return err
	}
	l, err := d.lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Unlock()) }()
	m, err := do(d, l)
	if err != nil {
		return d.refuse(err)
	}
	if err := out.write(env.stdout, m, func(w io.Writer) { showMoved(w, env.paints(w), m, full) }); err != nil {
		return err
	}
	if m.unheard {
		return exitCode(fault.ExitFailed)
	}
	return nil
}

func catalogueDiff(env *environment, f *catalogueFlags) *cobra.Command {
	var full bool
	cmd := &cobra.Command{
		Use: "diff [COMMIT]", Short: "Show what pull, or use COMMIT, would change; pin nothing", Args: atMostOne(),
		Long: `Without COMMIT it fetches what pull would fetch and shows what would change. With COMMIT, which was pinned before, it shows
what going back to it would change.`,
		Example: `  secondline catalogue diff --config /etc/secondline/controller.yaml --full
  secondline catalogue diff 4f2a9c1 --config /etc/secondline/controller.yaml`,
		ValidArgsFunction: f.completePins(env),
	}
	out := addOutput(cmd)
	fullFlag(cmd, &full)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return f.change(env, out, full, func(d *catalogueDesk, l *catalogue.Locked) (m moved, err error) {
			m = moved{Before: d.before()}
			if len(args) > 0 {
				_, tree, err := d.earlier(args[0])
				if err == nil {
					m.Changes, err = d.changesTo(cmd.Context(), tree)
				}
				return m, err
			}
			draft, err := d.fetch(cmd.Context(), l)
			if err != nil {
				return m, err
			}
			defer func() { err = errors.Join(err, draft.Discard()) }()
			m.Changes, err = d.changesTo(cmd.Context(), draft.Tree)
			return m, err
		})
	}
	return cmd
}

// earlier is a commit that was pinned before, with its files.
func (d *catalogueDesk) earlier(commit string) (catalogue.Pin, catalogue.Tree, error) {
	pin, err := catalogue.FindPin(d.pins, commit)
	if err != nil {
		return pin, catalogue.Tree{}, err
	}
	if err := d.conf.Catalogue.Git.admits(pin); err != nil {
		return pin, catalogue.Tree{}, err
	}
	tree, err := d.folder.Open(pin)
	return pin, tree, err
}

// goBack puts an earlier pin into force, if it is right for lint still.
func (d *catalogueDesk) goBack(ctx context.Context, l *catalogue.Locked, commit string, act catalogue.Act) (moved, error) {
	pin, tree, err := d.earlier(commit)
	if err != nil {
		return moved{}, err
	}
	changes, err := d.changesTo(ctx, tree)
	if err != nil {
		return moved{}, err
	}
	return d.put(ctx, l, catalogue.Next(d.pins, pin, act, d.env.who(), time.Now()), nil, changes)
}

func catalogueUse(env *environment, f *catalogueFlags) *cobra.Command {
	var full bool
	cmd := &cobra.Command{
		Use: "use COMMIT", Short: "Put a commit into force again that was pinned before", Args: exactly(1),
		Long: `Takes one of the commits that "catalogue log" lists, of which the first seven digits are enough. It is linted again first: what
was right for an older version of Secondline may not be for this one. Then it is refused, and what is in force stays.`,
		Example:           `  secondline catalogue use 4f2a9c1 --config /etc/secondline/controller.yaml`,
		ValidArgsFunction: f.completePins(env),
	}
	out := addOutput(cmd)
	fullFlag(cmd, &full)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return f.change(env, out, full, func(d *catalogueDesk, l *catalogue.Locked) (moved, error) {
			return d.goBack(cmd.Context(), l, args[0], catalogue.Used)
		})
	}
	return cmd
}

func catalogueRollback(env *environment, f *catalogueFlags) *cobra.Command {
	var full bool
	cmd := &cobra.Command{
		Use: "rollback", Short: "Put the commit into force again that was pinned before this one", Args: exactly(0),
		Long:              `Goes back one commit, and each time again one further. A commit that is not right for lint any more is refused.`,
		Example:           `  secondline catalogue rollback --config /etc/secondline/controller.yaml`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	out := addOutput(cmd)
	fullFlag(cmd, &full)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return f.change(env, out, full, func(d *catalogueDesk, l *catalogue.Locked) (moved, error) {
			pin, err := catalogue.BeforeLast(d.pins)
			if err != nil {
				return moved{}, err
			}
			return d.goBack(cmd.Context(), l, pin.Commit, catalogue.RolledBack)
		})
	}
	return cmd
}

// completePins offers the commits that were pinned.
func (f *catalogueFlags) completePins(env *environment) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		d, err := f.desk(env)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var words []string
		for _, p := range d.pins {
			words = append(words, oneLine(fmt.Sprintf("%.12s\t%s", p.Commit, p.Subject)))
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// inController is what the running controller says of itself; nil when it
// cannot be asked.
func (d *catalogueDesk) inController(ctx context.Context) *api.CatalogueInfo {
	client, err := d.conn.client()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, completeWithin)
	defer cancel()
	info, err := client.Catalogue(ctx)
	if err != nil {
		return nil
	}
	return &info
}
