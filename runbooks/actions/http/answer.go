package http

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// expectation is what an answer must be like. No status means any of 200 to 299.
type expectation struct {
	Status  []int             `json:"status,omitempty"`
	BodyHas string            `json:"body_has,omitempty"`
	JSON    map[string]string `json:"json,omitempty"` // value by path; "a.b.0" goes through objects and lists
}

func (e expectation) inWords() string {
	status := "2xx"
	if len(e.Status) > 0 {
		words := []string{}
		for _, code := range e.Status {
			words = append(words, strconv.Itoa(code))
		}
		status = strings.Join(words, " or ")
	}
	words := []string{"it answers " + status}
	if e.BodyHas != "" {
		words = append(words, fmt.Sprintf("with %q", e.BodyHas))
	}
	for _, path := range slices.Sorted(maps.Keys(e.JSON)) {
		words = append(words, fmt.Sprintf("%s = %q", path, e.JSON[path]))
	}
	return strings.Join(words, ", ")
}

func (e expectation) takes(status int) bool {
	if len(e.Status) == 0 {
		return status/100 == 2
	}
	return slices.Contains(e.Status, status)
}

// judge holds what curl has printed against the expectation.
func (r request) judge(res remote.Result) engine.Reading {
	name := r.Method + " " + withoutQuery(r.URL)
	if res.ExitCode != 0 {
		text := fmt.Sprintf("%s: %v", name, res.Err())
		if slices.Contains([]int{7, 22, 28, 52, 55, 56}, res.ExitCode) { // nobody listens, or nobody answers
			return engine.Reading{Truth: expr.False, Text: text}
		}
		return engine.Unknown(text)
	}
	status, body, ok := parse(res.Stdout)
	if !ok || res.Truncated {
		return engine.Unknown(name + ": the answer is too long, or curl did not say its status")
	}
	text := fmt.Sprintf("%s answered %d", name, status)
	if !r.Expect.takes(status) {
		return engine.Reading{Truth: expr.False, Text: text}
	}
	truth, why := r.Expect.holds(body)
	return engine.Reading{Truth: truth, Text: text + why}
}

// parse splits what --write-out has put behind the body.
func parse(out []byte) (status int, body []byte, ok bool) {
	at := bytes.LastIndexByte(out, '\n')
	if at < 0 {
		return 0, nil, false
	}
	status, err := strconv.Atoi(string(out[at+1:]))
	return status, out[:at], err == nil && len(out)-at == 4 && status >= 100
}

// holds looks into the body. What the Runner has redacted could be what is
// looked for.
func (e expectation) holds(body []byte) (expr.Truth, string) {
	missing := expr.False
	if bytes.Contains(body, []byte("[redacted")) {
		missing = expr.CannotTell
	}
	if e.BodyHas != "" && !bytes.Contains(body, []byte(e.BodyHas)) {
		return missing, fmt.Sprintf(", without %q", e.BodyHas)
	}
	if len(e.JSON) == 0 {
		return expr.True, ""
	}
	var doc any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		return missing, ", and not with JSON"
	}
	if _, err := d.Token(); err != io.EOF {
		return missing, ", and not with one JSON value"
	}
	for _, path := range slices.Sorted(maps.Keys(e.JSON)) {
		value, ok := at(doc, strings.Split(path, "."))
		switch {
		case !ok:
			return missing, fmt.Sprintf(", without %s", path)
		case !same(value, e.JSON[path]):
			return missing, fmt.Sprintf(", %s = %.100q", path, value)
		}
	}
	return expr.True, ""
}

// at goes down a path and returns the scalar there as text; null is "null".
func at(doc any, path []string) (string, bool) {
	for _, key := range path {
		switch v := doc.(type) {
		case map[string]any:
			next, ok := v[key]
			if !ok {
				return "", false
			}
			doc = next
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(v) {
				return "", false
			}
			doc = v[i]
		default:
			return "", false
		}
	}
	switch v := doc.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	case nil:
		return "null", true
	}
	return "", false
}

// same compares texts, and numbers by their value: 1.0 is 1.
func same(got, want string) bool {
	if got == want {
		return true
	}
	a, err := strconv.ParseFloat(got, 64)
	b, err2 := strconv.ParseFloat(want, 64)
	return err == nil && err2 == nil && a == b
}
