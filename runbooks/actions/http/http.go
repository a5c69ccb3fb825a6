// Package http is the action that makes one HTTP request from the target, with
// the curl that is installed there, and holds the answer against an
// expectation. A GET is asked again for the verification; of any other request
// the answer is judged that came. It follows no redirect unless told to, and
// reads no .curlrc. What a runbook puts into a header is shown in its plan; a
// secret goes there by curl's standard input.
package http

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// maxAsk bounds one request of a verification, which is asked again and again.
const maxAsk = 10 * time.Second

// Action is the action "http".
type Action struct{}

var (
	_ engine.Action        = Action{}
	_ engine.Verifier      = Action{}
	_ runbooks.SecretTaker = Action{}
)

// request is what is asked and expected, all values filled in; it is what a
// plan saves.
type request struct {
	Method  string      `json:"method"`
	URL     string      `json:"url"`
	Headers []string    `json:"headers,omitempty"` // "Name: value"
	Secrets []header    `json:"secrets,omitempty"`
	Body    string      `json:"body,omitempty"`
	Follow  int         `json:"follow,omitempty"` // redirects
	Expect  expectation `json:"expect"`
}

// header is one whose value is a secret.
type header struct {
	Name   string `json:"name"`
	Secret string `json:"secret"` // its name
}

// answer is what came of a request that must not be made again.
type answer struct {
	Truth string `json:"truth"`
	Text  string `json:"text"`
}

// safe reports whether the request may be made again at will (RFC 9110, 9.2.1).
func (r request) safe() bool { return r.Method == "GET" || r.Method == "HEAD" }

// Name implements runbooks.Decoder.
func (Action) Name() string { return "http" }

// SecretPlaces implements runbooks.SecretTaker.
func (Action) SecretPlaces() []string { return []string{"headers.*"} }

// Plan implements engine.Action. It makes no request: nobody knows what one does.
func (Action) Plan(ctx context.Context, env *engine.Env) (engine.Change, error) {
	w, ok := env.Step.With.(with)
	if !ok {
		return engine.Change{}, fault.New(fault.Internal, "step %s was not read by http", env.Step.ID)
	}
	r, err := w.render(ctx, env.Vars)
	if err != nil {
		return engine.Change{}, err
	}
	saved, err := json.Marshal(r)
	if err != nil {
		return engine.Change{}, fault.Wrap(fault.Internal, err, "encode the request")
	}
	change := engine.Change{Argv: r.argv(actTime(env)), Diff: r.diff(), Saved: saved, Verify: r.Expect.inWords()}
	if env.Step.Effect != runbooks.Read {
		change.Touches = []runbooks.Touch{{Kind: runbooks.TouchService, Name: withoutQuery(r.URL)}}
	}
	return change, nil
}

func (w with) render(ctx context.Context, vars map[string]any) (request, error) {
	r := request{Method: w.method, Follow: w.follow, Expect: expectation{Status: w.status, JSON: map[string]string{}}}
	text := func(t *expr.Template, into *string) error {
		if t == nil {
			return nil
		}
		var err error
		if *into, err = t.Render(ctx, vars); err == nil && !utf8.ValidString(*into) {
			err = fault.New(fault.Invalid, "%q is not text", *into)
		}
		return err
	}
	if err := text(w.url, &r.URL); err != nil {
		return r, err
	}
	if err := checkURL(r.URL); err != nil {
		return r, err
	}
	for _, name := range slices.Sorted(maps.Keys(w.headers)) {
		var value string
		if err := text(w.headers[name], &value); err != nil {
			return r, err
		}
		if err := checkHeader(name, value); err != nil {
			return r, err
		}
		r.Headers = append(r.Headers, name+": "+value)
	}
	for _, path := range slices.Sorted(maps.Keys(w.json)) {
		var value string
		if err := text(w.json[path], &value); err != nil {
			return r, err
		}
		r.Expect.JSON[path] = value
	}
	for _, name := range slices.Sorted(maps.Keys(w.secrets)) {
		r.Secrets = append(r.Secrets, header{name, w.secrets[name]})
	}
	if err := text(w.body, &r.Body); err != nil {
		return r, err
	}
	if len(r.Secrets) > 0 && strings.IndexByte(r.Body, 0) >= 0 {
		return r, fault.New(fault.Invalid, "a body with a NUL byte goes with no secret") // curl's configuration ends there
	}
	return r, text(w.bodyHas, &r.Expect.BodyHas)
}

