// Package cron is the action that runs now, once and to its end, a script of
// /etc/cron.hourly, cron.daily, cron.weekly or cron.monthly, as cron would run
// it later: by itself, as root, in cron's environment. It takes only what cron
// would take (run-parts(8)) and what nobody but root could have written.
//
// A script leaves nothing by which it could be told whether it has run, so the
// runbook says how its effect is verified, and a run of which that is not known
// is left to a person. One that is at work already is not started beside itself,
// but nothing keeps cron from starting it a moment later. On hosts with systemd
// many such scripts do nothing at all and leave the work to a timer (logrotate
// of Debian is one): there, the action timer is the right one. Lines of a
// crontab are not run: they are text of a shell, and mean something only to cron.
package cron

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// Action is the action "cron".
type Action struct {
	// Above is the folder in which cron.daily and its like are; "" is /etc.
	Above string
}

var (
	_ engine.Action  = Action{}
	_ engine.Witness = Action{}
)

type with struct{ script *expr.Template }

// saved is the script that was planned.
type saved struct {
	Script string `json:"script"`
	Digest string `json:"digest"` // sha256, in hex
	Size   int64  `json:"size"`
}

// Name implements runbooks.Decoder.
func (Action) Name() string { return "cron" }

// Decode implements runbooks.Decoder.
func (a Action) Decode(n *yamlx.Node, c *runbooks.StepContext) (runbooks.Decoded, error) {
	var raw struct {
		Script *yamlx.Node `yaml:"script,required"`
	}
	if err := n.Decode(&raw); err != nil {
		return runbooks.Decoded{}, err
	}
	script, err := c.Text(raw.Script, a.checkScript)
	if err != nil {
		return runbooks.Decoded{}, err
	}
	return runbooks.Decoded{With: with{script}, Effect: runbooks.Write}, nil
}

// checkScript takes what cron would find: directly in one of the folders, under
// a name that run-parts(8) takes without options, as Debian's cron calls it. A
// name with a dot is left out there: it may be a copy that dpkg or an editor left.
func (a Action) checkScript(name string) error {
	above := a.Above
	if above == "" {
		above = "/etc"
	}
	folders := []string{}
	for _, often := range []string{"hourly", "daily", "weekly", "monthly"} {
		folders = append(folders, path.Join(above, "cron."+often))
	}
	switch dir, base := path.Split(name); {
	case path.Clean(name) != name || !slices.Contains(folders, strings.TrimSuffix(dir, "/")):
		return fmt.Errorf("%q is not directly in one of %s; a timer of systemd is run by timer: {name: …, run: now}", name, strings.Join(folders, ", "))
	case !regexp.MustCompile(`\A[A-Za-z0-9_-]{1,255}\z`).MatchString(base):
		return fmt.Errorf("%q is not a name that cron takes: letters, digits, dashes and underscores alone", base)
	}
	return nil
}

// Plan implements engine.Action. What a script changes cannot be known before;
// the digest of its text is part of what is approved.
func (a Action) Plan(ctx context.Context, env *engine.Env) (engine.Change, error) {
	w, ok := env.Step.With.(with)
	if !ok {
		return engine.Change{}, fault.New(fault.Internal, "step %s was not read by cron", env.Step.ID)
	}
	name, err := w.script.Render(ctx, env.Vars)
	if err != nil {
		return engine.Change{}, err
	}
	if err := a.checkScript(name); err != nil {
		return engine.Change{}, fault.New(fault.Invalid, "%v", err)
	}
	s, err := look(ctx, env, name)
	if err != nil {
		return engine.Change{}, err
	}
	body, err := json.Marshal(s)
	if err != nil {
		return engine.Change{}, fault.Wrap(fault.Internal, err, "encode the script of cron")
	}
	return engine.Change{
		Argv: []string{name}, Saved: body,
		Diff:    fmt.Sprintf("--- %s, %d bytes, sha256 %s\n+is run once, now, as cron would\n", name, s.Size, s.Digest),
		Touches: []runbooks.Touch{{Kind: runbooks.TouchProcess, Name: name}},
	}, nil
}

