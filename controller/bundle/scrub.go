package bundle

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/secondline-ops/secondline/internal/redact"
)

// scrubber takes secrets out of everything that goes into one bundle, and
// counts them. What came through a Runner is redacted already; labels, bodies
// and what people wrote are not.
type scrubber struct {
	redactor *redact.Redactor
	total    map[string]int
}

func newScrubber() *scrubber { return &scrubber{redact.New(), map[string]int{}} }

// text redacts text; counts is never nil.
func (s *scrubber) text(data []byte) (clean []byte, counts map[string]int) {
	counts = map[string]int{}
	for kind, n := range s.redactor.Count(data) {
		if n > 0 {
			counts[kind] += n
			s.total[kind] += n
		}
	}
	return s.redactor.Redact(data), counts
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
	if err := json.Unmarshal(data, &clean); err != nil {
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
			if k == "preserved" {
				child = s.preserved(child)
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

// announces reports whether what stands under the key is a secret by its name.
func (s *scrubber) announces(key string) bool {
	return key != "" && len(s.redactor.Count([]byte(key+"=Zq8x1vK0"))) > 0
}

// preserved redacts evidence that a run saved before a step: bytes, which JSON
// holds as base64.
func (s *scrubber) preserved(node any) any {
	files, ok := node.(map[string]any)
	if !ok {
		return node
	}
	for name, v := range files {
		text, ok := v.(string)
		if !ok {
			continue
		}
		if data, err := base64.StdEncoding.DecodeString(text); err == nil {
			clean, _ := s.text(data)
			files[name] = base64.StdEncoding.EncodeToString(clean)
		}
	}
	return files
}