// actTime is how long curl may take: less than the step, so that it is curl that
// says what was missing.
func actTime(env *engine.Env) time.Duration { return max(time.Second, env.Step.Timeout-2*time.Second) }

// argv is the command. -q must come first; without it curl reads .curlrc.
func (r request) argv(limit time.Duration) []string {
	argv := []string{
		"curl", "-q", "--silent", "--show-error", "--globoff", "--proto", "=http,https",
		"--max-time", strconv.Itoa(int(limit.Seconds())), "--write-out", `\n%{http_code}`,
	}
	if r.Follow > 0 {
		argv = append(argv, "--location", "--proto-redir", "=http,https", "--max-redirs", strconv.Itoa(r.Follow))
	}
	switch {
	case r.Method == "HEAD":
		argv = append(argv, "--head", "--output", "/dev/null")
	case r.Method != "GET":
		argv = append(argv, "--request", r.Method)
	}
	if r.Body != "" || r.Method == "POST" || r.Method == "PUT" { // an empty body has a length, too
		data := "@-"
		if len(r.Secrets) > 0 {
			data = "" // a body stands in the configuration
		}
		if data != "" || r.Body == "" {
			argv = append(argv, "--data-binary", data)
		}
		argv = append(argv, "--header", "Expect:")
		if r.Body == "" {
			argv = append(argv, "--header", "Content-Type:") // else curl says that it is a form
		}
	}
	for _, h := range r.Headers {
		argv = append(argv, "--header", h)
	}
	if len(r.Secrets) > 0 {
		argv = append(argv, "--config", "-")
	}
	return append(argv, "--url", r.URL)
}

// command is the request with its secrets.
func (r request) command(ctx context.Context, env *engine.Env, limit time.Duration) (remote.Command, error) {
	cmd := remote.Command{Argv: r.argv(limit), Stdin: []byte(r.Body)}
	if len(r.Secrets) == 0 {
		return cmd, nil
	}
	if cmd.Stdin = nil; r.Body != "" {
		cmd.Stdin = []byte("data-raw = " + configured(r.Body) + "\n")
	}
	for _, h := range r.Secrets {
		value, err := env.Secret(ctx, h.Secret)
		if err != nil {
			return cmd, err
		}
		if checkHeader(h.Name, value.Reveal()) != nil { // whose error shows the value
			return cmd, fault.New(fault.Invalid, "%s%s cannot be the value of header %s: it is empty, or has blanks around it or control characters",
				runbooks.SecretPrefix, h.Secret, h.Name)
		}
		line := "header = " + configured(h.Name+": "+value.Reveal()) + "\n"
		cmd.Secrets = append(cmd.Secrets, remote.Secret{Name: runbooks.SecretPrefix + h.Secret, Value: redact.Secret(line)})
	}
	return cmd, nil
}

