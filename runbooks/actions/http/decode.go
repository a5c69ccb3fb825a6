package http

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
)

// Bounds of one request.
const (
	maxEntries = 50 // headers, expected values
	maxFollow  = 5
)

// with is a request whose values are templates.
type with struct {
	method  string
	url     *expr.Template
	headers map[string]*expr.Template
	secrets map[string]string // their names by headers
	body    *expr.Template
	follow  int
	status  []int
	bodyHas *expr.Template
	json    map[string]*expr.Template
}

type rawRequest struct {
	URL      *yamlx.Node            `yaml:"url,required"`
	Method   *yamlx.Node            `yaml:"method"`
	Headers  map[string]*yamlx.Node `yaml:"headers"`
	Body     *yamlx.Node            `yaml:"body"`
	Follow   *yamlx.Node            `yaml:"follow"`
	AsClient *yamlx.Node            `yaml:"as_client"`
	Expect   *yamlx.Node            `yaml:"expect"`
}

type rawExpect struct {
	Status  *yamlx.Node            `yaml:"status"`
	BodyHas *yamlx.Node            `yaml:"body_has"`
	JSON    map[string]*yamlx.Node `yaml:"json"`
}

// compiler compiles the templates of one step and keeps the first mistakes.
type compiler struct {
	step   *runbooks.StepContext
	secret func(n *yamlx.Node) (name string, ok bool)
	errs   []error
}

func (c *compiler) fail(n *yamlx.Node, format string, args ...any) {
	c.errs = append(c.errs, n.Errorf(format, args...))
}

// template compiles a scalar; check judges it now when it is constant.
func (c *compiler) template(n *yamlx.Node, check func(text string) error) *expr.Template {
	t, err := c.step.Text(n, check)
	if err != nil {
		c.errs = append(c.errs, err)
	}
	return t
}

// Decode implements runbooks.Decoder.
func (Action) Decode(n *yamlx.Node, sc *runbooks.StepContext) (runbooks.Decoded, error) {
	var raw rawRequest
	if err := n.Decode(&raw); err != nil {
		return runbooks.Decoded{}, err
	}
	c := &compiler{step: sc, secret: sc.Secret}
	w := with{method: "GET", headers: map[string]*expr.Template{}, secrets: map[string]string{}, json: map[string]*expr.Template{}}
	w.url = c.template(raw.URL, checkURL)
	c.headers(&w, n, raw)
	c.method(&w, raw)
	if raw.AsClient != nil {
		if who, _ := raw.AsClient.Scalar(); who != "host" {
			c.fail(raw.AsClient, "as_client is host: the request is made on the target")
		}
	}
	if raw.Expect != nil {
		c.expect(&w, raw.Expect)
	}
	if len(c.errs) > 0 {
		return runbooks.Decoded{}, errors.Join(c.errs...)
	}
	safe := request{Method: w.method}.safe()
	return runbooks.Decoded{With: w, Effect: runbooks.Write, MayOnlyRead: safe, OwnVerify: true}, nil
}

func (c *compiler) method(w *with, raw rawRequest) {
	if raw.Method != nil {
		w.method, _ = raw.Method.Scalar()
	}
	if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "DELETE"}, w.method) {
		c.fail(raw.Method, "method %q; one of GET, HEAD, POST, PUT, DELETE", w.method)
	}
	safe := request{Method: w.method}.safe()
	if raw.Body != nil {
		w.body = c.template(raw.Body, nil)
		if safe {
			c.fail(raw.Body, "a %s has no body", w.method)
		}
	}
	if raw.Follow == nil {
		return
	}
	text, _ := raw.Follow.Scalar()
	n, err := strconv.Atoi(text)
	switch {
	case err != nil || n < 0 || n > maxFollow:
		c.fail(raw.Follow, "follow is how many redirects may be followed, 0 to %d", maxFollow)
	case n > 0 && len(w.secrets) > 0:
		c.fail(raw.Follow, "a request with a secret follows no redirect: it could be sent to somebody else")
	case n > 0 && !safe:
		c.fail(raw.Follow, "a %s follows no redirect: it could be sent to somebody else", w.method)
	}
	w.follow = n
}

func (c *compiler) headers(w *with, n *yamlx.Node, raw rawRequest) {
	if len(raw.Headers) > maxEntries {
		c.fail(n, "%d headers, more than %d", len(raw.Headers), maxEntries)
	}
	hasType := false
	for _, name := range slices.Sorted(maps.Keys(raw.Headers)) {
		hasType = hasType || strings.EqualFold(name, "content-type")
		if err := checkHeader(name, "x"); err != nil {
			c.fail(raw.Headers[name], "%v", err)
			continue
		}
		if secret, ok := c.secret(raw.Headers[name]); ok {
			w.secrets[name] = secret
			continue
		}
		w.headers[name] = c.template(raw.Headers[name], func(value string) error { return checkHeader(name, value) })
	}
	if raw.Body != nil && !hasType {
		c.errs = append(c.errs, raw.Body.Errorf("the body has no type").WithHint("headers: {Content-Type: application/json}"))
	}
}

func (c *compiler) expect(w *with, n *yamlx.Node) {
	var raw rawExpect
	if err := n.Decode(&raw); err != nil {
		c.errs = append(c.errs, err)
		return
	}
	if raw.Status != nil {
		items := raw.Status.Items()
		if _, ok := raw.Status.Scalar(); ok {
			items = []*yamlx.Node{raw.Status}
		}
		if len(items) == 0 || len(items) > maxEntries {
			c.fail(raw.Status, "status is a number, or a list of numbers")
		}
		for _, item := range items {
			text, _ := item.Scalar()
			code, err := strconv.Atoi(text)
			if err != nil || code < 200 || code > 599 {
				c.fail(item, "%q is not a status of an answer", text)
			}
			w.status = append(w.status, code)
		}
	}
	if w.method == "HEAD" && (raw.BodyHas != nil || len(raw.JSON) > 0) {
		c.fail(n, "the answer to a HEAD has no body")
	}
	if raw.BodyHas != nil {
		w.bodyHas = c.template(raw.BodyHas, func(text string) error {
			if text == "" {
				return errors.New("every body has nothing in it")
			}
			return nil
		})
	}
	if len(raw.JSON) > maxEntries {
		c.fail(n, "%d expected values, more than %d", len(raw.JSON), maxEntries)
	}
	for _, path := range slices.Sorted(maps.Keys(raw.JSON)) {
		if path == "" || slices.Contains(strings.Split(path, "."), "") {
			c.fail(raw.JSON[path], "%q is not a path like status.nodes.0.name", path)
		}
		w.json[path] = c.template(raw.JSON[path], nil)
	}
}
