package bundle

import (
	"bytes"
	_ "embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
)

//go:embed report.html
var reportPage string

// HTML renders the report as one page that loads nothing, runs nothing, and can
// be printed. Hostile text stays text: html/template escapes it, the page's
// policy forbids scripts, and direction marks are shown.
func (r Report) HTML() ([]byte, error) {
	facts := map[string]FactEntry{}
	known := map[string]bool{}
	for _, f := range r.Evidence {
		facts[f.ID], known[f.ID] = f, true
	}
	for _, m := range r.Timeline {
		known[fmt.Sprintf("event %d", m.Seq)] = true
	}
	page, err := template.New("report").Funcs(template.FuncMap{
		"clean": clean, "clock": clock, "merged": merged, "object": objectText, "known": func(id string) bool { return known[id] },
		"anchor": anchor, "kinds": kinds, "percent": func(p float64) string { return fmt.Sprintf("%.0f %%", 100*p) }, "row": rowID,
		"day": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
		"drawn": func(r Report) *drawing {
			if d, ok := draw(r); ok {
				return &d
			}
			return nil
		},
		"factsOf": func(ids []string) []FactEntry {
			found := []FactEntry{}
			for _, id := range ids {
				if f, ok := facts[id]; ok {
					found = append(found, f)
				}
			}
			return found
		},
	}).Parse(reportPage)
	if err != nil {
		return nil, fmt.Errorf("parse report page: %w", err)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, r); err != nil {
		return nil, fmt.Errorf("render report page: %w", err)
	}
	return b.Bytes(), nil
}

// anchor makes the id of an element; any text gives one, and no two the same.
func anchor(id string) string { return "c" + hex.EncodeToString([]byte(id)) }

// clean takes out what acts on a terminal or turns text around, in place of
// which a reader sees a mark.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
}

// kinds lists counts in the order of their names.
func kinds(counts map[string]int) string {
	parts := []string{}
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", kind, counts[kind]))
	}
	return strings.Join(parts, ", ")
}
