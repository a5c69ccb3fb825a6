// Package guard holds the hard limits of one agent: what it never does,
// whatever it is told. It is asked before a job begins (Allow) and again before
// each command (Gate), on this host, from this host's file; a controller that
// was taken over cannot change its answer.
//
// What it does not cover: what a refused program would do under another name,
// what an interpreter does itself or puts together from pieces (it sees commands
// that stand written in a script, see allowStdin), and where symbolic links lead.
// It stops mistakes and orders, not an attacker who is already root here.
package guard

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
)

// Mode is how far the agent goes at all.
type Mode string

// The modes.
const (
	Observe Mode = "observe" // reads only; the mode of a new agent
	Act     Mode = "act"     // also carries out plans
)

// Limits are what one agent may do. The zero value observes only, on any
// target that it is sent to, and deletes nowhere.
type Limits struct {
	Mode         Mode
	Targets      []string // entity ids; none means any
	CleanupRoots []string // the only places where files may be deleted by rule
	Refuse       []string // patterns over "program arg arg": path.Match on each word, from the first
	AllowReboot  bool
	MaxJobs      int      // at once; 0 means DefaultMaxJobs
	ManagedFiles []string // patterns of files that configuration management owns: runbooks leave them alone
	ReadDeny     []string // patterns of absolute paths (path.Match): neither these nor what is below them
}

// DefaultMaxJobs keeps an agent light on a sick host.
const DefaultMaxJobs = 4

// DefaultCleanupRoots are where log and temporary files live.
func DefaultCleanupRoots() []string { return []string{"/var/log", "/var/tmp", "/var/cache"} }

// refusedAlways can destroy a host in one call, or end its own protection;
// faults.md lists each as "never". A reboot can be allowed.
func refusedAlways() []string {
	return []string{
		"mkfs", "mkfs.*", "mke2fs", "wipefs", "fdisk", "sfdisk", "parted", "dd", "shred", "fsck", "fsck.*", "e2fsck", "xfs_repair",
		"setenforce", "visudo", "chpasswd", "passwd", "userdel", "tune2fs", "swapoff", "pg_resetwal", "dropdb",
		"iptables -F", "iptables --flush", "ip6tables -F", "nft flush", "init", "telinit", "kexec",
	}
}

func reboots() []string {
	return []string{
		"reboot", "shutdown", "halt", "poweroff", "systemctl reboot", "systemctl poweroff", "systemctl halt", "systemctl kexec",
		"systemctl rescue", "systemctl emergency", "systemctl isolate",
	}
}

// Allow refuses, with the limit that it would break, a job that this agent
// must not begin. rb is the parsed runbook of a Plan or Run job, else nil.
func (l Limits) Allow(j job.Job, rb *runbooks.Runbook) error {
	if len(l.Targets) > 0 && !slices.Contains(l.Targets, j.Target.Entity.ID) {
		return refuse("targets", "this agent does not work on %s", j.Target.Entity.ID)
	}
	if j.Kind != job.Run {
		return nil
	}
	if l.Mode != Act {
		return refuse("mode", "this agent only observes").
			WithHint("set mode: act in its guard file when it may carry out plans on %s", j.Target.Entity.ID)
	}
	if rb == nil {
		return refuse("runbook", "the job has no runbook")
	}
	if len(j.Run.ApprovedBy) == 0 {
		return refuse("approval", "nobody approved this plan")
	}
	if j.Run.PlanDigest == "" {
		return refuse("approval", "the approval names no plan")
	}
	return nil
}

// Gate refuses single commands by the agent's list. Reads pass, but for paths
// that may not be read.
func (l Limits) Gate() remote.Gate { return gate{l} }

type gate struct{ l Limits }

// Allow implements remote.Gate.
func (g gate) Allow(_ context.Context, _ string, cmd remote.Command) error {
	if len(cmd.Argv) == 0 {
		return refuse("refuse", "an empty command")
	}
	if err := g.allowArgv(cmd.Argv); err != nil {
		return err
	}
	return g.allowStdin(cmd)
}

