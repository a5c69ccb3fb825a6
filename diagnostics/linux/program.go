package linux

import (
	"path"
	"slices"
	"strings"
)

// likeness says whether a process is the one that match describes.
type likeness int

const (
	another likeness = iota
	maybe            // it runs what match names in a way that is not certain
	itself
)

// compare holds the arguments of a process against match, an argv prefix. A
// script that the kernel starts by its first line has other arguments than
// those it was started with, see execve(2): the interpreter, at most one option
// from that line, the path of the script as it was given, and the rest.
func compare(argv, match []string) likeness {
	if begins(argv, match) {
		return itself
	}
	script := 1 + slices.IndexFunc(argv[min(1, len(argv)):], func(a string) bool { return !strings.HasPrefix(a, "-") })
	if script == 0 {
		return another
	}
	started, isPath := slices.Clone(argv[script:]), strings.Contains(match[0], "/")
	if !isPath { // found in $PATH, so that the kernel was given a path that match does not say
		started[0] = path.Base(started[0])
	}
	switch {
	case !begins(started, match):
		return another
	case isPath && runsScript(argv[:script]):
		return itself
	}
	return maybe
}

func begins(argv, match []string) bool {
	return len(argv) >= len(match) && slices.Equal(argv[:len(match)], match)
}

// runsScript reports whether what follows these arguments, an interpreter with
// its options, is surely a script that it runs. With other options the
// interpreter may only check it (sh -n, perl -c), or run something else.
func runsScript(argv []string) bool {
	letters, known := harmlessOptions(strings.TrimRight(path.Base(argv[0]), "0123456789."))
	return known && !slices.ContainsFunc(argv[1:], func(option string) bool {
		return strings.Trim(strings.TrimPrefix(option, "-"), letters) != ""
	})
}

// harmlessOptions returns the letters of options with which an interpreter
// still runs the script behind them: dash(1), bash(1), python(1), perlrun(1),
// ruby(1). The others have none that people write into a first line.
func harmlessOptions(interpreter string) (letters string, known bool) {
	switch interpreter {
	case "sh", "bash", "dash", "ash", "ksh", "mksh", "zsh":
		return "efux", true
	case "python", "pypy":
		return "BEIOsSu", true
	case "perl":
		return "tTwW", true
	case "ruby":
		return "w", true
	case "node", "nodejs", "php", "lua", "tclsh":
		return "", true
	}
	return "", false
}
