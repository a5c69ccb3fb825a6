package main

import (
	"slices"
	"strings"
)

// written is a command as a person wrote it down, taken apart without a shell.
type written struct {
	line string   // as it was written
	argv []string // nil when it cannot be run without a shell
	as   string   // of sudo; "" for the login user
	// why says what needs a shell, or a person; "" when argv is all there is.
	why string
}

// readCommand takes one line of a shell apart by the quoting rules of POSIX
// (Shell Command Language, 2.2). Whatever else a shell would do with it is not
// guessed: then the line has no argv.
func readCommand(line string) written {
	w := written{line: line}
	words, why := shellWords(line)
	if why == "" && len(words) == 0 {
		why = "nothing"
	}
	if why == "" {
		words, w.as, why = withoutSudo(words)
	}
	switch {
	case why != "":
	case strings.Contains(words[0], "="):
		why = "a variable that is set for it"
	case slices.Contains(shellOnly(), words[0]):
		why = "a word of the shell"
	case slices.Contains([]string{"vi", "vim", "nano", "emacs", "ed", "sudoedit", "visudo", "crontab"}, words[0]):
		why = "a person who types; what was changed is a step of file, or of another action"
	}
	if why != "" {
		w.why = why
		return w
	}
	w.argv = words
	return w
}

// shellOnly are the words that no program has the name of.
func shellOnly() []string {
	return []string{
		"cd", "export", "unset", "alias", "source", ".", "eval", "exec", "set", "trap", "ulimit", "umask", "wait", "fg", "bg", "jobs", "history", "exit", "logout",
		"if", "then", "else", "fi", "for", "while", "until", "do", "done", "case", "esac", "function", "select", "time", "!", "[[",
	}
}

// shellWords splits a line. why names the first thing that only a shell does.
func shellWords(line string) (words []string, why string) {
	var word strings.Builder
	inWord := false
	end := func() {
		if inWord {
			words = append(words, word.String())
		}
		word.Reset()
		inWord = false
	}
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == ' ' || c == '\t':
			end()
			continue
		case c == '#' && !inWord: // a comment
			end()
			return words, ""
		case c == '\'' || c == '"':
			text, next, problem := quotedText(line, i)
			if problem != "" {
				return nil, problem
			}
			word.WriteString(text)
			i = next
		case c == '\\':
			if i++; i == len(line) {
				return nil, "a line that goes on"
			}
			word.WriteByte(line[i])
		case c == '{' && !inWord && strings.HasPrefix(line[i:], "{}"): // of find and xargs
			word.WriteString("{}")
			i++
		default:
			if problem := meaning(c, inWord); problem != "" {
				return nil, problem
			}
			word.WriteByte(c)
		}
		inWord = true
	}
	end()
	return words, ""
}

// meaning names what a shell makes of an unquoted byte; "" when it is itself.
func meaning(c byte, inWord bool) string {
	switch c {
	case '|':
		return "a pipe"
	case '>', '<':
		return "a redirect"
	case '&', ';', '(', ')':
		return "several commands"
	case '$', '`':
		return "a variable or a command in its place"
	case '*', '?', '[':
		return "a pattern of file names"
	case '{', '}':
		return "braces"
	case '~':
		if !inWord {
			return "somebody's home"
		}
	case '!':
		return "the shell's history"
	}
	if c < ' ' || c == 0x7f {
		return "a control character"
	}
	return ""
}

// quotedText reads what stands in quotes from i on, and returns where they end.
func quotedText(line string, i int) (text string, end int, why string) {
	quote := line[i]
	var b strings.Builder
	for i++; i < len(line); i++ {
		c := line[i]
		switch {
		case c == quote:
			return b.String(), i, ""
		case quote == '"' && (c == '$' || c == '`'):
			return "", 0, "a variable or a command in its place"
		case quote == '"' && c == '\\' && i+1 < len(line) && strings.IndexByte("$`\"\\", line[i+1]) >= 0:
			i++
			b.WriteByte(line[i])
		case c < ' ' && c != '\t' || c == 0x7f:
			return "", 0, "a control character"
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, "a quote that does not end"
}

// withoutSudo takes sudo and its user away. Its other options change what is
// done, so they are for a person.
func withoutSudo(words []string) (rest []string, as, why string) {
	if words[0] != "sudo" {
		return words, "", ""
	}
	as = "root"
	for words = words[1:]; len(words) > 0; words = words[1:] {
		switch {
		case words[0] == "-n" || words[0] == "--":
		case words[0] == "-u" && len(words) > 1:
			as, words = words[1], words[1:]
		case strings.HasPrefix(words[0], "-") || strings.Contains(words[0], "="):
			return nil, "", "options of sudo"
		default:
			return words, as, ""
		}
	}
	return nil, "", "a shell of another user"
}

// onlyLooks reports whether the command is known to change nothing: what a
// person looked at is no part of the cure.
func onlyLooks(argv []string) bool {
	has := func(words ...string) bool {
		return slices.ContainsFunc(argv[1:], func(arg string) bool {
			return slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(arg, w) })
		})
	}
	switch argv[0] {
	case "cat", "head", "tail", "less", "more", "grep", "egrep", "zgrep", "zcat", "ls", "df", "du", "ps", "free", "uptime", "stat", "id", "who", "w", "last",
		"uname", "lsof", "netstat", "top", "pwd", "which", "pgrep", "vmstat", "nproc", "readlink", "realpath", "wc":
		return true
	case "ss":
		return !has("-K", "--kill")
	case "find":
		return !has("-delete", "-exec", "-ok", "-fprint", "-fls")
	case "journalctl":
		return !has("--vacuum", "--rotate", "--flush", "--sync", "--relinquish", "--smart-relinquish", "--update-catalog", "--setup-keys")
	case "systemctl":
		return len(argv) > 1 && slices.Contains([]string{"status", "show", "cat", "is-active", "is-failed", "is-enabled", "list-units", "list-timers", "list-dependencies"}, argv[1])
	}
	return false
}

// unitVerbs are the verbs of systemctl(1) that the action unit has a state for.
func unitVerbs() map[string]string {
	return map[string]string{
		"start": "started", "stop": "stopped", "restart": "restarted", "reload": "reloaded", "reset-failed": "reset-failed", "enable": "enabled",
	}
}

// asUnit reads "systemctl VERB UNIT" and "service UNIT VERB". ok is false for
// everything else.
func asUnit(argv []string) (name, state string, ok bool) {
	if len(argv) != 3 {
		return "", "", false
	}
	verb := argv[1]
	switch name = argv[2]; argv[0] {
	case "systemctl":
	case "service":
		verb, name = argv[2], argv[1]
	default:
		return "", "", false
	}
	state, ok = unitVerbs()[verb]
	if !ok || strings.HasPrefix(name, "-") {
		return "", "", false
	}
	return unitName(name), state, true
}

// unitName is the whole name of a unit, as systemctl completes it.
func unitName(name string) string {
	if strings.Contains(name, ".") {
		return name
	}
	return name + ".service"
}
