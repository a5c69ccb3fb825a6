package guard

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
)

// maxWords bounds how many string literals in a row are taken for one command:
// as many as the longest refused pattern has words, with options between them.
const maxWords = 8

func isShell(program string) bool {
	return slices.Contains([]string{"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh"}, program)
}

// allowStdin looks at the script that an interpreter is given on its standard
// input. What stands there is data when the script comes with -c or -e; else it
// is read as a script, also where a file is named: careful is right more often.
func (g gate) allowStdin(cmd remote.Command) error {
	argv := runbooks.Unwrap(cmd.Argv)
	if len(cmd.Stdin) == 0 || len(argv) == 0 {
		return nil
	}
	var announces string // what comes before the script in place of standard input
	switch program := path.Base(argv[0]); {
	case isShell(program):
		if hasOption(argv[1:], "c") {
			return nil
		}
		return g.allowScript(string(cmd.Stdin))
	case strings.HasPrefix(program, "python"):
		announces = "c"
	case regexp.MustCompile(`^(perl|ruby|node|nodejs|lua)[0-9.]*$`).MatchString(program):
		announces = "eE"
	default:
		return nil
	}
	if hasOption(argv[1:], announces) {
		return nil
	}
	return g.allowLiterals(string(cmd.Stdin))
}

// hasOption reports whether one of the letters is among the short options.
func hasOption(args []string, letters string) bool {
	return slices.ContainsFunc(args, func(a string) bool {
		return strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") && strings.ContainsAny(a, letters)
	})
}

// allowShell looks at the text behind a shell's -c.
func (g gate) allowShell(args []string) error {
	if !hasOption(args, "c") {
		return nil
	}
	for i, a := range args {
		named := i > 0 && (args[i-1] == "-o" || args[i-1] == "+o") // the word of -o
		if !strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "+") && !named {
			return g.allowScript(a)
		}
	}
	return nil
}

// allowScript looks for refused programs among the words of a shell script.
// Such text is constant (the loader sees to that), so this is about what a
// runbook's author wrote, not about what an attacker hides.
func (g gate) allowScript(text string) error {
	assigns := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)
	for _, line := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(";&|\n(){}`$", r) }) {
		words := strings.Fields(line)
		for len(words) > 0 && (slices.Contains([]string{"if", "then", "else", "elif", "while", "until", "do", "!"}, words[0]) || assigns.MatchString(words[0])) {
			words = words[1:]
		}
		if len(words) > 0 {
			words[0] = strings.NewReplacer(`"`, "", "'", "", `\`, "").Replace(words[0])
		}
		if err := g.allowArgv(words); err != nil {
			return err
		}
	}
	return nil
}

// allowLiterals looks at the string literals of a script in another language:
// each as a line for a shell, as system() takes it, and those in a row as one
// command, as exec() takes it. A literal ends with its line.
func (g gate) allowLiterals(text string) error {
	literals := []string{}
	for _, found := range regexp.MustCompile(`"((?:[^"\\\n]|\\.)*)"|'((?:[^'\\\n]|\\.)*)'|`+"`([^`\n]*)`").FindAllStringSubmatch(text, -1) {
		literals = append(literals, found[1]+found[2]+found[3])
	}
	for i, literal := range literals {
		if err := g.allowScript(literal); err != nil {
			return err
		}
		if err := g.allowArgv(literals[i:min(len(literals), i+maxWords)]); err != nil {
			return err
		}
	}
	return nil
}
