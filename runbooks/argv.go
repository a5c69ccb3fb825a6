package runbooks

import (
	"path"
	"slices"
	"strings"
)

// valueInScript looks for a value (${...}) that a second program would read as
// source text: the script of "sh -c", the command of "ssh host", an element
// that chooses the program. Elements behind the script of "sh -c" are its
// positional parameters ("$1") and safe. It returns the index of the offending
// element and why, or -1.
//
// It knows the usual interpreters by name; it cannot know that some other
// program evaluates its arguments.
func valueInScript(argv []string) (int, string) {
	if len(argv) == 0 {
		return -1, ""
	}
	if holdsValue(argv[0]) && !isWholeValue(argv[0]) {
		return 0, "a value must not choose the program"
	}
	zeroth := -1 // what a script gets as $0: a name for messages, often that of the shell
	for i, element := range argv {
		program := path.Base(element)
		if i == zeroth {
			continue
		}
		if i > 0 && !isShell(program) && !startsPrograms(path.Base(argv[0])) {
			continue // an argument that happens to be called "node"
		}
		if letters, ok := scriptOptions(program); ok {
			script := scriptIndex(argv, i+1, letters)
			zeroth = script + 1
			if at := slices.IndexFunc(argv[i+1:max(i+1, min(script+1, len(argv)))], holdsValue); at >= 0 {
				// Before the script it could be an option that makes source text of the next element.
				return i + 1 + at, program + " would read the value as code; give it behind the script and use \"$1\" there"
			}
		}
		if readsArgumentsAsCode(program) {
			if at := slices.IndexFunc(argv[i+1:], holdsValue); at >= 0 {
				return i + 1 + at, program + " reads its arguments as code, so none of them may hold a value"
			}
		}
	}
	return -1, ""
}

// scriptIndex returns the index of an interpreter's script: the first argument
// without a dash behind the option that announces it (letters), or the first
// at all where no option does. It is len(argv) or more where there is none.
func scriptIndex(argv []string, start int, letters string) int {
	script := start
	for i := start; i < len(argv); i++ {
		short := strings.HasPrefix(argv[i], "-") && !strings.HasPrefix(argv[i], "--")
		if short && strings.ContainsAny(argv[i], letters) || argv[i] == "--command" || argv[i] == "--eval" {
			script = i + 1
			break
		}
	}
	for script < len(argv) && (strings.HasPrefix(argv[script], "-") || strings.HasPrefix(argv[script], "+")) {
		script++
	}
	return script
}

func isShell(program string) bool {
	return slices.Contains([]string{"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "fish", "csh", "tcsh", "rbash"}, program)
}

// scriptOptions returns the letters of the options that announce source text,
// and whether program is an interpreter at all. awk needs no option.
func scriptOptions(program string) (string, bool) {
	if isShell(program) {
		return "c", true
	}
	switch strings.TrimRight(program, "0123456789.") {
	case "python":
		return "c", true
	case "perl", "ruby", "node", "nodejs", "lua":
		return "eEp", true
	case "php":
		return "rBRE", true
	case "awk", "gawk", "mawk", "nawk":
		return "e", true
	}
	return "", false
}

func readsArgumentsAsCode(program string) bool {
	return slices.Contains([]string{"ssh", "eval", "su", "runuser", "script", "watch", "parallel", "pdsh", "clush", "sed"}, program)
}

// startsPrograms reports whether a program takes another program with its
// arguments in its own.
func startsPrograms(program string) bool {
	return slices.Contains([]string{
		"env", "sudo", "doas", "su", "runuser", "nice", "ionice", "chrt", "taskset", "nohup", "setsid", "stdbuf", "timeout",
		"time", "flock", "xargs", "find", "chroot", "nsenter", "unshare", "ip", "systemd-run", "strace", "busybox",
	}, program)
}

func holdsValue(s string) bool { return strings.Contains(s, "${") }

// isWholeValue reports whether s is one value and nothing else.
func isWholeValue(s string) bool {
	return strings.HasPrefix(s, "${") && strings.IndexByte(s, '}') == len(s)-1
}
