package remote

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/internal/redact"
)

// Secret is a value that reaches the program which is started, and nobody else.
// It is put into the command below the gate and the audit, travels on standard
// input, and so stands in no argument list, on no host. Whoever gives one makes
// it known to the Redactor first: the program may print it.
type Secret struct {
	Name  string        // what recordings show in its place
	Env   string        // the variable that holds it, of the program alone; "" means that it is given to read, before Stdin
	Value redact.Secret // of a variable: text without NUL bytes
}

// checkSecrets returns how many bytes of environment they are.
func (c Command) checkSecrets(doing string) (size int, err error) {
	for i, s := range c.Secrets {
		if s.Env == "" {
			continue
		}
		_, twice := c.Env[s.Env]
		twice = twice || slices.ContainsFunc(c.Secrets[:i], func(before Secret) bool { return before.Env == s.Env })
		size += len(s.Env) + len(s.Value) + 2
		switch {
		case !isEnvName(s.Env):
			return size, invalid(doing, "environment variable name %q does not match [A-Za-z_][A-Za-z0-9_]*", s.Env)
		case twice:
			return size, invalid(doing, "environment variable %s is given twice", s.Env)
		case strings.IndexByte(s.Value.Reveal(), 0) >= 0:
			return size, invalid(doing, "environment variable %s contains a NUL byte", s.Env)
		}
	}
	return size, nil
}

// takeSecrets reads variables from standard input and becomes the program, which
// finds there what comes behind them. read(1) of POSIX takes no byte beyond its
// line from a pipe. Each variable is a line with its name and the number of lines
// of its value, and these; a line with a dot ends them. A connection that breaks
// before it starts nothing.
const takeSecrets = `sl_nl=$(printf '\nx'); sl_nl=${sl_nl%x}; ` +
	`while IFS=' ' read -r sl_n sl_c || exit 125; [ "$sl_n" != . ]; do sl_v=; ` +
	`while [ "$sl_c" -gt 0 ]; do IFS= read -r sl_l || exit 125; sl_v=$sl_v$sl_l; sl_c=$((sl_c-1)); [ "$sl_c" -eq 0 ] || sl_v=$sl_v$sl_nl; done; ` +
	`export "$sl_n=$sl_v"; done; unset sl_nl sl_n sl_c sl_v sl_l; exec "$@"`

// handOver returns the command as its transport gets it, with the secrets on
// standard input.
func (c Command) handOver() Command {
	if len(c.Secrets) == 0 {
		return c
	}
	var variables, input bytes.Buffer
	for _, s := range c.Secrets {
		if s.Env == "" {
			input.WriteString(s.Value.Reveal())
			continue
		}
		fmt.Fprintf(&variables, "%s %d\n%s\n", s.Env, 1+strings.Count(s.Value.Reveal(), "\n"), s.Value.Reveal())
	}
	if variables.Len() > 0 {
		variables.WriteString(".\n")
		c.Argv = append([]string{"sh", "-c", takeSecrets, "sh"}, c.Argv...)
	}
	c.Stdin = slices.Concat(variables.Bytes(), input.Bytes(), c.Stdin)
	c.Secrets = nil
	return c
}
