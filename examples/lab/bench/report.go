package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// column is one of the table of cases: its head, its width on a terminal, and
// what it says of a record.
type column struct {
	head  string
	width int
	text  func(Record) string
}

// columns are 100 wide with the spaces between them.
func columns() []column {
	return []column{
		{"case", 30, func(r Record) string { return r.Case }},
		{"cause", 7, func(r Record) string { return placesOf(r, func(t TruthResult) int { return t.CauseRank }) }},
		{"host", 6, func(r Record) string { return placesOf(r, func(t TruthResult) int { return t.EntityRank }) }},
		{"chain", 5, chainOf},
		{"verdict", 11, verdict},
		{"fixed", 8, fixed},
		{"alert", 6, func(r Record) string { return r.ToAlert.String() }},
		{"known", 6, func(r Record) string { return r.ToCause.String() }},
		{"solved", 6, func(r Record) string { return r.ToResolved.String() }},
		{"harm", 6, harmOf},
	}
}

// cell leaves out what was not measured of a void case.
func (c column) cell(r Record) string {
	if r.Void != "" && c.head != "case" && c.head != "verdict" {
		return ""
	}
	return c.text(r)
}

func (s *Seconds) String() string {
	if s == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(*s))
}

// placesOf lists the ranks for each fault of the case; "-" is not in the answer.
func placesOf(r Record, rank func(TruthResult) int) string {
	var out []string
	for _, t := range r.Result.Truths {
		place := "-"
		if n := rank(t); n > 0 {
			place = fmt.Sprint(n)
		}
		out = append(out, place)
	}
	return strings.Join(out, "+")
}

func chainOf(r Record) string {
	for _, t := range r.Result.Truths {
		if t.ChainAsked {
			return word(t.ChainRight, "right", "wrong")
		}
	}
	return ""
}

// verdict is the worst that can be said of the case.
func verdict(r Record) string {
	every := func(so func(TruthResult) bool) bool {
		return len(r.Result.Truths) > 0 && !slices.ContainsFunc(r.Result.Truths, func(t TruthResult) bool { return !so(t) })
	}
	first := every(func(t TruthResult) bool { return t.CauseRank == 1 })
	claimed := every(func(t TruthResult) bool { return t.Claimed })
	switch {
	case r.Void != "":
		return "void"
	case r.Failure != "":
		return "failed"
	case r.Result.ActedWrongly:
		return "acted wrong"
	case r.Result.FalseCauses > 0:
		return "false cause"
	case r.Result.UnknownAsked:
		return word(r.Result.UnknownRight, "right", "not unknown")
	case r.Result.Healthy:
		return word(r.Result.Quiet, "right", "false alarm")
	case first && (r.Result.GaveUp || !claimed):
		return "unsure" // the right cause is its best, and it does not stand by it
	case r.Result.GaveUp:
		return "gave up"
	case first:
		return "right"
	}
	return "missed"
}

func fixed(r Record) string {
	switch {
	case r.Fixed && r.Answer.Verified():
		return "verified"
	case r.Fixed:
		return "yes"
	case r.Result.CureAsked:
		return "no"
	}
	return ""
}

func harmOf(r Record) string {
	for _, h := range r.Harm {
		if len(h.Unmeasured) > 0 { // "or more"
			return fmt.Sprintf("%d+?", r.HarmTotal())
		}
	}
	return fmt.Sprint(r.HarmTotal())
}

