package linux

import (
	"regexp"
	"strconv"
	"strings"
)

// oomKill is one message "Killed process", with what the kernel said before it
// (mm/oom_kill.c: dump_header, dump_tasks, __oom_kill_process).
type oomKill struct {
	kernelLine
	inCgroup     bool
	cgroup, unit string
	pid          int64
	process      string
	rss          uint64
	largest      string
	largestPID   int64
	largestPages uint64
	pages        uint64 // of all processes in the list
}

// oomReader follows the messages of one kill, which come together.
type oomReader struct {
	row, killed, part *regexp.Regexp
	now               oomKill
	kills             []oomKill
}

func newOOMReader() *oomReader {
	return &oomReader{
		// pid, uid, tgid, total_vm, rss, ..., name
		row:    regexp.MustCompile(`^\[\s*(\d+)\]\s+\d+\s+\d+\s+\d+\s+(\d+)\s+(?:-?\d+\s+)+(.+)$`),
		killed: regexp.MustCompile(`^(Memory cgroup out of memory: |Out of memory(?: \([^)]*\))?: )?Killed process (\d+) \((.*)\),?(?: UID \d+,)? total-vm:\d+kB,(.*)$`),
		part:   regexp.MustCompile(`(?:anon|file|shmem)-rss:(\d+)kB`),
	}
}

func (r *oomReader) read(line kernelLine) {
	text := line.text
	switch {
	case strings.Contains(text, " invoked oom-killer: "):
		r.now = oomKill{}
	case strings.HasPrefix(text, "oom-kill:constraint="):
		r.constraint(text)
	case strings.HasPrefix(text, "Task in "): // before Linux 4.19: "Task in /a/b killed as a result of limit of /a"
		r.taskIn(text)
	case strings.HasPrefix(text, "["):
		r.task(text)
	case strings.Contains(text, "Killed process "):
		r.kill(line)
	}
}

// constraint reads "oom-kill:constraint=CONSTRAINT_MEMCG,…,oom_memcg=/a,task_memcg=/a/b,task=x,pid=1,uid=0".
func (r *oomReader) constraint(text string) {
	r.now.inCgroup = strings.HasPrefix(text, "oom-kill:constraint=CONSTRAINT_MEMCG,")
	if _, rest, ok := strings.Cut(text, ",oom_memcg="); ok {
		r.now.cgroup, _, _ = strings.Cut(rest, ",task_memcg=")
	}
	if _, rest, ok := strings.Cut(text, ",task_memcg="); ok {
		path, _, _ := strings.Cut(rest, ",task=")
		r.now.unit = pathUnit(path)
	}
}

func (r *oomReader) taskIn(text string) {
	task, limit, ok := strings.Cut(strings.TrimPrefix(text, "Task in "), " killed as a result of limit of ")
	if ok {
		r.now.inCgroup, r.now.cgroup, r.now.unit = true, limit, pathUnit(task)
	}
}

// task reads a row of the list of processes.
func (r *oomReader) task(text string) {
	m := r.row.FindStringSubmatch(text)
	if m == nil {
		return
	}
	pages, err := strconv.ParseUint(m[2], 10, 48)
	pid, errPID := strconv.ParseInt(m[1], 10, 32)
	if err != nil || errPID != nil {
		return
	}
	r.now.pages += pages
	if pages > r.now.largestPages {
		r.now.largestPages, r.now.largestPID, r.now.largest = pages, pid, m[3]
	}
}

func (r *oomReader) kill(line kernelLine) {
	m := r.killed.FindStringSubmatch(line.text)
	if m == nil {
		return
	}
	k := r.now
	k.kernelLine, k.process = line, m[3]
	k.inCgroup = k.inCgroup || strings.HasPrefix(m[1], "Memory cgroup")
	k.pid, _ = strconv.ParseInt(m[2], 10, 32) // no number is no pid
	for _, part := range r.part.FindAllStringSubmatch(m[4], 3) {
		if kib, err := strconv.ParseUint(part[1], 10, 48); err == nil {
			k.rss += times(kib, 1024)
		}
	}
	r.kills = append(r.kills, k)
}

// oomKills returns the last kills, newest first.
func (l kernelLines) oomKills() []any {
	r := newOOMReader()
	for _, line := range l.lines {
		r.read(line)
	}
	kills := []any{}
	for i := len(r.kills) - 1; i >= 0 && len(kills) < maxOOMKills; i-- {
		k := r.kills[i]
		kills = append(kills, map[string]any{
			"at": l.at.Add(-k.age), "age_seconds": seconds(k.age), "in_cgroup": k.inCgroup,
			"cgroup": clip(k.cgroup, maxCommand), "unit": k.unit, "pid": k.pid, "process": clip(k.process, maxCommand), "rss": toInt(k.rss),
			"largest": clip(k.largest, maxCommand), "largest_pid": k.largestPID, "largest_percent": percent(k.largestPages, k.pages),
		})
	}
	return kills
}
