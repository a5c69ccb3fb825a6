package rehearsal

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

// Bounds of what is told about one step.
const (
	maxChanges    = 500      // paths
	maxFolders    = 300      // that hold changes
	maxCompared   = 100      // files whose text is compared
	maxSmallBytes = 64 << 10 // of a file whose difference is shown
	maxDiffBytes  = 16 << 10 // of one difference
	maxArguments  = 100      // paths for one command
)

// Kind says what became of a file.
type Kind string

// The kinds of a Change.
const (
	Created Kind = "created"
	Changed Kind = "changed" // its content, its type or where a link leads
	Altered Kind = "altered" // its mode or owner alone
	Removed Kind = "removed" // with all below it
)

// Change is what became of one file, as the overlay saw it.
type Change struct {
	Path string `json:"path"`
	Kind Kind   `json:"kind"`
	Was  string `json:"was,omitempty"` // type, mode, owner and size
	Is   string `json:"is,omitempty"`
	Diff string `json:"diff,omitempty"` // of small texts, unified, redacted and bounded
}

// Changes are what became of the files since the last look.
type Changes struct {
	List []Change
	Left string // what was left out, in words; "" when nothing was
}

// entry is a file as find(1) describes it.
type entry struct {
	kind, mode, uid, gid string
	size                 int64
	inode, ctime         string
	link                 string
}

// words describe a file for people.
func (e entry) words() string {
	kinds := map[string]string{"f": "file", "d": "folder", "l": "link to " + strconv.Quote(e.link), "p": "pipe", "s": "socket", "c": "device", "b": "device"}
	text := fmt.Sprintf("%s, mode %04s, owner %s:%s", kinds[e.kind], e.mode, e.uid, e.gid)
	if e.kind == "f" {
		text += fmt.Sprintf(", %d bytes", e.size)
	}
	return text
}

// same reports whether nobody has written to the file between two looks.
func (e entry) same(other entry) bool {
	return e == other || e.kind == "d" && other.kind == "d" && e.mode == other.mode && e.uid == other.uid && e.gid == other.gid
}

// Changes returns what became of files since the last call, or since the
// beginning. The clock and the entries of a folder do not count as its own change.
func (r *Rehearsal) Changes(ctx context.Context) (Changes, error) {
	upper, err := r.upper(ctx)
	if err != nil {
		return Changes{}, err
	}
	var out Changes
	folders := upper.folders
	if len(folders) > maxFolders {
		out.leave("changes in %d more folders", len(folders)-maxFolders)
		folders = folders[:maxFolders]
	}
	was, cutWas, err := r.entries(ctx, "", folders)
	if err != nil {
		return Changes{}, err
	}
	is, cutIs, err := r.entries(ctx, tree, folders)
	if err != nil {
		return Changes{}, err
	}
	if cutWas || cutIs {
		out.leave("folders with more files than can be listed")
	}
	r.mu.Lock()
	before := r.seen
	r.mu.Unlock()
	if err := r.forgetPassing(ctx, upper, was, is); err != nil {
		return Changes{}, err
	}
	after := map[string]entry{}
	var found []Change
	for _, name := range differing(was, is, before, upper.copied) {
		if now, there := is[name]; there {
			after[name] = now
		} else {
			after[name] = entry{}
		}
		old, known := before[name]
		if known && old.same(after[name]) {
			continue
		}
		if !known {
			old = was[name]
		}
		found = append(found, Change{Path: name, Kind: kindOf(old, after[name]), Was: wordsOf(old), Is: wordsOf(after[name])})
	}
	r.mu.Lock()
	r.seen = after
	r.mu.Unlock()
	if len(found) > maxChanges {
		out.leave("%d more files", len(found)-maxChanges)
		found = found[:maxChanges]
	}
	return out, r.compareAll(ctx, &out, found, after)
}

