package process

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// maxCandidates bounds the processes whose command line holds all words of a
// match, and which are then looked at one by one.
const maxCandidates = 32

// ticksPerSecond is USER_HZ, in which /proc/PID/stat counts on every
// architecture that this project builds for (asm-generic/param.h).
const ticksPerSecond = 100

// find returns the one process that is meant.
func (w with) find(ctx context.Context, env *engine.Env) (reading, error) {
	words, err := w.words(ctx, env)
	if err != nil {
		return reading{}, err
	}
	uid, err := w.uid(ctx, env)
	if err != nil {
		return reading{}, err
	}
	pids, file, err := w.candidates(ctx, env, words)
	if err != nil {
		return reading{}, err
	}
	var found []reading
	for _, pid := range pids {
		r, err := look(ctx, env, pid)
		if err != nil { // perhaps it just ended, which the next look tells
			r, err = look(ctx, env, pid)
		}
		if err != nil {
			return reading{}, err
		}
		fits, err := r.fits(words, uid)
		if err != nil {
			return reading{}, err
		}
		if fits {
			found = append(found, r)
		}
	}
	switch {
	case len(found) == 0:
		return reading{}, fault.New(fault.NotFound, "there is no process that is meant by %s", w.described(words, pids))
	case len(found) > 1:
		list := []int{}
		for _, r := range found {
			list = append(list, r.PID)
		}
		return reading{}, fault.New(fault.Denied, "%d processes are meant by %s: %d", len(found), w.described(words, nil), list).
			WithHint("make match longer, or add user; a signal goes to one process")
	}
	if file != nil {
		return found[0], file.vouchesFor(found[0])
	}
	return found[0], nil
}

// fits reports whether the process is there, and what was said of it is true.
func (r reading) fits(words []string, uid *uint32) (bool, error) {
	if r.gone() || uid != nil && r.UID != *uid {
		return false, nil
	}
	for i, word := range words {
		switch {
		case i < len(r.Argv) && r.Argv[i] == word:
		case i < len(r.Argv) && strings.Contains(r.Argv[i], "[redacted"):
			return false, fault.New(fault.Denied, "whether process %d is meant cannot be told: its command line holds a secret there", r.PID).
				WithHint("make match shorter, so that it ends before the secret")
		default:
			return false, nil
		}
	}
	return true, nil
}

func (w with) described(words []string, pids []int) string {
	var parts []string
	if w.pid != nil || w.pidFile != nil {
		parts = append(parts, fmt.Sprintf("pid %d", pids))
	}
	if len(words) > 0 {
		parts = append(parts, fmt.Sprintf("match %q", words))
	}
	if w.user != nil {
		parts = append(parts, "user "+w.user.Source())
	}
	return strings.Join(parts, ", ")
}

// candidates returns the numbers that may be those of the process.
func (w with) candidates(ctx context.Context, env *engine.Env, words []string) ([]int, *pidFile, error) {
	switch {
	case w.pid != nil:
		text, err := w.pid.Render(ctx, env.Vars)
		if err != nil {
			return nil, nil, err
		}
		if err := checkPID(text); err != nil {
			return nil, nil, fault.New(fault.Invalid, "%v", err)
		}
		pid, err := strconv.Atoi(text)
		return []int{pid}, nil, err
	case w.pidFile != nil:
		name, err := w.pidFile.Render(ctx, env.Vars)
		if err != nil {
			return nil, nil, err
		}
		f, err := readPIDFile(ctx, env, name)
		if err != nil {
			return nil, nil, err
		}
		return []int{f.pid}, &f, nil
	}
	pids, err := grep(ctx, env, words)
	return pids, nil, err
}

// words are the beginning of the command line that is looked for.
func (w with) words(ctx context.Context, env *engine.Env) ([]string, error) {
	var words []string
	for _, t := range w.match {
		more, err := engine.RenderElement(ctx, t, env.Vars)
		if err != nil {
			return nil, err
		}
		words = append(words, more...)
	}
	if w.match != nil && (len(words) == 0 || words[0] == "" || len(words) > maxMatchWords) {
		return nil, fault.New(fault.Invalid, "match is %q, and not 1 to %d words that begin with a program", words, maxMatchWords)
	}
	for _, word := range words {
		if err := checkWord(word); err != nil {
			return nil, fault.New(fault.Invalid, "%v", err)
		}
	}
	return words, nil
}

// uid is the number of the user who is named, nil when none is.
func (w with) uid(ctx context.Context, env *engine.Env) (*uint32, error) {
	if w.user == nil {
		return nil, nil //nolint:nilnil // nobody is named, which is no error
	}
	name, err := w.user.Render(ctx, env.Vars)
	if err != nil {
		return nil, err
	}
	if err := checkUser(name); err != nil {
		return nil, fault.New(fault.Invalid, "%v", err)
	}
	res, err := env.Read(ctx, "id", "-u", "--", name)
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("find user %s: %w", name, err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(res.Stdout)), 10, 32)
	if err != nil {
		return nil, fmt.Errorf("find user %s: %w", name, err)
	}
	uid := uint32(n)
	return &uid, nil
}

