package sql

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
)

// redis speaks through redis-cli (7 or later: -e gives an error reply an exit
// status of its own, which would else look like a value).
type redis struct{}

// redisCommands are those that a runbook may give; the rest of them, such as
// KEYS, FLUSHALL, EVAL, DEBUG, MODULE, SHUTDOWN and REPLICAOF, are refused.
func redisCommands() map[string]runbooks.Effect {
	commands := map[string]runbooks.Effect{}
	for effect, names := range map[runbooks.Effect]string{
		runbooks.Read: "PING,GET,MGET,EXISTS,TTL,PTTL,TYPE,STRLEN,LLEN,SCARD,ZCARD,HLEN,HGET,HMGET,DBSIZE,LASTSAVE,ROLE,INFO,CONFIG GET," +
			"MEMORY USAGE,CLIENT LIST",
		runbooks.Write:        "SET,EXPIRE,PERSIST,HSET,BGSAVE,BGREWRITEAOF,CONFIG SET,CLIENT KILL,MEMORY PURGE,SCRIPT KILL",
		runbooks.Irreversible: "DEL,UNLINK,HDEL,CONFIG REWRITE",
	} {
		for name := range strings.SplitSeq(names, ",") {
			commands[name] = effect
		}
	}
	return commands
}

// redisSettings are what CONFIG SET may change: limits, and neither where files
// are written nor what is thrown away.
func redisSettings() []string {
	return []string{"maxmemory", "maxclients", "timeout", "tcp-keepalive", "client-output-buffer-limit", "slowlog-log-slower-than"}
}

func redisEffect(words []string) (runbooks.Effect, error) {
	if len(words) == 0 || len(words) > 100 {
		return "", fault.New(fault.Invalid, "a statement of Redis is a list of words, as in [CONFIG, SET, maxmemory, 2gb]")
	}
	commands := redisCommands()
	name := strings.ToUpper(words[0])
	effect, ok := commands[name]
	if !ok && len(words) > 1 {
		name += " " + strings.ToUpper(words[1])
		effect, ok = commands[name]
	}
	if !ok {
		return "", fault.New(fault.Denied, "%s is not among the commands that a runbook may give to Redis", name)
	}
	if name == "CONFIG SET" && (len(words) != 4 || !slices.Contains(redisSettings(), words[2])) {
		return "", fault.New(fault.Denied, "CONFIG SET may change one of %s", strings.Join(redisSettings(), ", "))
	}
	return effect, nil
}

// passwordVariable is of redis-cli(1), 5.0.3 and later.
func (redis) passwordVariable() string { return "REDISCLI_AUTH" }

func (redis) argv(q query, words []string) []string {
	argv := []string{"redis-cli", "-e", "-n", q.Where.Database}
	switch {
	case strings.HasPrefix(q.Where.Host, "/"):
		argv = append(argv, "-s", q.Where.Host)
	case q.Where.Host != "":
		argv = append(argv, "-h", q.Where.Host)
	}
	if q.Where.Port != 0 {
		argv = append(argv, "-p", strconv.Itoa(q.Where.Port))
	}
	if q.Where.User != "" {
		argv = append(argv, "--user", q.Where.User)
	}
	return append(argv, words...)
}

func (r redis) act(q query, _ time.Duration) remote.Command {
	return remote.Command{Argv: r.argv(q, q.Statement.Words)}
}

func (redis) acted(_ query, res remote.Result) (string, error) {
	if res.Err() == nil {
		return strings.TrimSpace(string(res.Stdout)), nil
	}
	text := string(res.Stderr) + string(res.Stdout)
	if strings.Contains(text, "Server closed the connection") || strings.Contains(text, "I/O error") || res.Signal != "" {
		return "", fault.New(fault.OutcomeUnknown, "the command was sent, and what it did is not known: %v", res.Err())
	}
	return "", res.Err()
}

func (r redis) ask(q query) remote.Command { return remote.Command{Argv: r.argv(q, q.Check.Words)} }

func (redis) answer(res remote.Result) (string, error) {
	return strings.TrimSuffix(string(res.Stdout), "\n"), nil
}