// forgetPassing takes out of was what only the server itself has made or removed
// meanwhile. What a step has removed is marked: by its name in an upper side, or by
// a folder that was removed and made again.
func (r *Rehearsal) forgetPassing(ctx context.Context, upper written, was, is map[string]entry) error {
	var missing []string
	for name := range was {
		if _, there := is[name]; !there && !upper.copied[name] {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	var hiding []string
	for part := range slices.Chunk(upper.folders[:min(len(upper.folders), maxFolders)], maxArguments) {
		res, err := r.ask(ctx, opaqueScript, part, remote.DefaultMaxOutputBytes)
		if err == nil {
			err = res.Err()
		}
		if err != nil {
			return fmt.Errorf("ask which folders were made again: %w", err)
		}
		hiding = append(hiding, strings.Split(strings.TrimSuffix(string(res.Stdout), "\x00"), "\x00")...)
	}
	for _, name := range missing {
		if !slices.ContainsFunc(hiding, func(folder string) bool { return folder != "" && within(name, folder) }) {
			delete(was, name)
		}
	}
	return nil
}

func wordsOf(e entry) string {
	if e.kind == "" {
		return ""
	}
	return e.words()
}

func (c *Changes) leave(format string, args ...any) {
	c.Left = strings.TrimPrefix(c.Left+"; "+fmt.Sprintf(format, args...), "; ")
}

// differing returns the paths that are not as they were, in order: those that
// were made, are gone, or were copied to be written to, and those that differed
// at the last look. What the server itself changes meanwhile is in no upper side.
func differing(was, is, before map[string]entry, copied map[string]bool) []string {
	names := map[string]bool{}
	for name, e := range is {
		old, there := was[name]
		if copied[name] && (!there || !e.same(old)) {
			names[name] = true
		}
	}
	for name := range was {
		if _, there := is[name]; !there {
			names[name] = true
		}
	}
	for name := range before {
		names[name] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// kindOf tells what became of a file from two looks, of which the content is not
// known: a file that was copied and not changed is found by comparing.
func kindOf(old, now entry) Kind {
	switch {
	case now.kind == "":
		return Removed
	case old.kind == "":
		return Created
	case now.kind != "f" && now.kind == old.kind && now.link == old.link:
		return Altered
	}
	return Changed
}

// compareAll compares the texts of the files, and leaves out those that are the
// same in all that counts.
func (r *Rehearsal) compareAll(ctx context.Context, out *Changes, found []Change, now map[string]entry) error {
	compared := 0
	out.List = []Change{}
	for _, c := range found {
		if c.Kind == Removed && c.Was == "" {
			continue // made and gone between two looks
		}
		if c.Kind == Removed || now[c.Path].kind != "f" {
			out.List = append(out.List, c)
			continue
		}
		if compared++; compared > maxCompared {
			out.List = append(out.List, c)
			continue
		}
		same, diff, err := r.compare(ctx, c.Path)
		if err != nil {
			return err
		}
		c.Diff = diff
		if same && c.Kind == Changed {
			c.Kind = Altered
		}
		if c.Kind != Altered || c.Was != c.Is {
			out.List = append(out.List, c)
		}
	}
	if compared > maxCompared {
		out.leave("the texts of %d files", compared-maxCompared)
	}
	return nil
}

func (r *Rehearsal) compare(ctx context.Context, name string) (same bool, diff string, err error) {
	res, err := r.ask(ctx, compareScript, []string{name, strconv.Itoa(maxSmallBytes), strconv.Itoa(maxDiffBytes)}, 2*maxDiffBytes)
	if err != nil {
		return false, "", err
	}
	if res.ExitCode > 1 || res.Signal != "" {
		return false, "", fmt.Errorf("compare %s: %w", name, res.Err())
	}
	diff = strings.ToValidUTF8(string(res.Stdout), "\uFFFD")
	if len(res.Stdout) >= maxDiffBytes {
		diff += "\n[cut here]\n"
	}
	return res.ExitCode == 0, diff, nil
}

// tree is the tree for writing, as the pristine one names it.
const tree = "/run/s"

// written is what the upper sides of the overlays hold.
type written struct {
	folders []string // also those that only lead to changes
	copied  map[string]bool
}

func (r *Rehearsal) upper(ctx context.Context) (written, error) {
	res, err := r.ask(ctx, listScript, nil, remote.MaxOutputBytes)
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return written{}, fmt.Errorf("list what was written: %w", err)
	}
	if res.Truncated {
		return written{}, fault.New(fault.TooLarge, "more files were written than can be listed")
	}
	return parseWritten(res.Stdout)
}

// parseWritten reads what listScript printed: "=POINT", and below it "TYPE PATH".
func parseWritten(out []byte) (written, error) {
	w := written{copied: map[string]bool{}}
	point := ""
	for field := range bytes.SplitSeq(bytes.TrimSuffix(out, []byte{0}), []byte{0}) {
		text := string(field)
		if at, ok := strings.CutPrefix(text, "="); ok && path.IsAbs(at) {
			point = at
			continue
		}
		kind, name, ok := strings.Cut(text, " ")
		if !ok || len(kind) != 1 || point == "" {
			return w, fault.New(fault.Internal, "%q is no file that was written", text)
		}
		name = path.Join(point, name)
		w.copied[name] = true
		if kind == "d" {
			w.folders = append(w.folders, name)
		}
	}
	slices.Sort(w.folders)
	return w, nil
}

// entries lists the folders in the pristine tree ("") or the one for writing.
func (r *Rehearsal) entries(ctx context.Context, in string, folders []string) (all map[string]entry, cut bool, err error) {
	all = map[string]entry{}
	for part := range slices.Chunk(folders, maxArguments) {
		args := append([]string{in}, part...)
		res, err := r.ask(ctx, entriesScript, args, remote.MaxOutputBytes)
		if err == nil && !onlyGone(res) {
			err = res.Err()
		}
		if err != nil {
			return nil, false, fmt.Errorf("list what was there: %w", err)
		}
		cut = cut || res.Truncated
		if err := parseEntries(all, in, res.Stdout); err != nil {
			return nil, false, err
		}
	}
	return all, cut, nil
}

// onlyGone reports whether find failed for nothing but files that the server itself
// has removed meanwhile: an overlay lists them still.
func onlyGone(res remote.Result) bool {
	for line := range strings.Lines(string(res.Stderr)) {
		if !strings.HasSuffix(line, ": No such file or directory\n") {
			return false
		}
	}
	return res.ExitCode == 1 && len(res.Stderr) > 0
}

// own are places of a rehearsal's own, whose entries on the server mean nothing.
func own(name string) bool {
	if name == "/run" || name == "/run/lock" {
		return true
	}
	return slices.ContainsFunc([]string{"/proc", "/sys", "/dev"}, func(point string) bool { return within(name, point) })
}

// parseEntries reads what entriesScript printed: three fields for each file, of
// which a last one that was cut does not count.
func parseEntries(into map[string]entry, in string, out []byte) error {
	fields := strings.Split(string(out), "\x00")
	for i := 0; i+3 < len(fields); i += 3 {
		f := strings.Fields(fields[i])
		name, ok := strings.CutPrefix(fields[i+1], in)
		if len(f) != 7 || !ok || !path.IsAbs(name) {
			return fault.New(fault.Internal, "%q is no file", fields[i])
		}
		size, err := strconv.ParseInt(f[4], 10, 64)
		if err != nil {
			return fault.New(fault.Internal, "%q is no size", f[4])
		}
		name = path.Clean(name)
		if !own(name) && (in != "" || !within(name, "/run")) {
			into[name] = entry{kind: f[0], mode: f[1], uid: f[2], gid: f[3], size: size, inode: f[5], ctime: f[6], link: fields[i+2]}
		}
	}
	return nil
}

// ask runs one of the scripts that look, outside of the tree for writing: a step
// may have changed the programs in that.
func (r *Rehearsal) ask(ctx context.Context, script string, args []string, limit int) (remote.Result, error) {
	argv := append(append(r.enter(script), r.token), args...)
	return r.judge(r.server.Run(ctx, remote.Command{Argv: argv, As: r.as, MaxOutputBytes: limit}))
}
