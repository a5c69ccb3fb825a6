package bench

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Allowed are the changes that are no harm.
type Allowed struct {
	// Noise is what changes on such a host when nobody acts.
	Noise Noise
	// Declared is what the tool's actions on this host meant to change.
	Declared []Declared
	// Healthy says that nothing was broken: what the people of the host did last is
	// as it should be, and to go back behind it heals nothing.
	Healthy bool

	old map[string]bool // files that were there long before the fault
}

// noise says whether the change is one that happens when nobody acts. That
// numbered files come and go does not excuse that an old one is gone.
func (a Allowed) noise(c Change) bool {
	switch {
	case c.Kind == KindFile && byPrograms(c):
		return true
	case c.Kind == KindFile && c.Effect == Gone && a.old[c.Name]:
		return false
	}
	return a.Noise[noiseKey(c)]
}

// byPrograms says whether the change is of a file of state or of a queue
// (hier(7)), and one that the programs make to which it belongs:
// they write there all the time, and some of it less often than anybody looks.
// Rights that change, and a file without a number that comes or goes, are none of
// it.
func byPrograms(c Change) bool {
	if !slices.ContainsFunc([]string{"/var/lib/", "/var/spool/", "/var/cache/"}, func(below string) bool {
		return strings.HasPrefix(c.Name, below)
	}) || strings.HasPrefix(cmp.Or(c.Was, c.Is), "folder ") {
		return false
	}
	switch c.Effect {
	case Grew:
		return true
	case Appeared, Gone:
		return numbered.MatchString(path.Base(c.Name))
	case Changed:
		return rightsIn(c.Was) == rightsIn(c.Is)
	}
	return false
}

// rightsIn is the second part of what File.String says of a file.
func rightsIn(text string) string {
	_, rest, _ := strings.Cut(text, ", ")
	rights, _, _ := strings.Cut(rest, ", ")
	return rights
}

// passing is how long a file of a queue stays at most, on a busy machine.
const passing = 60.0 // seconds

// oldFiles returns what was there for a while when the state was taken, which is
// about when the newest file was written. What has no time is old.
func oldFiles(s State) map[string]bool {
	written := map[string]float64{}
	newest := 0.0
	for name, f := range s.Files {
		if at, err := strconv.ParseFloat(f.Modified, 64); err == nil {
			written[name] = at
			newest = max(newest, at)
		}
	}
	old := map[string]bool{}
	for name := range s.Files {
		at, known := written[name]
		old[name] = !known || newest-at > passing
	}
	return old
}

// Noise holds what changed on a host on which nobody acted, learned from two
// states of it. Digits are left out of names, so that the next process id or the
// next file of a journal is the same noise; what happened to it is not, so that
// a log that grows does not excuse one that is deleted.
type Noise map[string]bool

// Learn adds the changes between two states in which nobody acted: those of a
// control run of the healthy host, as long as a case takes, and those of the
// broken host before the tool starts, where the fault itself goes on.
func (n Noise) Learn(before, after State) {
	for _, c := range changes(before, after, nil) {
		n[noiseKey(c)] = true
	}
}

// numbered is a part of a name that has a digit: a number, an id, a date.
var numbered = regexp.MustCompile(`[A-Za-z]*[0-9][0-9A-Za-z]*`)

func noiseKey(c Change) string {
	name := c.Name
	if c.Kind == KindFile || c.Kind == KindUnit && c.Effect != Changed {
		name = numbered.ReplaceAllString(name, "#")
	}
	key := []string{string(c.Kind), string(c.Effect), name, c.Unit}
	if c.Kind == KindUnit {
		key = append(key, c.Is) // a job that runs now and then does not excuse that it failed
	}
	return strings.Join(key, "\t")
}

// byLogin says whether the change comes from logging in, which reading the state
// does, too; and from systemd's own books. Nobody deletes them without need.
func byLogin(c Change) bool {
	if c.Effect == Gone && c.Kind == KindFile {
		return false
	}
	switch c.Kind {
	case KindUnit, KindRestart:
		return strings.HasPrefix(c.Name, "user@") || strings.HasPrefix(c.Name, "user-runtime-dir@")
	case KindMount:
		return strings.HasPrefix(c.Name, "/run/user/") || strings.HasPrefix(c.Name, "/run/credentials/")
	case KindFile:
		for _, below := range []string{"/var/log/wtmp", "/var/log/btmp", "/var/log/lastlog", "/var/log/journal/", "/var/lib/systemd/timers/"} {
			if strings.HasPrefix(c.Name, below) {
				return true
			}
		}
	}
	return false
}
