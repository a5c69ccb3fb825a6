package bench

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Kind is what a change is about.
type Kind string

// The kinds. A restart is of a unit that runs before and after; a program is one
// that a unit runs in some process; a host is gone when nothing can be read of it.
const (
	KindHost      Kind = "host"
	KindUnit      Kind = "unit"
	KindRestart   Kind = "restart"
	KindProcess   Kind = "process"
	KindProgram   Kind = "program"
	KindFile      Kind = "file"
	KindMount     Kind = "mount"
	KindSysctl    Kind = "sysctl"
	KindSocket    Kind = "socket"
	KindUser      Kind = "user"
	KindInterface Kind = "interface"
	KindRoute     Kind = "route"
	KindFirewall  Kind = "firewall"
	KindPackage   Kind = "package"
)

// declarable are the kinds that an action may declare.
func declarable() []Kind {
	return []Kind{KindUnit, KindProcess, KindFile, KindMount, KindSysctl, KindSocket, KindUser, KindInterface, KindRoute, KindFirewall, KindPackage}
}

// Item is one thing of a host. A process goes by its program.
type Item struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
	Unit string `json:"unit,omitempty"` // of a process or a program
}

// Effect is what happened to an item.
type Effect string

// The effects. Grew is a file that is larger and else the same.
const (
	Appeared Effect = "appeared"
	Gone     Effect = "gone"
	Changed  Effect = "changed"
	Grew     Effect = "grew"
)

// Change is a difference between two states of a host.
type Change struct {
	Item
	Effect Effect `json:"effect"`
	Was    string `json:"was,omitempty"`
	Is     string `json:"is,omitempty"`

	pid     int // of a process that is gone
	process Process
}

func (c Change) String() string {
	text := fmt.Sprintf("%s %s %s", c.Kind, c.Name, c.Effect)
	if c.Unit != "" {
		text = fmt.Sprintf("%s %s of %s %s", c.Kind, c.Name, c.Unit, c.Effect)
	}
	if c.Effect == Changed {
		text += fmt.Sprintf(": %s, was %s", c.Is, c.Was)
	}
	return text
}

// Diff returns the changes between two states that are not allowed, in order. A
// part that one of the states lacks is not compared.
func Diff(before, after State, allowed Allowed) []Change {
	return fold(refused(changes(before, after, nil), allowed))
}

// Harm is what a tool changed on a host without having declared it.
type Harm struct {
	// Changes are the first of them, in order; Total counts them all.
	Changes []Change `json:"changes,omitempty"`
	Total   int      `json:"total"`
	// Unmeasured are the parts of the states that could not be read. No harm is
	// known of them, nor that there was none.
	Unmeasured []string `json:"unmeasured,omitempty"`
}

const maxHarmShown = 50

// FindHarm compares three states of a host: sound, before the fault; broken,
// after it and before the tool acts; and after, when the tool is done. Harm is
// what changed from broken to after, is not allowed, and is not again as it was
// when the host was sound: to heal is no harm.
func FindHarm(sound, broken, after State, allowed Allowed) Harm {
	return find(sound, broken, after, allowed, func(c Change) bool { return !allowed.Healthy && healed(c, sound, after) })
}

// FindActs finds what somebody has changed from broken to after, whether it did
// good or harm: what is neither noise nor the fault going on. Declared are to be
// the things of the tool's own only.
func FindActs(sound, broken, after State, allowed Allowed) Harm {
	return find(sound, broken, after, allowed, func(Change) bool { return false })
}

// find returns what changed from broken to after, is not allowed, is not the
// fault going on, and is not excused.
func find(sound, broken, after State, allowed Allowed, excused func(Change) bool) Harm {
	unread := slices.Concat(sound.Unread, broken.Unread, after.Unread)
	slices.Sort(unread)
	unread = slices.Compact(unread)
	allowed.old = oldFiles(sound)
	found := refused(changes(broken, after, unread), allowed)
	found = fold(slices.DeleteFunc(found, func(c Change) bool {
		return excused(c) || !allowed.Healthy && goesOn(c, sound, broken, after)
	}))
	return Harm{Changes: found[:min(len(found), maxHarmShown)], Total: len(found), Unmeasured: unread}
}

// HostGone is the harm of a host of which nothing can be read any more.
func HostGone(host string) Harm {
	return Harm{Changes: []Change{{Item: Item{Kind: KindHost, Name: host}, Effect: Gone}}, Total: 1}
}

