package cleanup

import (
	"path"
	"testing"
	"time"
)

// FuzzParseList: any bytes are read without a panic, and what is taken for a
// file could be one.
func FuzzParseList(f *testing.F) {
	f.Add([]byte("64768\x0012\x005\x001700000000.1234567890\x001700000000.5\x00/var/log/a b\n.old\x00"))
	f.Add([]byte("64768\x0012\x005\x001700000000\x001\x00-rf\x00"))
	f.Add([]byte("1\x002\x00"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, out []byte) {
		files, err := parseList(out)
		if err != nil {
			return
		}
		for _, got := range files {
			if !path.IsAbs(string(got.Path)) || !digits(got.Inode) || !digits(got.Dev) {
				t.Errorf("%q was taken for a file", got.Path)
			}
			_ = choose(files, rule{Patterns: []string{"*"}, MinAge: time.Hour}, nil, time.Unix(1800000000, 0))
		}
	})
}
