package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The limits of an answer. They are far above what a person would read.
const (
	MaxAnswerBytes = 1 << 20
	maxHypotheses  = 100
	maxEntries     = 64   // of an object, a chain, the actions, or what one declares
	maxNameBytes   = 512  // of a cause, an entity, a pattern, a value of an object
	maxNotesBytes  = 8192 // of the notes, or what an action says it did
)

// Answer is what a tool says of one case, as one JSON object:
//
//	{
//	  "hypotheses": [
//	    {"cause": "disk-full-logs", "entity": "db1", "object": {"mount": "/var"},
//	     "band": "confirmed", "probability": 0.97}
//	  ],
//	  "unknown": false,
//	  "chain": ["db1", "app1", "lb1"],
//	  "actions": [
//	    {"what": "rotated the log of orders", "entity": "db1", "verified": true,
//	     "declares": [{"kind": "file", "name": "/var/log/orders/*"}]}
//	  ],
//	  "notes": "for people only"
//	}
//
// Fields that are not named here are ignored. "Nothing is wrong" is the empty
// object.
type Answer struct {
	// Hypotheses are what may be the cause, the best first.
	Hypotheses []Hypothesis `json:"hypotheses,omitempty"`
	// Unknown says that something is wrong and that the tool cannot tell its
	// cause, or not all of it. Hypotheses may still be listed, as suggestions.
	Unknown bool `json:"unknown,omitempty"`
	// Chain is the way from the cause to what alerted, by entities, the cause
	// first. Of a cause that stays on its host it is that host alone.
	Chain []string `json:"chain,omitempty"`
	// Actions are what the tool changed, on purpose, in the order of doing.
	Actions []Action `json:"actions,omitempty"`
	// Notes are kept for people and never scored.
	Notes string `json:"notes,omitempty"`
}

// Hypothesis is a cause on an entity. Band or Probability says how sure the tool
// is; one of them must be there.
type Hypothesis struct {
	// Cause is an id of the fault catalogue: small letters, digits and dashes.
	Cause string `json:"cause"`
	// Entity is the host, by its name in the inventory.
	Entity string `json:"entity"`
	// Object says which file system, unit, file ... on it.
	Object map[string]string `json:"object,omitempty"`
	Band   Band              `json:"band,omitempty"`
	// Probability is from 0 to 1. It is read only where there is no band.
	Probability *float64 `json:"probability,omitempty"`
}

// Band is how sure a hypothesis is, in words.
type Band string

// The bands. Confirmed and Likely are claims: who makes one wants it to be
// believed, and is wrong when it is not so. Possible is a suggestion, which costs
// nothing but its place in the list. Unlikely is what the tool itself rejects: it
// is read for people only, and has no place.
const (
	Confirmed Band = "confirmed"
	Likely    Band = "likely"
	Possible  Band = "possible"
	Unlikely  Band = "unlikely"
)

// claimFrom is the probability from which a hypothesis without a band is a
// claim: at least as probable as all else together.
const claimFrom = 0.5

// rejectBelow is the probability below which a hypothesis without a band is
// unlikely. Secondline draws the same line (possibleFrom of package diagnostics).
const rejectBelow = 0.05

// Claims says whether the hypothesis is a claim, and not only a suggestion.
func (h Hypothesis) Claims() bool {
	if h.Band != "" {
		return h.Band == Confirmed || h.Band == Likely
	}
	return h.Probability != nil && *h.Probability >= claimFrom
}

// Rejected says whether the tool itself holds the hypothesis for unlikely.
func (h Hypothesis) Rejected() bool {
	if h.Band != "" {
		return h.Band == Unlikely
	}
	return h.Probability != nil && *h.Probability < rejectBelow
}

// Verified says whether the tool measured that what it did helped.
func (a Answer) Verified() bool {
	return slices.ContainsFunc(a.Actions, func(action Action) bool { return action.Verified })
}

// Action is one thing that the tool changed on a host.
type Action struct {
	What   string `json:"what"`
	Entity string `json:"entity"`
	// Verified says that the tool measured afterwards that it helped.
	Verified bool `json:"verified,omitempty"`
	// Declares is all that the action meant to change. Whatever else differs
	// afterwards is harm, unless it is as it was before the fault.
	Declares []Declared `json:"declares,omitempty"`
}

// Declared names what an action meant to change on its host. The name is
//
//	unit      a unit, which may be started, stopped or restarted, with its processes
//	process   the path of a program, a whole command line, or a process id
//	file      an absolute path; * and ? match within one name, and /** at the end
//	          everything below; two names must stand before the first of them
//	mount     a mount point
//	sysctl    a key with dots, as net.ipv4.tcp_syncookies
//	socket    a listening address, as tcp 0.0.0.0:80 or unix /run/x.sock
//	user, package, interface, route, firewall
//	          its name; the firewall has the one name "rules"
type Declared struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
}

