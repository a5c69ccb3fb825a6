package script

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/internal/yamlx"
)

// language is a kind of interpreter: which options it may get, and how it is
// told that its script is on standard input.
type language struct {
	options *regexp.Regexp
	words   []string // of options that take a word, which words; see option -o of the shells
	stdin   []string // what comes behind the options
	shell   bool
}

// languageOf returns the language of a program by its name. Only what reads its
// whole script from standard input can be used: awk and sed do not, and csh and
// fish have another grammar than launch writes.
func languageOf(program string) (language, bool) {
	name := path.Base(program)
	switch {
	case slices.Contains([]string{"sh", "dash", "ash", "bash", "ksh", "mksh", "zsh"}, name):
		return language{
			options: regexp.MustCompile(`^[-+][abefhmnuvxC]*$`), shell: true,
			words: []string{"pipefail", "errexit", "nounset", "noglob", "noclobber", "xtrace", "verbose", "posix"},
		}, true
	case regexp.MustCompile(`^python[0-9.]*$`).MatchString(name):
		return language{options: regexp.MustCompile(`^-[bBdEIOPqsSuv]+$`), stdin: []string{"-"}}, true
	case name == "perl":
		return language{options: regexp.MustCompile(`^-[wWtT]+$`), stdin: []string{"-"}}, true
	}
	return language{}, false
}

// interpreter reads the program with its options: one word, or a list.
func interpreter(n *yamlx.Node) ([]string, error) {
	var argv []string
	items := n.Items()
	if _, ok := n.Scalar(); ok {
		items = []*yamlx.Node{n}
	}
	if len(items) == 0 || len(items) > 20 {
		return nil, n.Errorf("interpreter is a program, or a list of it and its options, as in [sh, -eu]")
	}
	for _, item := range items {
		word, ok := item.Scalar()
		if !ok || word == "" || strings.Contains(word, "${") {
			return nil, item.Errorf("a word of the interpreter is constant")
		}
		argv = append(argv, word)
	}
	lang, ok := languageOf(argv[0])
	switch {
	case !ok:
		return nil, items[0].Errorf("%q is no interpreter that is known to read its script from standard input", argv[0]).
			WithHint("sh, dash, bash, ksh, mksh, zsh, python3 or perl; start any other program with run")
	case strings.Contains(argv[0], "/") && (!path.IsAbs(argv[0]) || path.Clean(argv[0]) != argv[0]):
		return nil, items[0].Errorf("%q is neither a name nor a clean absolute path", argv[0])
	}
	takesWord := false
	for i, word := range argv[1:] {
		known := lang.options.MatchString(word) || lang.shell && (word == "-o" || word == "+o")
		if takesWord {
			known = slices.Contains(lang.words, word)
		}
		if !known {
			return nil, items[i+1].Errorf("%q is not an option that %s may get here", word, argv[0]).
				WithHint("the script itself stands in body, and is read from standard input")
		}
		takesWord = !takesWord && lang.shell && (word == "-o" || word == "+o")
	}
	if takesWord {
		return nil, n.Errorf("%s without its word", argv[len(argv)-1])
	}
	return argv, nil
}

// launch returns the argv and the standard input that start a script. A shell
// reads and executes by turns, so that a command that reads would swallow the
// rest of it, and a connection that breaks would run a half. Inside braces it is
// one command, executed when it has been read whole, with nothing to read. The
// first line stays the first, for the shell's messages. Other interpreters read
// to the end before they begin, but take what came before a broken connection
// for the whole.
func launch(argv []string, body string) (command []string, stdin string) {
	lang, _ := languageOf(argv[0])
	command = append(slices.Clone(argv), lang.stdin...)
	if !lang.shell {
		return command, body
	}
	return command, "{ :; " + strings.TrimSuffix(body, "\n") + "\n} </dev/null\n"
}

// refusedVariable says why a variable must not carry a value: the interpreter,
// the loader or the shell itself would read it as a program, a place to find
// programs, or a setting. "" lets it.
func refusedVariable(name string) string {
	if !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`).MatchString(name) {
		return "a name is letters, digits and _"
	}
	words := []string{
		"PATH", "IFS", "ENV", "HOME", "SHELL", "CDPATH", "PWD", "OLDPWD", "TMPDIR", "PROMPT_COMMAND", "SHELLOPTS", "GLOBIGNORE", "FPATH",
		"USER", "LOGNAME", "TERM", "LANG", "EDITOR", "VISUAL", "PAGER", "BROWSER", "GCONV_PATH", "NLSPATH", "TZDIR", "HOSTALIASES",
		"RES_OPTIONS", "MAILPATH", "MAIL", "ZDOTDIR", "NULLCMD", "READNULLCMD", "OPTIND",
	}
	prefixes := []string{"LD_", "LC_", "BASH", "PS", "PYTHON", "PERL", "RUBY", "GEM_", "NODE_", "GIT_", "SSH_", "SUDO_", "MALLOC_", "GLIBC_", "DYLD_"}
	upper := strings.ToUpper(name)
	if slices.Contains(words, upper) || slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(upper, p) }) {
		return "it would change how programs are found or work; take another name"
	}
	return ""
}