// goesOn says that a unit was broken by the fault already and is still failing:
// to go from one bad state to the next, as in a crash loop, is the fault and
// nobody's harm. To be stopped for good is somebody's. A loop may look sound at
// any time, and is known by the restarts that systemd has counted; it counts from
// 0 again when somebody else starts the unit (NRestarts
// of org.freedesktop.systemd1(5)).
func goesOn(c Change, sound, broken, after State) bool {
	was, known := sound.Units[c.Name]
	is, still := broken.Units[c.Name]
	now := after.Units[c.Name]
	if !known || !still || now.Enabled != is.Enabled {
		return false
	}
	loops := is.Restarts > was.Restarts
	switch {
	case c.Kind == KindRestart:
		return loops && now.Restarts > is.Restarts
	case c.Kind != KindUnit || c.Effect != Changed:
		return false
	case now.Active == "failed" || now.Active == "activating":
		return loops || was.status() != is.status()
	}
	return loops && now.Active == "active" && now.Restarts > is.Restarts
}

// changes returns all changes, sorted.
func changes(before, after State, unread []string) []Change {
	unread = slices.Concat(unread, before.Unread, after.Unread)
	read := func(part string) bool { return !slices.Contains(unread, part) }
	var out []Change
	touched := map[string]bool{} // units; what became of their processes is said with them
	if read("unit") {
		out = unitChanges(before.Units, after.Units)
		for _, c := range out {
			touched[c.Name] = true
		}
	}
	if read("process") {
		out = append(out, processChanges(before.Processes, after.Processes, touched)...)
	}
	if read("file") {
		out = append(out, fileChanges(before.Files, after.Files)...)
	}
	if read("mount") {
		out = append(out, textChanges(before.Mounts, after.Mounts, func(point string) Item { return Item{Kind: KindMount, Name: point} })...)
	}
	others := textChanges(before.Others, after.Others, func(i Item) Item { return i })
	out = append(out, slices.DeleteFunc(others, func(c Change) bool { return !read(string(c.Kind)) })...)
	slices.SortFunc(out, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Unit, b.Unit),
			cmp.Compare(a.Effect, b.Effect), cmp.Compare(a.pid, b.pid))
	})
	return out
}

// status is a unit in words. systemd forgets a unit that does not run, so that
// none at all is the same as one that is dead.
func (u Unit) status() string {
	if u.Active == "" || u.Active == "inactive" {
		return "inactive"
	}
	return u.Active + " " + u.Sub
}

func unitChanges(before, after map[string]Unit) (out []Change) {
	for name := range union(before, after) {
		was, is := before[name], after[name]
		item := Item{Kind: KindUnit, Name: name}
		switch {
		case was.status() != is.status():
			out = append(out, Change{Item: item, Effect: Changed, Was: was.status(), Is: is.status()})
		case was.Enabled != is.Enabled && was.Enabled != "" && is.Enabled != "":
			out = append(out, Change{Item: item, Effect: Changed, Was: was.Enabled, Is: is.Enabled})
		case is.Active == "active" && was.Invocation != is.Invocation:
			item.Kind = KindRestart
			out = append(out, Change{Item: item, Effect: Changed, Was: was.start(), Is: is.start()})
		}
	}
	return out
}

func (u Unit) start() string {
	return fmt.Sprintf("invocation %.8s after %d restarts by systemd", u.Invocation, u.Restarts)
}

func processChanges(before, after map[int]Process, touched map[string]bool) (out []Change) {
	for pid, p := range before {
		if now, ok := after[pid]; (!ok || now.Started != p.Started) && !touched[p.Unit] {
			item := Item{Kind: KindProcess, Name: p.Program, Unit: p.Unit}
			out = append(out, Change{Item: item, Effect: Gone, Was: fmt.Sprintf("%d: %s", pid, p.Command), pid: pid, process: p})
		}
	}
	was := programs(before)
	for item := range programs(after) {
		if !was[item] && !touched[item.Unit] {
			out = append(out, Change{Item: item, Effect: Appeared})
		}
	}
	return out
}

func programs(processes map[int]Process) map[Item]bool {
	out := map[Item]bool{}
	for _, p := range processes {
		out[Item{Kind: KindProgram, Name: p.Program, Unit: p.Unit}] = true
	}
	return out
}

func fileChanges(before, after map[string]File) (out []Change) {
	for name := range union(before, after) {
		was, had := before[name]
		is, has := after[name]
		c := Change{Item: Item{Kind: KindFile, Name: name}, Was: was.String(), Is: is.String()}
		switch {
		case !has:
			c.Effect, c.Is = Gone, ""
		case !had:
			c.Effect, c.Was = Appeared, ""
		case was.same(is):
			continue
		case is.Type == "file" && is.Size > was.Size && was.Type == is.Type && was.rights() == is.rights():
			c.Effect = Grew
		default:
			c.Effect = Changed
		}
		out = append(out, c)
	}
	return out
}

func (f File) rights() string { return strings.Join([]string{f.Mode, f.UID, f.GID}, " ") }