func (g gate) allowArgv(argv []string) error {
	if err := g.allowReads(argv); err != nil {
		return err
	}
	argv = runbooks.Unwrap(argv)
	if len(argv) == 0 {
		return nil
	}
	patterns := append(refusedAlways(), g.l.Refuse...)
	if !g.l.AllowReboot {
		patterns = append(patterns, reboots()...)
	}
	for _, p := range patterns {
		if matches(p, argv) {
			return refuse("refuse", "%q is on this agent's list of commands that it never runs", p)
		}
	}
	switch program := path.Base(argv[0]); {
	case program == "rm" || program == "unlink" || program == "rmdir":
		return g.allowRemoval(argv[1:])
	case program == "find":
		return g.allowFind(argv[1:])
	case isShell(program):
		return g.allowShell(argv[1:])
	}
	return nil
}

// allowRemoval keeps rm inside the clean-up roots and away from recursion. GNU
// programs take any beginning of a long option.
func (g gate) allowRemoval(args []string) error {
	options := true
	for _, a := range args {
		switch {
		case options && a == "--":
			options = false
		case options && strings.HasPrefix(a, "--"):
			if len(a) > 2 && (strings.HasPrefix("--recursive", a) || strings.HasPrefix("--no-preserve-root", a) || strings.HasPrefix("--parents", a)) {
				return refuse("refuse", "rm never runs recursively")
			}
		case options && strings.HasPrefix(a, "-"):
			if strings.ContainsAny(a, "rRp") { // rmdir -p climbs up
				return refuse("refuse", "rm never runs recursively")
			}
		case !g.insideRoots(a):
			return refuse("cleanup_roots", "%s is outside the places where files may be deleted", a)
		}
	}
	return nil
}

// allowFind keeps a find that deletes inside the clean-up roots, and refuses one
// that runs other programs.
func (g gate) allowFind(args []string) error {
	deletes, elsewhere := false, ""
	for _, a := range args {
		switch a {
		case "-delete":
			deletes = true
		case "-L", "-H", "-follow", "-files0-from": // through links, or to where a file says
			elsewhere = a
		case "-exec", "-execdir", "-ok", "-okdir":
			return refuse("refuse", "find never runs other programs")
		case "-fprint", "-fprint0", "-fprintf", "-fls":
			return refuse("refuse", "find never writes files")
		}
	}
	switch {
	case !deletes:
		return nil
	case elsewhere != "":
		return refuse("cleanup_roots", "find with %s may delete anywhere", elsewhere)
	}
	for len(args) > 0 && args[0] == "-P" {
		args = args[1:]
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return refuse("cleanup_roots", "find deletes where nobody said")
	}
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			break // the starting points come first
		}
		if !g.insideRoots(a) {
			return refuse("cleanup_roots", "%s is outside the places where files may be deleted", a)
		}
	}
	return nil
}

// insideRoots takes only clean paths: behind a link, ".." and a slash at the end
// lead elsewhere than the text says.
func (g gate) insideRoots(name string) bool {
	if path.Clean(name) != name {
		return false
	}
	for _, root := range g.l.CleanupRoots {
		if strings.HasPrefix(name, strings.TrimSuffix(root, "/")+"/") {
			return true
		}
	}
	return false
}

// matches compares the pattern's words with the program's base name and the
// arguments that follow it.
func matches(pattern string, argv []string) bool {
	words := strings.Fields(pattern)
	if len(words) == 0 || len(argv) < len(words) {
		return false
	}
	if ok, _ := path.Match(words[0], path.Base(argv[0])); !ok {
		return false
	}
	args := argv[1:]
	for _, w := range words[1:] {
		i := slices.IndexFunc(args, func(a string) bool { ok, _ := path.Match(w, a); return ok })
		if i < 0 {
			return false
		}
		args = args[i+1:]
	}
	return true
}

func refuse(limit, format string, args ...any) *fault.Error {
	return fault.New(fault.Denied, format, args...).WithField(limit)
}
