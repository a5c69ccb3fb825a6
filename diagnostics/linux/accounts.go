package linux

import (
	"bytes"
	"context"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

const (
	rawChage = "chage"
	rawSudo  = "sudo"
	rawFile  = "file"
	argUser  = "user"
)

// checkUser refuses what useradd(8) would refuse as well.
func checkUser(user string) error {
	odd := func(r rune) bool {
		return r != '_' && r != '-' && r != '.' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}
	if user == "" || len(user) > 32 || user[0] == '-' || strings.IndexFunc(user, odd) >= 0 {
		return fault.New(fault.Invalid, "%q is not the name of a user", user).WithField(argUser)
	}
	return nil
}

func accountState() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:   "account.state",
			Title:  "Whether an account or its password has expired",
			Doc:    "chage -l, see chage(1) and shadow(5): dates only, no hash. Denied to all but root.",
			Inputs: []expr.Field{required(str(argUser, "the name of the user"))},
			Outputs: []expr.Field{
				boolean("exists", "there is such a user on this host"),
				boolean("account_expired", "the account's own end is past"),
				boolean("password_expired", "the password is older than it may be, or must be changed at once"),
				optional(timestamp("password_expires", "when it does or did; missing when it never does")),
				optional(timestamp("account_expires", "when it does or did; missing when it never does")),
			},
			CostSeconds: 0.02,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
			if err := checkUser(args[argUser]); err != nil {
				return err
			}
			rec.Run(ctx, rawChage, command("chage", "-l", "--", args[argUser]))
			return nil
		},
		parse: parseAccount,
	}
}

func parseAccount(in readings) (diagnostics.Value, error) {
	raw, err := in.ran(rawChage)
	if err != nil {
		return nil, err
	}
	text := string(raw.Data)
	switch {
	case raw.ExitCode != 0 && strings.Contains(text, "does not exist"):
		return diagnostics.Value{"exists": false, "account_expired": false, "password_expired": false}, nil
	case raw.ExitCode != 0 && strings.Contains(text, "ermission denied"):
		return nil, cannotTell(diagnostics.Denied, "chage: %s", unexpected(raw))
	case raw.ExitCode != 0:
		return nil, cannotTell(diagnostics.Failed, "chage: %s", unexpected(raw))
	}
	value := diagnostics.Value{"exists": true}
	known := 0
	for line := range bytes.Lines(raw.Data) {
		key, said, _ := strings.Cut(string(line), ":")
		key, said = strings.TrimSpace(key), strings.TrimSpace(said)
		name := map[string]string{"Password expires": "password", "Account expires": "account"}[key]
		if name == "" {
			continue
		}
		known++
		day, err := time.Parse("Jan 02, 2006", said)
		switch {
		case said == "never":
			value[name+"_expired"] = false
		case said == "password must be changed":
			value[name+"_expired"] = true
		case err != nil:
			return nil, cannotTell(diagnostics.Failed, "chage: a date is not understood")
		default:
			value[name+"_expires"], value[name+"_expired"] = day, !raw.At.Before(day)
		}
	}
	if known != 2 {
		return nil, cannotTell(diagnostics.Failed, "chage: its output is not understood")
	}
	return value, nil
}

func sshModes() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:   "ssh.modes",
			Title:  "Whether sshd accepts the owner and modes of a path to authorized keys",
			Doc:    "lstat(2) of the path and of what is above it, as sshd checks with StrictModes (sshd_config(5)): owned by the user or root, and writable by nobody else. No content is read.",
			Inputs: pathInput("the home folder, its .ssh or authorized_keys"),
			Outputs: []expr.Field{
				boolean("exists", "it is there"),
				str("bad", "the part of the path that sshd refuses; \"\" when it refuses none"),
				str("why", "writable by others, or owned by another user; \"\" when it refuses none"),
				str("mode", "of that part: 0775"),
				integer("owner", "uid of that part"),
			},
			CostSeconds: 0.02,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
			if err := checkPath(argPath, args[argPath]); err != nil {
				return err
			}
			for _, p := range components(args[argPath]) {
				rec.Stat(ctx, "stat "+p, p)
			}
			return nil
		},
		parse: parseSSHModes,
	}
}