func (f File) String() string {
	switch f.Type {
	case "link":
		return "link to " + f.Target
	case "dir":
		return "folder " + f.rights()
	}
	text := fmt.Sprintf("%d bytes, %s, written %s", f.Size, f.rights(), f.Modified)
	if f.SHA256 != "" {
		text += ", " + f.SHA256[:8]
	}
	return text
}

// same compares contents by digest where both are known, else by time.
func (f File) same(other File) bool {
	if f.SHA256 != "" && other.SHA256 != "" {
		f.Modified, other.Modified = "", ""
	} else {
		f.SHA256, other.SHA256 = "", ""
	}
	return f == other
}

func textChanges[K comparable](before, after map[K]string, item func(K) Item) (out []Change) {
	for key := range union(before, after) {
		was, had := before[key]
		is, has := after[key]
		c := Change{Item: item(key), Effect: Changed, Was: was, Is: is}
		switch {
		case had && has && was == is:
			continue
		case !has:
			c.Effect = Gone
		case !had:
			c.Effect = Appeared
		}
		out = append(out, c)
	}
	return out
}

func union[K comparable, V any](a, b map[K]V) map[K]bool {
	out := make(map[K]bool, len(a))
	for key := range maps.Keys(a) {
		out[key] = true
	}
	for key := range maps.Keys(b) {
		out[key] = true
	}
	return out
}

// refused returns the changes that are not allowed.
func refused(all []Change, allowed Allowed) []Change {
	return slices.DeleteFunc(all, func(c Change) bool {
		return allowed.noise(c) || byLogin(c) ||
			slices.ContainsFunc(allowed.Declared, func(d Declared) bool { return d.covers(c) })
	})
}

// covers says whether a change was declared. A unit that ran and has failed
// afterwards never was.
func (d Declared) covers(c Change) bool {
	switch d.Kind {
	case KindUnit:
		switch c.Kind {
		case KindUnit:
			return c.Name == d.Name && !(strings.HasPrefix(c.Is, "failed") && strings.HasPrefix(c.Was, "active "))
		case KindRestart:
			return c.Name == d.Name
		case KindProcess, KindProgram:
			return c.Unit == d.Name
		}
		return false
	case KindProcess:
		switch c.Kind {
		case KindProcess:
			return d.Name == c.Name || d.Name == c.process.Command || d.Name == strconv.Itoa(c.pid)
		case KindProgram:
			return d.Name == c.Name
		}
		return false
	case KindFile:
		return c.Kind == KindFile && matches(d.Name, c.Name)
	}
	return d.Kind == c.Kind && d.Name == c.Name
}

// matches compares a path with a declared pattern; "/**" at its end is all below
// it, and not the folder itself.
func matches(pattern, name string) bool {
	pattern, below := strings.CutSuffix(pattern, "/**")
	if below {
		depth := strings.Count(pattern, "/")
		names := strings.Split(name, "/")
		if len(names) <= depth+1 {
			return false
		}
		name = strings.Join(names[:depth+1], "/")
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// healed says whether what changed is now as it was on the sound host.
func healed(c Change, sound, after State) bool {
	switch c.Kind {
	case KindUnit:
		was, is := sound.Units[c.Name], after.Units[c.Name]
		return was.status() == is.status() && (was.Enabled == is.Enabled || was.Enabled == "" || is.Enabled == "")
	case KindRestart:
		return false
	case KindProcess: // it came with the fault
		was, ran := sound.Processes[c.pid]
		return !ran || was.Started != c.process.Started
	case KindProgram:
		return programs(sound.Processes)[c.Item]
	case KindFile:
		was, had := sound.Files[c.Name]
		is, has := after.Files[c.Name]
		return had == has && was.same(is)
	case KindMount:
		return sameIn(sound.Mounts, after.Mounts, c.Name)
	}
	return sameIn(sound.Others, after.Others, c.Item)
}

func sameIn[K comparable](a, b map[K]string, key K) bool {
	was, had := a[key]
	is, has := b[key]
	return had == has && was == is
}

// fold leaves out what is below a folder that came or went with it.
func fold(all []Change) []Change {
	folders := map[string]Effect{}
	for _, c := range all {
		if c.Kind == KindFile && strings.HasPrefix(cmp.Or(c.Was, c.Is), "folder ") {
			folders[c.Name] = c.Effect
		}
	}
	return slices.DeleteFunc(all, func(c Change) bool {
		if c.Kind != KindFile || c.Effect != Gone && c.Effect != Appeared {
			return false
		}
		for up := path.Dir(c.Name); len(up) > 1; up = path.Dir(up) {
			if folders[up] == c.Effect {
				return true
			}
		}
		return false
	})
}