// grepScript prints the files of all command lines that hold every word, as one
// of their arguments. It finds itself, too, which is gone when it is looked at.
const grepScript = `
files=$(echo /proc/[0-9]*/cmdline)
for word; do
	files=$(grep -lszxF -e "$word" $files </dev/null)
	[ -n "$files" ] || exit 0
done
printf '%s\n' $files
`

func grep(ctx context.Context, env *engine.Env, words []string) ([]int, error) {
	res, err := env.Read(ctx, append([]string{"sh", "-c", grepScript, "sh"}, words...)...)
	if err == nil {
		err = res.Err()
	}
	if err == nil && res.Truncated {
		err = fault.New(fault.TooLarge, "they are more than can be listed")
	}
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	pids := []int{}
	for name := range strings.FieldsSeq(string(res.Stdout)) {
		pid, err := strconv.Atoi(path.Base(path.Dir(name)))
		if err != nil {
			return nil, fault.New(fault.Internal, "the list of processes holds %q", name)
		}
		pids = append(pids, pid)
	}
	if len(pids) > maxCandidates {
		return nil, fault.New(fault.Denied, "%d processes have %q among their arguments, more than %d", len(pids), words, maxCandidates).
			WithHint("make match longer")
	}
	return pids, nil
}

// pidFile is a file in which a service left its number.
type pidFile struct {
	name      string
	pid       int
	owner     uint32
	anybody   bool  // others than its owner may write it
	writtenAt int64 // seconds since 1970
}

func readPIDFile(ctx context.Context, env *engine.Env, name string) (pidFile, error) {
	if err := checkPath(name); err != nil {
		return pidFile{}, fault.New(fault.Invalid, "%v", err)
	}
	res, err := env.Read(ctx, "stat", "-L", "-c", "%u %f %Y", "--", name)
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return pidFile{}, fmt.Errorf("look at %s: %w", name, err)
	}
	f := pidFile{name: name}
	var mode uint32
	if _, err := fmt.Sscanf(string(res.Stdout), "%d %x %d\n", &f.owner, &mode, &f.writtenAt); err != nil {
		return pidFile{}, fmt.Errorf("look at %s: %w", name, err)
	}
	const regular, groupAndOthersWrite = 0x8000, 0o022 // inode(7)
	if mode&0xF000 != regular {
		return pidFile{}, fault.New(fault.Denied, "%s is not a regular file", name)
	}
	f.anybody = mode&groupAndOthersWrite != 0
	if res, err = env.Read(ctx, "head", "-c", "64", "--", name); err == nil {
		err = res.Err()
	}
	if err != nil {
		return pidFile{}, fmt.Errorf("read %s: %w", name, err)
	}
	first, _, _ := strings.Cut(string(res.Stdout), "\n")
	first = strings.TrimSpace(first)
	if err := checkPID(first); err != nil {
		return pidFile{}, fault.New(fault.Denied, "the first line of %s: %v", name, err)
	}
	f.pid, err = strconv.Atoi(first)
	return f, err
}

// vouchesFor refuses a file that may speak of another process: one that was
// written before the process began, or by somebody whose process it is not, who
// would have us signal somebody else's.
func (f pidFile) vouchesFor(r reading) error {
	const slack = 2 // seconds: both times are rounded
	began := r.BootedAt + int64(r.Start/ticksPerSecond)
	switch {
	case f.owner != 0 && f.owner != r.UID:
		return fault.New(fault.Denied, "%s belongs to uid %d, and process %d to uid %d", f.name, f.owner, r.PID, r.UID)
	case f.anybody:
		return fault.New(fault.Denied, "%s may be written by others than its owner", f.name)
	case began > f.writtenAt+slack:
		return fault.New(fault.Denied, "process %d began after %s was written, so that its number may have been used again", r.PID, f.name).
			WithHint("name the process by match instead")
	}
	return nil
}

// checkPID takes what the kernel gives as numbers (PID_MAX_LIMIT is 2^22,
// linux/threads.h), but for that of init.
func checkPID(text string) error {
	if !regexp.MustCompile(`^[1-9][0-9]{0,6}$`).MatchString(text) {
		return fmt.Errorf("%q is no process id", text)
	}
	if text == "1" {
		return fmt.Errorf("process 1 is init, and is never signalled")
	}
	return nil
}

func checkPath(name string) error {
	if !path.IsAbs(name) || path.Clean(name) != name || strings.ContainsRune(name, 0) {
		return fmt.Errorf("%q is not a clean absolute path", name)
	}
	return nil
}

func checkUser(name string) error {
	if !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.@$-]{0,63}$`).MatchString(name) {
		return fmt.Errorf("%q is not the name of a user", name)
	}
	return nil
}

// checkWord refuses what grep would take for two words.
func checkWord(word string) error {
	if slices.ContainsFunc([]byte(word), func(b byte) bool { return b == 0 || b == '\n' }) {
		return fmt.Errorf("%q holds a line feed or a NUL, and cannot be looked for", word)
	}
	return nil
}
