package runbooks_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/internal/remote/rehearsal"
	"github.com/secondline-ops/secondline/runbooks"
)

func TestTouchCoversFiles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		touch runbooks.Touch
		file  string
		want  bool
	}{
		{runbooks.Touch{Kind: runbooks.TouchFile, Name: "/a/b"}, "/a/b", true},
		{runbooks.Touch{Kind: runbooks.TouchFile, Name: "/a/*.log"}, "/a/b.log", true},
		{runbooks.Touch{Kind: runbooks.TouchFile, Name: "/a/*"}, "/a/b/c", false},
		{runbooks.Touch{Kind: runbooks.TouchFile, Name: "/a"}, "/a/b", false},
		{runbooks.Touch{Kind: runbooks.TouchFile, Name: "/a/[b"}, "/a/[b", true},
		{runbooks.Touch{Kind: runbooks.TouchFile, Name: "/a/[b"}, "/a/b", false},
		{runbooks.Touch{Kind: runbooks.TouchMount, Name: "/a"}, "/a", false},
	} {
		if got := c.touch.Covers(c.file); got != c.want {
			t.Errorf("%s covers %s: %v", c.touch, c.file, got)
		}
	}
}

// What a host says cannot pass for a line of ours, nor move the cursor.
func TestRenderedRehearsal(t *testing.T) {
	t.Parallel()
	r := runbooks.Rehearsal{Absent: []string{"/mnt/n\nfs"}, Steps: []runbooks.RehearsedStep{
		{
			ID: "add", Action: "run", Status: runbooks.RehearsalFailed, Why: "exit status 4: \x1b[2Jwhy", ExitCode: 4, Took: 1234567 * time.Microsecond,
			Measured: []string{"log.n == 2 is false"}, Warnings: []string{"/x was created"},
			Transcript: []runbooks.Exchange{{Stdout: strings.Repeat("line\n", 50), Stderr: "\x1b[31mred\n"}},
			Files: []rehearsal.Change{
				{Path: "/etc/a\nb", Kind: rehearsal.Changed, Was: "was", Is: "is", Diff: "--- a\n+++ a\n+2. fake (run): passed\n"},
				{Path: "/gone", Kind: rehearsal.Removed, Was: "file"},
				{Path: "/new", Kind: rehearsal.Created, Is: "folder"},
			},
		},
		{ID: "edit", Action: "file", Status: runbooks.RehearsalPassed, Changed: "replaced", Transcript: []runbooks.Exchange{{Stdout: "of a script of ours"}}},
		{ID: "restart", Action: "unit", Status: runbooks.RehearsalNotDone, Why: "unit acts on more than files"},
	}}
	want := `rehearsal: nothing of it was kept
  without   /mnt/n\x0afs

1. add (run): failed, exit status 4: \x1b[2Jwhy
   ended     exit status 4 after 1.235s
   measured  log.n == 2 is false
   WARNING   /x was created
` + strings.Repeat("   > line\n", 40) + `   > … and 11 more lines
   changed   /etc/a\x0ab: was -> is
   | --- a
   | +++ a
   | +2. fake (run): passed
   removed   /gone: file
   created   /new: folder

2. edit (file): passed
   ended     exit status 0 after 0s
   did       replaced

3. restart (unit): not rehearsed, unit acts on more than files
`
	if diff := cmp.Diff(want, r.Render()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r.Absent = make([]string, 20)
	if text := r.Render(); !strings.Contains(text, "without   12 more file systems\n") || !r.Failed() {
		t.Error(text)
	}
	r.Steps = r.Steps[1:]
	if r.Failed() {
		t.Error("nothing failed")
	}
}
