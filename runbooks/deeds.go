package runbooks

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/internal/yamlx"
)

// wrappers are programs that only start another one, each with its options
// that take the next word.
func wrappers() map[string][]string {
	return map[string][]string{
		"sudo": {"-u", "-g", "-h", "-p", "-C", "-r", "-t", "-T", "-U", "-D", "-R", "--user", "--group", "--chdir"}, "doas": {"-u", "-C"},
		"env": {"-u", "-C", "--unset", "--chdir"}, "nice": {"-n", "--adjustment"}, "ionice": {"-c", "-n", "--class", "--classdata"},
		"timeout": {"-k", "-s", "--kill-after", "--signal"}, "stdbuf": {"-i", "-o", "-e"}, "time": {"-f", "-o"},
		"xargs": {"-I", "-d", "-E", "-a", "-n", "-L", "-P", "-s"}, "runuser": {"-u", "-g", "-G", "--user"}, "chrt": {"-T", "-P", "-D"},
		"nohup": {}, "setsid": {}, "exec": {"-a"}, "command": {}, "busybox": {}, "eval": {},
	}
}

// Unwrap takes away programs that only start another one, with their options,
// assignments and numbers (a duration, a priority).
func Unwrap(argv []string) []string {
	known := wrappers()
	for len(argv) > 1 {
		withValue, ok := known[path.Base(argv[0])]
		if !ok {
			return argv
		}
		argv = argv[1:]
		for len(argv) > 0 && (strings.HasPrefix(argv[0], "-") || strings.Contains(argv[0], "=") || startsWithDigit(argv[0])) {
			if slices.Contains(withValue, argv[0]) && len(argv) > 1 {
				argv = argv[1:]
			}
			argv = argv[1:]
		}
	}
	return argv
}

func startsWithDigit(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }

// CommandDeeds returns what a command amounts to, as causes forbid it: the
// program behind what only starts it, and what systemctl, service and kill do in
// its place. The commands that stand written in a shell's script count; what a
// program or a script puts together itself is not seen.
func CommandDeeds(argv []string) []string {
	if argv = Unwrap(argv); len(argv) == 0 {
		return nil
	}
	program := path.Base(argv[0])
	deeds := []string{actionRun + "." + program}
	switch args := argv[1:]; {
	case isShell(program):
		for _, arg := range slices.DeleteFunc(slices.Clone(args), func(a string) bool { return strings.HasPrefix(a, "-") }) {
			deeds = append(deeds, ScriptDeeds(arg)...)
		}
	case program == "systemctl" || program == "service":
		deeds = append(deeds, serviceDeeds(args)...)
	case slices.Contains([]string{"kill", "pkill", "killall"}, program):
		deeds = append(deeds, "process."+signalOf(args))
	}
	return deeds
}

// ScriptDeeds returns what the commands amount to that stand written in a script.
func ScriptDeeds(body string) []string {
	var deeds []string
	for _, command := range regexp.MustCompile("[\\n;&|(){}`]+").Split(body, -1) {
		words := strings.Fields(command)
		for len(words) > 0 && (strings.Contains(words[0], "=") || isShellWord(words[0])) {
			words = words[1:]
		}
		if len(words) > 0 && !strings.HasPrefix(words[0], "#") {
			deeds = append(deeds, CommandDeeds(words)...)
		}
	}
	return deeds
}

// isShellWord reports whether a command may follow the word.
func isShellWord(word string) bool {
	return slices.Contains([]string{"if", "then", "else", "elif", "while", "until", "do", "!", "$"}, word)
}

// serviceDeeds are those of the action unit.
func serviceDeeds(args []string) []string {
	states := map[string]string{
		"restart": "restarted", "try-restart": "restarted", "reload-or-restart": "restarted", "force-reload": "restarted", "condrestart": "restarted",
		"stop": "stopped", "start": "started", "reload": "reloaded", "reset-failed": "reset-failed", "enable": "enabled",
	}
	var deeds []string
	for _, word := range args {
		if state, ok := states[word]; ok {
			deeds = append(deeds, "unit."+state)
		}
		if word == "kill" {
			deeds = append(deeds, "process.TERM")
		}
	}
	return deeds
}

// signalOf is the signal that kill(1) is told to send.
func signalOf(args []string) string {
	numbers := map[string]string{"1": "HUP", "2": "INT", "3": "QUIT", "9": "KILL", "10": "USR1", "12": "USR2", "15": "TERM", "18": "CONT", "19": "STOP"}
	for i, word := range args {
		name, ok := strings.CutPrefix(word, "-")
		if !ok {
			continue
		}
		if (name == "s" || name == "n" || name == "-signal") && i+1 < len(args) {
			name = args[i+1]
		}
		name = strings.TrimPrefix(strings.TrimPrefix(name, "-signal="), "SIG")
		if number, ok := numbers[name]; ok {
			return number
		}
		if regexp.MustCompile(`^[A-Z][A-Z0-9]+$`).MatchString(name) {
			return name
		}
	}
	return "TERM"
}

// deed notes what a step does, or its undo.
func (p *parser) deed(n *yamlx.Node, deed string) bool {
	p.rb.Deeds = append(p.rb.Deeds, deed)
	return p.allowed(n, deed)
}

// allowed checks a deed against what the causes forbid that the runbook cures.
func (p *parser) allowed(n *yamlx.Node, deed string) bool {
	action, _, _ := strings.Cut(deed, ".")
	for _, cause := range p.rb.Cures {
		for _, forbidden := range p.o.Forbidden[cause] {
			if forbidden == deed || forbidden == action {
				p.fail(n, RuleForbidden, "%s is forbidden for the cause %s, which this runbook cures", forbidden, cause)
				return false
			}
		}
	}
	return true
}
