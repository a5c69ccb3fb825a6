package cleanup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
)

// file is one file as find(1) saw it. A name is only where it was. Inode
// numbers are given again to new files, and mtime can be set by anybody; the
// time of the inode's last change (ctime, inode(7)) cannot be set, and moves
// with every write, rename and link. The path is bytes, because file names need
// not be UTF-8 and JSON would change them.
type file struct {
	Path  []byte `json:"path"`
	Dev   string `json:"dev"`
	Inode string `json:"inode"`
	Size  int64  `json:"size"`
	MTime string `json:"mtime"` // "seconds.fraction", as printed
	CTime string `json:"ctime"`
}

// listFormat prints a file as its fields, each ended by a zero byte, which no
// file name can hold.
const (
	listFormat = `%D\0%i\0%s\0%T@\0%C@\0%p\0`
	listFields = 6
)

// parseList reads what find printed in listFormat.
func parseList(out []byte) ([]file, error) {
	if len(out) == 0 {
		return nil, nil
	}
	fields := bytes.Split(out, []byte{0})
	if len(fields)%listFields != 1 || len(fields[len(fields)-1]) != 0 {
		return nil, fault.New(fault.Internal, "find printed half a file")
	}
	var files []file
	for f := range slices.Chunk(fields[:len(fields)-1], listFields) {
		size, err := strconv.ParseInt(string(f[2]), 10, 64)
		if err != nil {
			return nil, fault.Wrap(fault.Internal, err, "read the size of %q", f[5])
		}
		got := file{
			Path: bytes.Clone(f[5]), Dev: string(f[0]), Inode: string(f[1]), Size: size, MTime: string(f[3]), CTime: string(f[4]),
		}
		numbers := digits(got.Dev) && digits(got.Inode) && seconds(got.MTime) && seconds(got.CTime)
		if !numbers || !path.IsAbs(string(got.Path)) {
			return nil, fault.New(fault.Internal, "find printed %q, which is no file", f)
		}
		files = append(files, got)
	}
	return files, nil
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func seconds(s string) bool { return digits(strings.Replace(s, ".", "", 1)) }

// inode is what must still hold of a planned file under any name.
func (f file) inode() string { return f.Dev + ":" + f.Inode + ":" + f.MTime }

// identity is what must still hold of it where it was.
func (f file) identity() string { return f.inode() + ":" + f.CTime + ":" + string(f.Path) }

// mark stands for the file, as it is now, in a plan. It is a digest because a
// plan travels: sixteen bytes are more than anybody finds a second file for.
func (f file) mark() string {
	sum := sha256.Sum256([]byte(strconv.FormatInt(f.Size, 10) + ":" + f.identity()))
	return hex.EncodeToString(sum[:16])
}

func (f file) modified() time.Time {
	whole, fraction, _ := strings.Cut(f.MTime, ".")
	seconds, _ := strconv.ParseInt(whole, 10, 64)
	nanos, _ := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
	return time.Unix(seconds, nanos).UTC()
}

// choose returns the files that the rule gives up, oldest first. Of the files
// that match, the newest stay whatever their age.
func choose(all []file, r rule, open map[string]bool, now time.Time) []file {
	var matching []file
	for _, f := range all {
		if slices.ContainsFunc(r.Patterns, func(p string) bool {
			ok, _ := path.Match(p, path.Base(string(f.Path)))
			return ok
		}) {
			matching = append(matching, f)
		}
	}
	slices.SortFunc(matching, func(a, b file) int {
		if c := a.modified().Compare(b.modified()); c != 0 {
			return c
		}
		return bytes.Compare(a.Path, b.Path)
	})
	chosen := []file{}
	for _, f := range matching[:max(0, len(matching)-r.Keep)] {
		if now.Sub(f.modified()) >= r.MinAge && !open[string(f.Path)] {
			chosen = append(chosen, f)
		}
	}
	return chosen
}

// diff lists the files. Their times of change stay the same while nobody
// touches them, their ages do not.
func diff(files []file, left int) string {
	var b strings.Builder
	for _, f := range files {
		fmt.Fprintf(&b, "-%q %d bytes, modified %s\n", f.Path, f.Size, f.modified().Format(time.RFC3339))
	}
	if left > 0 {
		fmt.Fprintf(&b, " and %d more, which stay: at most %d files go at once\n", left, maxFiles)
	}
	return b.String()
}