// look reads the script, and refuses one that cron would not run, that somebody
// else than root could have written, or that is at work.
func look(ctx context.Context, env *engine.Env, name string) (saved, error) {
	if err := asRoot(ctx, env); err != nil {
		return saved{}, err
	}
	folder, err := env.Runner.Stat(ctx, path.Dir(name))
	if err != nil {
		return saved{}, err
	}
	script, err := env.Runner.Stat(ctx, name)
	if err != nil {
		return saved{}, err
	}
	deny := func(format string, args ...any) (saved, error) {
		return saved{}, fault.New(fault.Denied, "%s "+format, append([]any{name}, args...)...)
	}
	switch {
	case !folder.Mode.IsDir():
		return deny("lies in %s, which is no folder", path.Dir(name))
	case !script.Mode.IsRegular():
		return deny("is no regular file")
	case script.Mode.Perm()&0o100 == 0:
		return deny("is not executable: it was switched off")
	}
	for what, info := range map[string]remote.FileInfo{name: script, path.Dir(name): folder} {
		if writable(info) {
			return deny("is not run: %s could be written by others than root (uid %d, mode %04o)", what, info.UID, info.Mode.Perm())
		}
	}
	if err := notAtWork(ctx, env, name); err != nil {
		return saved{}, err
	}
	digest, err := digestOf(ctx, env, name)
	return saved{Script: name, Digest: digest, Size: script.Size}, err
}

// writable reports whether somebody else than root can write.
func writable(info remote.FileInfo) bool {
	const groupOrOthers fs.FileMode = 0o022
	return info.UID != 0 || info.Mode.Perm()&groupOrOthers != 0
}

// asRoot refuses another user: cron runs these scripts as root, and run as
// another they would be other jobs.
func asRoot(ctx context.Context, env *engine.Env) error {
	res, err := env.Read(ctx, "id", "-u")
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return fmt.Errorf("ask who runs the script: %w", err)
	}
	if uid := strings.TrimSpace(string(res.Stdout)); uid != "0" {
		return fault.New(fault.Denied, "cron runs its scripts as root, and this step would as user %s", uid).WithHint("say as: root")
	}
	return nil
}

// notAtWork looks for a process with the script among its words: its name has
// no spaces, so that it stands alone in what ps prints.
func notAtWork(ctx context.Context, env *engine.Env, name string) error {
	res, err := env.Read(ctx, "ps", "-eww", "-o", "args=")
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return fmt.Errorf("look whether %s is at work: %w", name, err)
	}
	if slices.Contains(strings.Fields(string(res.Stdout)), name) {
		return fault.New(fault.Denied, "%s is at work right now", name)
	}
	return nil
}

func digestOf(ctx context.Context, env *engine.Env, name string) (string, error) {
	res, err := env.Read(ctx, "sha256sum", "--", name)
	if err == nil {
		err = res.Err()
	}
	digest, _, _ := strings.Cut(string(res.Stdout), " ")
	if err == nil && !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(digest) {
		err = fault.New(fault.Internal, "%q is no digest", digest)
	}
	if err != nil {
		return "", fmt.Errorf("digest of %s: %w", name, err)
	}
	return digest, nil
}

// Apply implements engine.Action.
func (Action) Apply(ctx context.Context, env *engine.Env, c engine.Change) (engine.Outcome, error) {
	var s saved
	if err := json.Unmarshal(c.Saved, &s); err != nil {
		return engine.Outcome{}, fault.Wrap(fault.Internal, err, "read what was planned for a script of cron")
	}
	now, err := look(ctx, env, s.Script)
	if err != nil {
		return engine.Outcome{}, err
	}
	if now != s {
		return engine.Outcome{}, fault.New(fault.Denied, "the world drifted: %s was changed by somebody else", s.Script)
	}
	res, err := env.ActWith(ctx, remote.Command{Argv: []string{s.Script}, Env: cronEnvironment()})
	if err != nil {
		return engine.Outcome{}, err
	}
	out := engine.Outcome{ExitCode: res.ExitCode, Stdout: res.Stdout, Stderr: res.Stderr}
	if err := res.Err(); err != nil {
		return out, err
	}
	out.Changed = fmt.Sprintf("%s was run, %s", s.Script, res.Took.Round(100*time.Millisecond))
	return out, nil
}

// cronEnvironment is what cron(8) sets for root, with the PATH of Debian's and
// Red Hat's /etc/crontab.
func cronEnvironment() map[string]string {
	return map[string]string{
		"HOME": "/root", "LOGNAME": "root", "SHELL": "/bin/sh", "PATH": "/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin",
	}
}

// DidItHappen implements engine.Witness.
func (Action) DidItHappen(context.Context, *engine.Env, engine.Change, time.Time) engine.Reading {
	return engine.Unknown("a script of cron leaves nothing that tells")
}
