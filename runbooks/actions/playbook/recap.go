package playbook

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
)

// recap is what a play says at its end of the one host.
type recap struct {
	OK, Changed, Unreachable, Failed, Skipped, Rescued, Ignored int
}

func (r recap) inWords() string {
	return fmt.Sprintf("ok=%d changed=%d unreachable=%d failed=%d skipped=%d rescued=%d ignored=%d",
		r.OK, r.Changed, r.Unreachable, r.Failed, r.Skipped, r.Rescued, r.Ignored)
}

// parse reads the last recap. A playbook that went to another host than the one
// asked for has left what was approved.
func parse(out string) (recap, error) {
	at := strings.LastIndex("\n"+out, "\nPLAY RECAP *")
	if at < 0 {
		return recap{}, fault.New(fault.Internal, "ansible-playbook said nothing of what it did")
	}
	var r recap
	seen := 0
	_, rest, _ := strings.Cut(out[at:], "\n")
	for line := range strings.Lines(rest) {
		host, counts, ok := strings.Cut(line, " : ")
		if !ok {
			continue
		}
		if seen++; strings.TrimSpace(host) != "localhost" || seen > 1 {
			return recap{}, fault.New(fault.Denied, "the playbook went to %q, not to localhost alone", strings.TrimSpace(host))
		}
		if err := r.read(counts); err != nil {
			return recap{}, err
		}
	}
	if seen == 0 {
		return recap{}, fault.New(fault.NotFound, "no play of the playbook is for localhost")
	}
	return r, nil
}

func (r *recap) read(counts string) error {
	for word := range strings.FieldsSeq(counts) {
		name, text, _ := strings.Cut(word, "=")
		n, err := strconv.Atoi(text)
		into, known := map[string]*int{
			"ok": &r.OK, "changed": &r.Changed, "unreachable": &r.Unreachable, "failed": &r.Failed,
			"skipped": &r.Skipped, "rescued": &r.Rescued, "ignored": &r.Ignored,
		}[name]
		if err != nil || !known || n < 0 {
			return fault.New(fault.Internal, "ansible-playbook gave the recap %q", strings.TrimSpace(counts))
		}
		*into = n
	}
	return nil
}

// steady takes away what differs each time though nothing has changed: the
// places of temporary files, and lines of stars as wide as the terminal.
func steady(out string) string {
	out = regexp.MustCompile(`\S*/\.?ansible[-_/](tmp|local)\S*`).ReplaceAllString(out, "(a temporary file)")
	out = regexp.MustCompile(`(?m) \*{3,}$`).ReplaceAllString(out, "")
	return strings.TrimSpace(out) + "\n"
}