// configured quotes a word for curl's configuration (curl(1), -K).
func configured(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\v", `\v`).Replace(word) + `"`
}

func (r request) diff() string {
	var b strings.Builder
	fmt.Fprintf(&b, "--- %s %s\n", r.Method, r.URL)
	for _, h := range r.Secrets {
		fmt.Fprintf(&b, "# header %s is %s%s\n", h.Name, runbooks.SecretPrefix, h.Secret)
	}
	for line := range strings.Lines(r.Body) {
		fmt.Fprintf(&b, "+%s\n", strings.TrimSuffix(line, "\n"))
	}
	return b.String()
}

// Apply implements engine.Action.
func (Action) Apply(ctx context.Context, env *engine.Env, c engine.Change) (engine.Outcome, error) {
	r, err := load(c)
	if err != nil {
		return engine.Outcome{}, err
	}
	cmd, err := r.command(ctx, env, actTime(env))
	if err != nil {
		return engine.Outcome{}, err
	}
	var res remote.Result
	if env.Step.Effect == runbooks.Read {
		cmd.As, cmd.Effect, cmd.Timeout = env.Step.As, remote.Read, env.Step.Timeout
		res, err = env.Runner.Run(ctx, cmd)
	} else {
		res, err = env.ActWith(ctx, cmd)
	}
	if err != nil {
		return engine.Outcome{}, err
	}
	got := r.judge(res)
	out := engine.Outcome{ExitCode: res.ExitCode, Changed: got.Text}
	if out.Saved, err = json.Marshal(answer{string(got.Truth), got.Text}); err != nil {
		return out, fault.Wrap(fault.Internal, err, "encode the answer")
	}
	switch {
	case res.ExitCode != 0 && !r.safe() && !neverSent(res.ExitCode):
		return out, fault.New(fault.OutcomeUnknown, "%s was sent, and what it did is not known: %v", r.Method, res.Err())
	case res.ExitCode != 0 && !(r.safe() && env.Step.Verifies()):
		return out, res.Err()
	case got.Truth == expr.False && !(r.safe() && env.Step.Verifies()), got.Truth != expr.True && !env.Step.Verifies():
		return out, fault.New(fault.Internal, "%s", got.Text) // nobody would look again
	}
	return out, nil
}

// neverSent reports whether an exit status of curl(1) says that no request left:
// unusable call, no such host, no connection, no TLS.
func neverSent(exit int) bool {
	return slices.Contains([]int{1, 2, 3, 4, 5, 6, 7, 35, 51, 53, 54, 58, 59, 60, 66, 77, 80, 82, 83, 90, 91, 126, 127}, exit)
}

// Verify implements engine.Verifier.
func (Action) Verify(ctx context.Context, env *engine.Env, c engine.Change, o engine.Outcome) engine.Reading {
	r, err := load(c)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	if !r.safe() {
		var got answer
		if len(o.Saved) == 0 {
			return engine.Unknown("the answer to the " + r.Method + " was lost")
		}
		if err := json.Unmarshal(o.Saved, &got); err != nil {
			return engine.Unknown(err.Error())
		}
		return engine.Reading{Truth: expr.Truth(got.Truth), Text: got.Text}
	}
	cmd, err := r.command(ctx, env, min(maxAsk, actTime(env)))
	if err != nil {
		return engine.Unknown(err.Error())
	}
	cmd.As, cmd.Effect, cmd.Timeout = env.Step.As, remote.Read, maxAsk+2*time.Second
	res, err := env.Runner.Run(ctx, cmd)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	return r.judge(res)
}

func load(c engine.Change) (request, error) {
	var r request
	if err := json.Unmarshal(c.Saved, &r); err != nil {
		return r, fault.Wrap(fault.Internal, err, "read the request that was planned")
	}
	return r, nil
}

// checkURL refuses what leads elsewhere than it seems to, and passwords.
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`\"<>^{|}`+"`", r) }):
		return fault.New(fault.Invalid, "%q is not a URL", text)
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.Opaque != "":
		return fault.New(fault.Invalid, "%q is not a URL of http or https", text)
	case u.User != nil:
		return fault.New(fault.Invalid, "%q holds a user; a URL is written into logs", u.Redacted())
	case u.Fragment != "" || strings.Contains(text, "#"):
		return fault.New(fault.Invalid, "%q has a fragment, which is never sent", text)
	case slices.ContainsFunc(strings.Split(u.Path, "/"), func(part string) bool { return part == "." || part == ".." }):
		return fault.New(fault.Invalid, "%q climbs with dots", text)
	}
	return nil
}

func withoutQuery(text string) string {
	before, _, _ := strings.Cut(text, "?")
	return before
}

// checkHeader refuses what would end the header, and those that curl or this
// action set.
func checkHeader(name, value string) error {
	own := []string{"host", "content-length", "transfer-encoding", "connection", "expect", "te", "upgrade", "trailer"}
	switch {
	case !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,63}$`).MatchString(name):
		return fault.New(fault.Invalid, "%q is not the name of a header", name)
	case slices.Contains(own, strings.ToLower(name)):
		return fault.New(fault.Invalid, "header %s is not the runbook's to set", name)
	case value == "" || strings.TrimSpace(value) != value || strings.ContainsFunc(value, unicode.IsControl):
		return fault.New(fault.Invalid, "header %s has the value %q", name, value)
	}
	return nil
}