func parseSSHModes(in readings) (diagnostics.Value, error) {
	target := in.args[argPath]
	value := diagnostics.Value{"exists": true, "bad": "", "why": "", "mode": "", "owner": int64(0)}
	parts := map[string]remote.FileInfo{}
	for _, p := range components(target) {
		info, err := in.info("stat " + p)
		if isStatus(err, diagnostics.Absent) {
			value["exists"] = false
			return value, nil
		}
		if err != nil {
			return nil, err
		}
		parts[p] = info
	}
	home, hasHome := parts[homeOf(target)]
	for _, p := range components(target) {
		if why := refusedBySSHD(parts[p], hasHome && within(p, homeOf(target)), home.UID); why != "" {
			value["bad"], value["why"], value["mode"], value["owner"] = p, why, octalMode(parts[p].Mode), int64(parts[p].UID)
			return value, nil
		}
	}
	return value, nil
}

// refusedBySSHD says why sshd refuses a part of a path, "" when it does not;
// what is in the home must be the user's.
func refusedBySSHD(info remote.FileInfo, inHome bool, user uint32) string {
	switch {
	case info.Mode&fs.ModeSymlink != 0:
		return ""
	case info.Mode.Perm()&0o022 != 0 && info.Mode&fs.ModeSticky == 0:
		return "writable by others"
	case inHome && info.UID != 0 && info.UID != user:
		return "owned by another user"
	}
	return ""
}

// homeOf is the home folder in the path: what stands above .ssh, or the path
// itself.
func homeOf(p string) string {
	for at := p; at != "/"; at = path.Dir(at) {
		if path.Base(at) == ".ssh" {
			return path.Dir(at)
		}
	}
	return p
}

func sudoState() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "sudo.state",
			Title: "Whether sudo takes its rules",
			Doc: "lstat(2) of /usr/bin/sudo, and sudo -n -l as the agent's user, which reads all rules and runs nothing (sudo(8)); sudo logs it as COMMAND=list. " +
				"That the user has no rules is no fault.",
			Outputs: []expr.Field{
				boolean("installed", "there is a /usr/bin/sudo"),
				boolean("setuid", "it belongs to root and has the set-user-ID bit, without which it does nothing"),
				boolean("rules_accepted", "it found no error in its rules"),
				str("message", "what it says of them; \"\" when it accepts them"),
				str("file", "where; \"\" when it does not say"),
				integer("line", "and on which line; 0 when it does not say"),
			},
			CostSeconds: 0.05,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			if raw := rec.Stat(ctx, rawFile, "/usr/bin/sudo"); raw.Status == diagnostics.OK {
				rec.Run(ctx, rawSudo, command("sh", "-c", sudoScript))
			}
			return nil
		},
		parse: func(in readings) (diagnostics.Value, error) { return parseSudo(in, newLocator()) },
	}
}

// sudoScript keeps the complaints, which sudo prints beside its list.
const sudoScript = `exec sudo -n -l 2>&1 >/dev/null`

func parseSudo(in readings, locate locator) (diagnostics.Value, error) {
	value := diagnostics.Value{"installed": true, "setuid": true, "rules_accepted": true, "message": "", "file": "", "line": int64(0)}
	info, err := in.info(rawFile)
	if isStatus(err, diagnostics.Absent) {
		value["installed"], value["setuid"] = false, false
		return value, nil
	}
	if err != nil {
		return nil, err
	}
	value["setuid"] = info.UID == 0 && info.Mode&fs.ModeSetuid != 0
	raw, err := in.ran(rawSudo)
	if err != nil {
		return nil, err
	}
	text := string(raw.Data)
	if slices.ContainsFunc(sudoTrouble(), func(w string) bool { return strings.Contains(strings.ToLower(text), w) }) {
		at := locate.find(text)
		value["rules_accepted"], value["message"], value["file"], value["line"] = false, clip(at.message, maxLineBytes), clip(at.file, maxPathBytes), at.line
		return value, nil
	}
	if raw.ExitCode != 0 && !strings.Contains(text, "password is required") && !strings.Contains(text, "may not run sudo") && !strings.Contains(text, "not in the sudoers file") {
		return nil, cannotTell(diagnostics.Failed, "sudo: %s", clip(firstText(text), maxLineBytes))
	}
	return value, nil
}
