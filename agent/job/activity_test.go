package job_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
)

func TestLastLines(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprint(i))
	}
	for name, c := range map[string]struct {
		in   string
		want []string
		cut  bool
	}{
		"nothing":      {"", nil, false},
		"only breaks":  {"\r\n\n", nil, false},
		"two":          {"a\nb\n", []string{"a", "b"}, false},
		"windows":      {"a\r\nb\r\n", []string{"a", "b"}, false},
		"many":         {strings.Join(many, "\n"), many[88:], true},
		"a bar":        {"10 %\r55 %\r100 %", []string{"100 %"}, false},
		"escapes":      {"\x1b[31mred\x1b[0m\x00", []string{`\x1b[31mred\x1b[0m\x00`}, false},
		"turned round": {"a\u202egpj.exe\u200b", []string{`a\u202egpj.exe\u200b`}, false},
		"no text":      {"\xff\xfe", []string{"\uFFFD\uFFFD"}, false},
		"markup":       {"<script>alert('x')</script>\tü", []string{"<script>alert('x')</script> ü"}, false},
	} {
		if got, cut := job.LastLines([]byte(c.in)); !slices.Equal(got, c.want) || cut != c.cut {
			t.Errorf("%s: %q, cut %t", name, got, cut)
		}
	}
	lines, cut := job.LastLines(bytes.Repeat([]byte{'y'}, 8<<20))
	if len(lines) != 1 || !cut || len(lines[0]) > 1000 {
		t.Errorf("8 MiB on one line: %d lines, cut %t", len(lines), cut)
	}
}

func TestActivityIsBoundedAndItsOriginalLeftAlone(t *testing.T) {
	t.Parallel()
	var a job.Activity
	for i := range 1000 {
		a.Output = append(a.Output, fmt.Sprintf("\x07%d %s", i, strings.Repeat("z", 5000)))
		a.Probes = append(a.Probes, job.PendingProbe{Probe: "p\n", Target: "\x1b", Since: time.Unix(int64(i), 0)})
	}
	a.Timeout = -time.Second
	b := a.Bounded()
	if len(b.Output) != 12 || !b.Cut || !strings.HasPrefix(b.Output[11], `\a999 `) || len(b.Output[0]) > 1000 {
		t.Errorf("%d lines, cut %t, last %.20q", len(b.Output), b.Cut, b.Output[len(b.Output)-1])
	}
	if len(b.Probes) != 8 || b.Probes[0].Probe != `p\n` || b.Probes[0].Target != `\x1b` || b.Timeout != 0 {
		t.Errorf("%d probes, first %+v; time-out %s", len(b.Probes), b.Probes[0], b.Timeout)
	}
	if a.Probes[0].Probe != "p\n" || a.Output[999][0] != '\x07' {
		t.Error("the original was changed")
	}
}
