package bundle

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/secondline-ops/secondline/internal/redact"
)

// scrubber takes secrets out of everything that goes into one bundle, and
// counts them; and names, if pseudonyms are wanted. What came through a Runner
// is redacted already; labels, bodies and what people wrote are not. Nothing
// goes into a bundle past it but the files of causes and runbooks.
type scrubber struct {
	redactor *redact.Redactor
	names    *redact.Pseudonyms // nil: names stay
	total    map[string]int
}

// newScrubber goes on counting from what was counted before.
func newScrubber(before map[string]int, names *redact.Pseudonyms) *scrubber {
	s := &scrubber{redactor: redact.New(), names: names, total: map[string]int{}}
	maps.Copy(s.total, before)
	return s
}

// text redacts text; counts is never nil.
func (s *scrubber) text(data []byte) (clean []byte, counts map[string]int) {
	clean, counts = s.redactor.RedactCounted(data)
	for kind, n := range counts {
		s.total[kind] += n
	}
	if s.names != nil {
		clean = s.names.Replace(clean)
	}
	return clean, counts
}

// file redacts a file, which may have been redacted before.
func (s *scrubber) file(c content) content {
	clean, counts := s.text(c.data)
	for kind, n := range c.redactions {
		counts[kind] += n
	}
	c.data, c.redactions = clean, counts
	return c
}

// scrub returns a copy of the value, as JSON sees it, with every text redacted.
// A key that announces a secret hides whatever text stands under it. JSON as a
// whole is not redacted: a mark in the wrong place would end it.
func scrub[T any](s *scrubber, v T) (clean T, err error) {
	data, err := json.Marshal(v)
	if err != nil {
		return clean, fmt.Errorf("encode for redaction: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return clean, fmt.Errorf("decode for redaction: %w", err)
	}
	if data, err = json.Marshal(s.walk("", tree)); err != nil {
		return clean, fmt.Errorf("encode redacted: %w", err)
	}
	// A pseudonym in place of a field's name would lose the field.
	strict := json.NewDecoder(bytes.NewReader(data))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&clean); err != nil {
		return clean, fmt.Errorf("decode redacted: %w", err)
	}
	return clean, nil
}

func (s *scrubber) walk(key string, node any) any {
	switch v := node.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, child := range v {
			clean, _ := s.text([]byte(k))
			if files, ok := child.(map[string]any); ok && k == "preserved" && isStepResult(v) {
				out[string(clean)] = s.preserved(files)
				continue
			}
			out[string(clean)] = s.walk(k, child)
		}
		return out
	case []any:
		for i := range v {
			v[i] = s.walk(key, v[i])
		}
		return v
	case string:
		if v != "" && s.announces(key) && !strings.HasPrefix(v, "[redacted") {
			s.total["assignment"]++
			return "[redacted:assignment]"
		}
		clean, _ := s.text([]byte(v))
		return string(clean)
	}
	return node
}

// isStepResult tells runbooks.StepResult from what people call so in labels and
// probes in values. Nothing but the former has these fields of these kinds.
func isStepResult(v map[string]any) bool {
	_, measured := v["measured"].([]any)
	_, verified := v["verified"].(bool)
	_, transcript := v["transcript"]
	return measured && verified && transcript
}

// announces reports whether what stands under the key is a secret by its name.
func (s *scrubber) announces(key string) bool {
	return key != "" && len(s.redactor.Count([]byte(key+"=Zq8x1vK0"))) > 0
}

// preserved redacts evidence that a run saved before a step: bytes, which JSON
// holds as base64. What it counts stands in the total alone.
func (s *scrubber) preserved(files map[string]any) map[string]any {
	clean := make(map[string]any, len(files))
	for name, v := range files {
		plain, _ := s.text([]byte(name))
		text, _ := v.(string)
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			panic("bundle: evidence of a step is not in base64") // encoding/json wrote it
		}
		data, _ = s.text(data)
		clean[string(plain)] = base64.StdEncoding.EncodeToString(data)
	}
	return clean
}
