package logs_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/diagnostics/logs"
)

func TestGroupsLinesUnderTemplates(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ lines, want []string }{
		"a word that varies": {
			[]string{"New session 3 of user root.", "New session 4 of user alice.", "New session 5 of user bob."},
			[]string{"New session <num> of user <*>"},
		},
		"one of three words": {
			[]string{"Removed session c1.", "Removed session c2.", "Stopped session c2."},
			[]string{"Removed session <*>", "Stopped session c2."},
		},
		"a complaint never varies": {
			[]string{
				"connection to the database at noon was established", "connection to the database at noon was refused",
				"connection to the database at noon was reset", "connection to the database at noon was refused",
			},
			[]string{
				"connection to the database at noon was established", "connection to the database at noon was refused",
				"connection to the database at noon was reset",
			},
		},
		"a complaint does not vanish in a wildcard": {
			[]string{"the backup of the night has begun", "the backup of the night has ended", "the backup of the night has failed"},
			[]string{"the backup of the night has <*>", "the backup of the night has failed"},
		},
		"nor an exit status": {
			[]string{
				"x.service: Main process exited, code=exited, status=1/FAILURE", "x.service: Main process exited, code=exited, status=203/EXEC",
				"the job of the night ended with exit status 1", "the job of the night ended with exit status 0",
			},
			[]string{
				"x.service: Main process exited, code=exited, status=1/FAILURE", "x.service: Main process exited, code=exited, status=203/EXEC",
				"the job of the night ended with exit status 1", "the job of the night ended with exit status 0",
			},
		},
		"a number in front": {
			[]string{"12 files were removed from the cache", "13 files were removed from the cache"},
			[]string{"<num> files were removed from the cache"},
		},
		"blanks": {[]string{"", " ", "\t\n", "\x00\x07", "a  b", " a b\n"}, []string{"a b"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			drain := logs.NewDrain(logs.Grouping{})
			for _, line := range c.lines {
				drain.Learn(line)
			}
			var got []string
			for _, template := range drain.Templates() {
				got = append(got, strings.TrimRight(template.String(), "."))
			}
			for i := range c.want {
				c.want[i] = strings.TrimRight(c.want[i], ".")
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// summary is what a Drain holds, without order.
func summary(d *logs.Drain) []string {
	var all []string
	for _, template := range d.Templates() {
		all = append(all, fmt.Sprintf("%d × %s, as %q", template.Count, template, template.Example))
	}
	slices.Sort(all)
	return all
}

func TestLinesOfDifferentLengthDoNotMeet(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	words := []string{"user", "alice", "bob", "failed", "7", "/a/b", "in", "out", "10.0.0.1"}
	for range 200 {
		byLength := make([][]string, 6)
		for length := range byLength {
			for range 10 {
				line := make([]string, length+1)
				for i := range line {
					line[i] = words[random.IntN(len(words))]
				}
				byLength[length] = append(byLength[length], strings.Join(line, " "))
			}
		}
		apart, mixed := logs.NewDrain(logs.Grouping{}), logs.NewDrain(logs.Grouping{})
		for _, lines := range byLength {
			for _, line := range lines {
				apart.Learn(line)
			}
		}
		for left := 60; left > 0; {
			if length := random.IntN(6); len(byLength[length]) > 0 {
				mixed.Learn(byLength[length][0])
				byLength[length] = byLength[length][1:]
				left--
			}
		}
		if got, want := summary(mixed), summary(apart); !slices.Equal(got, want) {
			t.Fatalf("mixed %q\napart %q", got, want)
		}
	}
}

func TestHostileLines(t *testing.T) {
	t.Parallel()
	drain := logs.NewDrain(logs.Grouping{})
	binary := make([]byte, 1<<20)
	for i := range binary {
		binary[i] = byte(i * i >> 3)
	}
	for name, line := range map[string]string{
		"binary": string(binary), "a megabyte of one word": strings.Repeat("x", 1<<20), "of blanks": strings.Repeat(" ", 1<<20),
		"of words": strings.Repeat("x ", 1<<19), "of numbers": strings.Repeat("1-", 1<<19), "not UTF-8": strings.Repeat("\xff", 1<<20),
		"an escape": "\x1b]0;owned\a\x1b[2J", "wildcards": "<*> <*> <*>", "only joints": "://:-.!?",
	} {
		template := drain.Learn(line)
		if template == nil {
			if name != "of blanks" {
				t.Errorf("%s: no template", name)
			}
			continue
		}
		if len(template.Example) > 3*1024 || len(template.String()) > 4*1024 {
			t.Errorf("%s: %d bytes for %d", name, len(template.String()), len(template.Example))
		}
		if strings.ContainsAny(template.String()+template.Example, "\x1b\x07\n\x00") {
			t.Errorf("%s: a control character in %q", name, template.Example)
		}
	}
}
