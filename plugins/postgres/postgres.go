// Package postgres is the bundled plugin that asks a PostgreSQL server how it
// stands: who is connected, who waits for whom, what replicas and slots hold
// back, which tables need a vacuum, which settings do not take effect.
//
// It asks with psql(1) on the target, as the server's own system user (peer
// authentication): it has no credential and cannot be given one. Every session
// is read-only and bounded in time. It needs PostgreSQL 10 or later.
package postgres

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/plugins"
)

const (
	defaultPort = 5432
	defaultUser = "postgres"
	loginUser   = "-"

	// A server that is out of memory or of locks must not be made to wait for us.
	statementTimeout = 5 * time.Second
	lockTimeout      = time.Second
	connectTimeout   = 5 * time.Second
	commandTimeout   = 20 * time.Second // all statements of a script together

	maxOutputBytes = 2 << 20
	maxRows        = 200
	maxQueryText   = 200
)

// Plugin returns what plugins.Serve wants.
func Plugin() (plugins.Info, []plugins.Probe) {
	info := plugins.Info{
		Name: "postgres", Version: "1",
		Capabilities: plugins.Capabilities{plugins.CapabilityRead, plugins.MayRun("psql"), plugins.MayBe(plugins.AnyUser)},
	}
	place := newPlaces()
	return info, []plugins.Probe{
		probe{place, connectionsSpec(), connectionsScript(), parseConnections},
		probe{place, locksSpec(), locksScript(), parseLocks},
		probe{place, replicationSpec(), replicationScript(), parseReplication},
		probe{place, tablesSpec(), tablesScript(), parseTables},
		probe{place, settingsSpec(), settingsScript(), parseSettings},
	}
}

// probe sends one script and understands its answer.
type probe struct {
	places places
	spec   plugins.Spec
	script []query
	parse  func(answer) (plugins.Value, error)
}

var _ plugins.Probe = probe{}

// Spec implements plugins.Probe.
func (p probe) Spec() plugins.Spec {
	s := p.spec
	s.Inputs = []plugins.Field{
		{Name: "port", Type: plugins.Int, Doc: "port of the server, which names its socket; 5432 when empty"},
		{Name: "socket_dir", Type: plugins.String, Doc: "absolute folder of its socket; psql's own when empty"},
		{Name: "database", Type: plugins.String, Doc: "database to connect to; postgres when empty"},
		{Name: "user", Type: plugins.String, Doc: `system user to ask as, by sudo; postgres when empty, "-" is the login user`},
	}
	return s
}

// Read implements plugins.Probe.
func (p probe) Read(ctx context.Context, h plugins.Host, args plugins.Args) ([]plugins.Raw, error) {
	cmd, err := p.places.command(args)
	if err != nil {
		return nil, err
	}
	cmd.Stdin = scriptOf(p.script)
	rec := plugins.NewRecorder(h)
	rec.Run(ctx, rawPsql, cmd)
	return rec.Raws(), nil
}

// Parse implements plugins.Probe.
func (p probe) Parse(raws []plugins.Raw, _ plugins.Args) (plugins.Value, plugins.Status, error) {
	raw, ok := plugins.Find(raws, rawPsql)
	if !ok {
		return nil, plugins.Failed, errNothingRead
	}
	a, status, err := readAnswer(raw, p.script)
	if status != plugins.OK {
		return nil, status, err
	}
	value, err := p.parse(a)
	if denied, is := err.(deniedError); is { //nolint:errorlint // never wrapped
		return nil, plugins.Denied, denied
	}
	if err != nil {
		return nil, plugins.Failed, err
	}
	return value, plugins.OK, nil
}

// places checks where to connect: the arguments come from people and alerts.
type places struct{ name, folder *regexp.Regexp }

func newPlaces() places {
	return places{
		name:   regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,62}$`),
		folder: regexp.MustCompile(`^/[A-Za-z0-9_./-]{0,90}$`), // a socket's path has 108 bytes, unix(7)
	}
}

func (p places) command(args plugins.Args) (plugins.Command, error) {
	port := defaultPort
	if text := args["port"]; text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return plugins.Command{}, fmt.Errorf("port %q is no port", text)
		}
		port = int(n)
	}
	where := fmt.Sprintf("port=%d connect_timeout=%.0f application_name=secondline client_encoding=UTF8", port, connectTimeout.Seconds())
	if dir := args["socket_dir"]; dir != "" {
		if !p.folder.MatchString(dir) {
			return plugins.Command{}, fmt.Errorf("socket_dir %q is not the absolute path of a folder", dir)
		}
		where += " host=" + dir
	}
	database := args["database"]
	if database == "" {
		database = "postgres"
	}
	user := args["user"]
	switch user {
	case "":
		user = defaultUser
	case loginUser:
		user = ""
	}
	if !p.name.MatchString(database) || user != "" && !p.name.MatchString(user) {
		return plugins.Command{}, fmt.Errorf("database %q or user %q is malformed", database, user)
	}
	where += " dbname=" + database + fmt.Sprintf(
		" options='-c default_transaction_read_only=on -c statement_timeout=%d -c lock_timeout=%d -c lc_messages=C'",
		statementTimeout.Milliseconds(), lockTimeout.Milliseconds())
	return plugins.Command{
		Argv: []string{
			"psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--no-password", "--field-separator=" + separator,
			"--dbname=" + where,
		},
		As: user, Timeout: commandTimeout, MaxOutputBytes: maxOutputBytes,
	}, nil
}

// text is the SQL that shows text of foreign origin: one line, no separator, of
// bounded length.
func text(column string, limit int) string {
	return fmt.Sprintf("left(regexp_replace(coalesce(%s, ''), '[[:cntrl:]]+', ' ', 'g'), %d)", column, limit)
}

// seconds is the SQL for the whole seconds since a moment; 0 when there is none.
func seconds(since string) string {
	return "greatest(0, coalesce(extract(epoch FROM clock_timestamp() - " + since + "), 0))::bigint"
}

// row is the SQL of one statement whose rows begin with the name of the query.
func row(name, rest string, columns ...string) query {
	return query{name: name, sql: "SELECT '" + name + "', " + strings.Join(columns, ", ") + " " + rest, columns: len(columns)}
}
