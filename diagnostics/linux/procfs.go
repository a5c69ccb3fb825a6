package linux

import (
	"bytes"
	"strconv"
	"strings"
)

// grepLine is one line of grep -H (or one NUL-ended record with -z): the file
// it is from, and the text. As the files are in /proc and their names have no
// colon, no content can pass for the name of another file.
type grepLine struct{ file, text string }

// grepLines reads the output of grep -H over files whose names have no colon.
// A last line without its end was cut, and is left out.
func grepLines(data []byte, end byte) []grepLine {
	var lines []grepLine
	for {
		line, rest, whole := bytes.Cut(data, []byte{end})
		if !whole {
			return lines
		}
		data = rest
		if file, text, ok := strings.Cut(string(line), ":"); ok {
			lines = append(lines, grepLine{file: file, text: text})
		}
	}
}

// procPID returns the pid of a path as /proc/PID/NAME.
func procPID(file, name string) (int64, bool) {
	pid, found := strings.CutPrefix(file, "/proc/")
	pid, ended := strings.CutSuffix(pid, "/"+name)
	n, err := strconv.ParseInt(pid, 10, 32)
	return n, found && ended && err == nil && n > 0
}

// byPID joins the lines of each /proc/PID/NAME, in the order in which they came.
func byPID(lines []grepLine, name string) map[int64][]string {
	found := map[int64][]string{}
	for _, l := range lines {
		if pid, ok := procPID(l.file, name); ok {
			found[pid] = append(found[pid], l.text)
		}
	}
	return found
}

// cgroupUnit returns the unit of a process from the lines of /proc/PID/cgroup,
// see cgroups(7): "0::/system.slice/nginx.service" in version 2, and in version
// 1 the line of the hierarchy that systemd named for itself,
// "1:name=systemd:/system.slice/nginx.service". "" when it is in none.
func cgroupUnit(lines []string) string {
	unified := ""
	for _, line := range lines {
		_, rest, _ := strings.Cut(line, ":")
		controllers, path, ok := strings.Cut(rest, ":")
		switch {
		case !ok:
		case controllers == "name=systemd" && path != "/":
			return pathUnit(path)
		case controllers == "":
			unified = pathUnit(path)
		}
	}
	return unified
}

// pathUnit returns the unit nearest to the top of a cgroup path that is not a
// slice: a service may have groups of its own below, and each user session has
// services of its own below user@UID.service.
func pathUnit(path string) string {
	for part := range strings.SplitSeq(path, "/") {
		name := strings.TrimPrefix(part, "_") // systemd escapes names that collide with kernel files, cg_escape()
		for _, suffix := range []string{".service", ".scope", ".socket", ".mount", ".swap"} {
			if !strings.HasSuffix(name, suffix) {
				continue
			}
			if unit, err := unitName(name); err == nil {
				return unit
			}
		}
	}
	return ""
}
