package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// identity tells a process from every other one, before and after it. The
// program may change while it lives (execve(2)).
type identity struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // in ticks since the boot, field 22 of /proc/PID/stat
	Boot  string `json:"boot"`  // random, new with every boot
	Exe   string `json:"exe"`
}

// is reports whether the reading is of this very process, and it has not ended.
func (i identity) is(r reading) bool {
	return !r.gone() && r.PID == i.PID && r.Start == i.Start && r.Boot == i.Boot
}

// reading is a process as the kernel shows it (proc(5)).
type reading struct {
	identity
	There    bool   // there is a process of this number
	State    string // a letter
	Threads  int
	Flags    uint64
	UID      uint32 // effective
	Caught   uint64 // signals for which it has a handler
	Ignored  uint64
	Argv     []string // may be redacted, and is what the process itself says
	Unit     string
	BootedAt int64 // seconds since 1970
	Ancestor bool  // of the command that looked
}

// kernelThreadFlag is PF_KTHREAD of include/linux/sched.h.
const kernelThreadFlag = 0x00200000

func (r reading) kernelThread() bool { return r.Flags&kernelThreadFlag != 0 }

// gone reports whether the process has ended. A zombie has, but for one whose
// first thread only has ended while others go on.
func (r reading) gone() bool {
	return !r.There || (r.State == "Z" || r.State == "X") && r.Threads <= 1
}

func (r reading) program() string { return path.Base(r.Exe) }

// command is the command line for people, at most so long.
func (r reading) command() string {
	const most = 300
	text := fmt.Sprintf("%q", r.Argv)
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + " …"
	}
	return r.Exe + " " + text
}

const notThere = 3 // exit status of lookScript

// statScript has a function that reads the stat of a process into variables.
// The name in it may hold anything, line feeds too, and ends with the last ")"
// (proc(5)).
const statScript = `
set -fu
look() {
	line=
	{ while IFS= read -r more; do line="$line $more"; done <"/proc/$1/stat"; } 2>/dev/null || return 1
	set -- ${line##*) }
	[ "$#" -ge 20 ] || return 1
	state=$1 parent=$2 began=${20}
}
`

// lookScript reads all of one process through one open directory, so that no
// part can be another one's. Every line tells its file; exe comes last, since
// the name of a program may hold a line feed.
const lookScript = statScript + `
cd "/proc/$1" 2>/dev/null || exit 3
up=$$
while [ "$up" -gt 0 ] && look "$up"; do
	echo "ancestor:$up"
	up=$parent
done
grep -aHs '' /proc/sys/kernel/random/boot_id stat status cgroup cmdline
grep -aHs '^btime ' /proc/stat
printf 'exe:'
readlink exe
exit 0
`

// look reads the process of the number; one that is not there is a reading, too.
func look(ctx context.Context, env *engine.Env, pid int) (reading, error) {
	res, err := env.Read(ctx, "sh", "-c", lookScript, "sh", strconv.Itoa(pid))
	if err == nil && res.ExitCode == notThere {
		return reading{identity: identity{PID: pid}}, nil
	}
	if err == nil {
		err = res.Err()
	}
	if err == nil && res.Truncated {
		err = fault.New(fault.TooLarge, "it says more than can be read")
	}
	if err != nil {
		return reading{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	r, err := parse(pid, res.Stdout)
	if err != nil {
		return reading{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	return r, nil
}

// parse understands the output of lookScript. A process that ended meanwhile
// has no stat any more, which is an error here: the next look finds it gone.
func parse(pid int, out []byte) (reading, error) {
	r := reading{identity: identity{PID: pid}, There: true}
	files := map[string][]byte{}
	head, exe, ok := bytes.Cut(append([]byte("\n"), out...), []byte("\nexe:"))
	if !ok {
		return r, fault.New(fault.Internal, "the answer was cut")
	}
	r.Exe = string(bytes.TrimSuffix(exe, []byte("\n")))
	for line := range bytes.SplitSeq(head, []byte("\n")) {
		name, text, _ := bytes.Cut(line, []byte(":"))
		if string(name) == "ancestor" {
			r.Ancestor = r.Ancestor || string(text) == strconv.Itoa(pid)
			continue
		}
		files[string(name)] = append(append(files[string(name)], text...), '\n')
	}
	r.Boot = strings.TrimSpace(string(files["/proc/sys/kernel/random/boot_id"]))
	if cmdline := bytes.TrimSuffix(files["cmdline"], []byte("\n")); len(cmdline) > 0 {
		r.Argv = strings.Split(strings.TrimSuffix(string(cmdline), "\x00"), "\x00")
	}
	r.Unit = unitOf(string(files["cgroup"]))
	_, booted, _ := bytes.Cut(files["/proc/stat"], []byte("btime "))
	r.BootedAt, _ = strconv.ParseInt(strings.TrimSpace(string(booted)), 10, 64)
	return r, errors.Join(r.takeStat(string(files["stat"])), r.takeStatus(string(files["status"])), r.whole())
}

func (r *reading) whole() error {
	if r.Boot == "" || r.BootedAt == 0 {
		return fault.New(fault.Internal, "the boot is not known")
	}
	return nil
}

// takeStat reads /proc/PID/stat: the fields behind the last ")" are numbered
// from 3.
func (r *reading) takeStat(text string) error {
	fields := strings.Fields(text[strings.LastIndex(text, ")")+1:])
	if len(fields) < 20 {
		return fault.New(fault.Internal, "it has no stat, and may just have ended")
	}
	r.State = fields[0]
	var e1, e2, e3 error
	r.Flags, e1 = strconv.ParseUint(fields[9-3], 10, 64)
	r.Threads, e2 = strconv.Atoi(fields[20-3])
	r.Start, e3 = strconv.ParseUint(fields[22-3], 10, 64)
	return errors.Join(e1, e2, e3)
}

// takeStatus reads the masks and the effective user of /proc/PID/status.
func (r *reading) takeStatus(text string) error {
	found := 0
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		var err error
		switch {
		case key == "Uid" && len(fields) > 1:
			var uid uint64
			uid, err = strconv.ParseUint(fields[1], 10, 32)
			r.UID = uint32(uid)
		case key == "SigCgt" && len(fields) == 1:
			r.Caught, err = strconv.ParseUint(fields[0], 16, 64)
		case key == "SigIgn" && len(fields) == 1:
			r.Ignored, err = strconv.ParseUint(fields[0], 16, 64)
		default:
			continue
		}
		if err != nil {
			return err
		}
		found++
	}
	if found != 3 {
		return fault.New(fault.Internal, "its status says not whose it is or which signals it takes")
	}
	return nil
}

// unitOf finds the unit of systemd in /proc/PID/cgroup (cgroups(7)): the last
// part of its path that is a service, and none below a user's own systemd.
func unitOf(text string) string {
	for line := range strings.Lines(text) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, name, _ := strings.Cut(rest, ":")
		if controllers != "" && controllers != "name=systemd" {
			continue
		}
		parts := strings.Split(name, "/")
		if slices.ContainsFunc(parts, func(p string) bool { return strings.HasPrefix(p, "user@") }) {
			return ""
		}
		for _, p := range slices.Backward(parts) {
			if strings.HasSuffix(p, ".service") && regexp.MustCompile(`^[A-Za-z0-9:_.\\@-]{1,255}$`).MatchString(p) {
				return p
			}
		}
	}
	return ""
}