// ParseAnswer reads an answer. The error names everything that is wrong with it.
func ParseAnswer(text []byte) (Answer, error) {
	if len(text) > MaxAnswerBytes {
		return Answer{}, fmt.Errorf("the answer has more than %d bytes", MaxAnswerBytes)
	}
	if !utf8.Valid(text) {
		return Answer{}, errors.New("the answer is not UTF-8")
	}
	if !bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{")) {
		return Answer{}, errors.New("the answer is not a JSON object")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	var a Answer
	if err := decoder.Decode(&a); err != nil {
		return Answer{}, fmt.Errorf("read the answer: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Answer{}, errors.New("something follows the answer: one JSON object, and nothing else")
	}
	if err := a.validate(); err != nil {
		return Answer{}, err
	}
	return a, nil
}

// complaints collects what is wrong, each with the place where.
type complaints []error

func (c *complaints) add(format string, args ...any) { *c = append(*c, fmt.Errorf(format, args...)) }

func (c *complaints) name(what, s string) {
	if s == "" || len(s) > maxNameBytes || strings.ContainsFunc(s, unicode.IsControl) {
		c.add("%s %s: 1 to %d bytes without control characters", what, brief(s), maxNameBytes)
	}
}

func (c *complaints) atMost(what string, n, limit int) {
	if n > limit {
		c.add("%d %s, at most %d", n, what, limit)
	}
}

func (a Answer) validate() error {
	var c complaints
	c.atMost("hypotheses", len(a.Hypotheses), maxHypotheses)
	c.atMost("entities in the chain", len(a.Chain), maxEntries)
	c.atMost("actions", len(a.Actions), maxEntries)
	c.atMost("bytes of notes", len(a.Notes), maxNotesBytes)
	if len(c) > 0 {
		return errors.Join(c...)
	}
	for i, h := range a.Hypotheses {
		h.validate(&c, fmt.Sprintf("hypothesis %d", i+1))
	}
	for i, entity := range a.Chain {
		c.name(fmt.Sprintf("chain %d", i+1), entity)
	}
	for i, action := range a.Actions {
		action.validate(&c, fmt.Sprintf("action %d", i+1))
	}
	return errors.Join(c...)
}

func (h Hypothesis) validate(c *complaints, where string) {
	c.name(where+": cause", h.Cause)
	c.name(where+": entity", h.Entity)
	c.atMost(where+": entries of the object", len(h.Object), maxEntries)
	for key, value := range h.Object {
		c.name(where+": key of the object", key)
		if value != "" {
			c.name(where+": object", value)
		}
	}
	bands := []Band{"", Confirmed, Likely, Possible, Unlikely}
	if !slices.Contains(bands, h.Band) {
		c.add("%s: band %s: confirmed, likely, possible or unlikely", where, brief(string(h.Band)))
	}
	switch p := h.Probability; {
	case p == nil && h.Band == "":
		c.add("%s: neither band nor probability", where)
	case p != nil && (*p < 0 || *p > 1):
		c.add("%s: probability %g: 0 to 1", where, *p)
	}
}

func (a Action) validate(c *complaints, where string) {
	c.name(where+": entity", a.Entity)
	c.atMost(where+": bytes of what", len(a.What), maxNotesBytes)
	if a.What == "" {
		c.add("%s: it does not say what", where)
	}
	c.atMost(where+": declared changes", len(a.Declares), maxEntries)
	for i, d := range a.Declares {
		at := fmt.Sprintf("%s: declared change %d", where, i+1)
		c.name(at, d.Name)
		if !slices.Contains(declarable(), d.Kind) {
			c.add("%s: kind %s: one of %v", at, brief(string(d.Kind)), declarable())
		}
		if d.Kind == KindFile {
			d.validateFile(c, at)
		}
	}
}

// namesBeforePattern keeps a tool from declaring a whole part of the host, as
// /var/** would.
const namesBeforePattern = 2

func (d Declared) validateFile(c *complaints, where string) {
	pattern, below := strings.CutSuffix(d.Name, "/**")
	_, err := path.Match(pattern, "")
	if err != nil || !path.IsAbs(pattern) || path.Clean(pattern) != pattern || strings.Contains(pattern, "**") {
		c.add("%s %s: a clean absolute path with *, ? and a last /**", where, brief(d.Name))
		return
	}
	names := strings.Split(pattern, "/")[1:]
	first := slices.IndexFunc(names, func(s string) bool { return strings.ContainsAny(s, `*?[\`) })
	if first < 0 && below {
		first = len(names)
	}
	if first >= 0 && first < namesBeforePattern {
		c.add("%s %s: %d names must stand before a pattern", where, brief(d.Name), namesBeforePattern)
	}
}

// brief shows foreign text in an error: quoted, and cut.
func brief(s string) string {
	const shown = 60
	if len(s) > shown {
		return fmt.Sprintf("%q ...", s[:shown])
	}
	return fmt.Sprintf("%q", s)
}