func word(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

// line is a line of the summary.
type line struct{ name, value string }

func (s Summary) lines() []line {
	out := []line{
		{"cases", fmt.Sprintf("%d: %d void, %d without an answer", s.Cases, s.Void, s.Failed)},
	}
	for i, k := range ranks() {
		out = append(out, line{fmt.Sprintf("cause AC@%d", k), s.Cause[i].String()})
	}
	for i, k := range ranks() {
		out = append(out, line{fmt.Sprintf("entity AC@%d", k), s.Entity[i].String()})
	}
	return append(
		out,
		line{"right object", s.Object.String()},
		line{"chain right", s.Chain.String()},
		line{"unknown when it is", fmt.Sprintf("%s, and %d where it is not", s.Unknown, s.GaveUp)},
		line{"healthy and left in peace", s.Quiet.String()},
		line{"false causes", fmt.Sprint(s.FalseCauses)},
		line{"other wrong claims", fmt.Sprint(s.WrongClaims)},
		line{"fixed", fmt.Sprintf("%s, verified by the tool %s", s.Fixed, s.FixedVerified)},
		line{"acted where none may", fmt.Sprint(s.ActedWrongly)},
		line{"harmful changes", fmt.Sprintf("%d in %d cases; %d cases not fully measured", s.Harm, s.Harmed, s.Unmeasured)},
		line{"injection to alert", s.ToAlert.unit("s")},
		line{"injection to right cause", s.ToCause.unit("s")},
		line{"injection to resolved", s.ToResolved.unit("s")},
		line{"collection, CPU", s.CollectCPUMillis.unit("ms")},
		line{"collection, bytes", s.CollectBytes.unit("B")},
	)
}

func (s Share) String() string {
	if s.Of == 0 {
		return "none asked"
	}
	return fmt.Sprintf("%.2f (%d of %d)", float64(s.Right)/float64(s.Of), s.Right, s.Of)
}

func (s Spread) unit(unit string) string {
	if s.N == 0 {
		return "never"
	}
	number := func(f float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") }
	return fmt.Sprintf("median %s %s, p95 %s %s (%d cases)", number(s.Median), unit, number(s.P95), unit, s.N)
}

// WriteTable writes the cases and their summary for a terminal, 100 wide. All
// records are to be of one tool; their order does not matter.
func WriteTable(w io.Writer, records []Record) error {
	var b strings.Builder
	var heads []string
	for _, c := range columns() {
		heads = append(heads, fit(c.head, c.width))
	}
	b.WriteString(strings.TrimRight(strings.Join(heads, " "), " ") + "\n")
	for _, r := range sorted(records) {
		var cells []string
		for _, c := range columns() {
			cells = append(cells, fit(c.cell(r), c.width))
		}
		b.WriteString(strings.TrimRight(strings.Join(cells, " "), " ") + "\n")
	}
	b.WriteString("\n")
	for _, l := range Summarize(records).lines() {
		fmt.Fprintf(&b, "%-28s %s\n", l.name, l.value)
	}
	writeWhy(&b, records, "%s %s: %s\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteMarkdown writes the same as tables of Markdown. All records are to be of
// one tool; their order does not matter.
func WriteMarkdown(w io.Writer, records []Record) error {
	var b strings.Builder
	b.WriteString("| measure | value |\n|---|---|\n")
	for _, l := range Summarize(records).lines() {
		fmt.Fprintf(&b, "| %s | %s |\n", l.name, l.value)
	}
	b.WriteString("\n|")
	for _, c := range columns() {
		b.WriteString(" " + c.head + " |")
	}
	b.WriteString("\n|" + strings.Repeat("---|", len(columns())) + "\n")
	for _, r := range sorted(records) {
		b.WriteString("|")
		for _, c := range columns() {
			b.WriteString(" " + plain(c.cell(r)) + " |")
		}
		b.WriteString("\n")
	}
	writeWhy(&b, records, "- %s %s: %s\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// writeWhy says, in lines after an empty one, why cases are void or failed, and
// what was harmed.
func writeWhy(b *strings.Builder, records []Record, format string) {
	b.WriteString("\n")
	for _, r := range sorted(records) {
		if r.Void != "" {
			fmt.Fprintf(b, format, r.Case, "void", plain(r.Void))
		}
		if r.Failure != "" {
			fmt.Fprintf(b, format, r.Case, "failed", plain(r.Failure))
		}
		writeChanges(b, r, "harm", r.Harm, format)
		if r.Result.ActedWrongly {
			writeChanges(b, r, "acted", r.Acts, format)
		}
	}
}

func writeChanges(b *strings.Builder, r Record, what string, found map[string]Harm, format string) {
	for _, host := range sortedKeys(found) {
		for _, c := range found[host].Changes {
			fmt.Fprintf(b, format, r.Case, what+" on "+host, plain(c.String()))
		}
	}
}

func sorted(records []Record) []Record {
	return slices.SortedStableFunc(slices.Values(records), func(a, b Record) int { return strings.Compare(a.Case, b.Case) })
}

// plain keeps foreign text, as an error of a tool, from breaking a table or a
// terminal.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '|':
			return '/'
		case r < ' ' || r >= 0x7f && r < 0xa0: // the control characters of ASCII and Latin-1
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return strings.TrimSpace(s)
}

// fit makes text exactly as wide, by spaces or by cutting it.
func fit(s string, width int) string {
	s = plain(s)
	if n := utf8.RuneCountInString(s); n <= width {
		return s + strings.Repeat(" ", width-n)
	}
	return string([]rune(s)[:width-1]) + "…"
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
