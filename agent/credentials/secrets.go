package credentials

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/runbooks"
)

// maxSecretBytes bounds a secret: it becomes a variable of a program.
const maxSecretBytes = 64 << 10

// Secrets are the files of a folder, one a secret, named as runbooks refer to
// them. They are read each time, so that one can be replaced while the agent
// runs. It is safe for concurrent use.
type Secrets struct {
	Dir string
	// FromSystemd is of a folder that systemd made (systemd.exec(5), LoadCredential=). It lets a service that is not root read its
	// files by an access list, whose mask stat(2) shows as the group's permission.
	FromSystemd bool
}

// Has returns an error that says why the secret could not be given; it does not
// read the file. NotFound: there is none.
func (s Secrets) Has(_ context.Context, name string) error {
	path, err := s.path(name)
	if err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return s.unreadable(name, err)
	}
	if err := s.check(name, info); err != nil {
		return err
	}
	_, err = s.Get(context.Background(), name) // also whether its text can be kept out of reports
	return err
}

// Get returns the secret without the newline at its end. No error holds
// anything of it.
func (s Secrets) Get(_ context.Context, name string) (redact.Secret, error) {
	path, err := s.path(name)
	if err != nil {
		return "", err
	}
	// Without waiting for the other end of a pipe, and not through a link.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return "", fault.New(fault.Denied, "the secret %s is no regular file: %s is a link", name, path)
	}
	if err != nil {
		return "", s.unreadable(name, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return "", s.unreadable(name, err)
	}
	if err := s.check(name, info); err != nil {
		return "", err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSecretBytes+1))
	if err != nil {
		return "", s.unreadable(name, err)
	}
	return s.value(name, data)
}

func (s Secrets) path(name string) (string, error) {
	if !runbooks.IsSecretName(name) {
		return "", fault.New(fault.Invalid, "%q is not the name of a secret", name)
	}
	return filepath.Join(s.Dir, name), nil
}

func (s Secrets) unreadable(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.NotFound, "this agent has no secret %s", name).WithHint("write it into %s, mode 0600", filepath.Join(s.Dir, name))
	}
	return fmt.Errorf("read the secret %s: %w", name, err)
}

// check refuses a file that somebody else could read, or could have written.
func (s Secrets) check(name string, info fs.FileInfo) error {
	path := filepath.Join(s.Dir, name)
	others := info.Mode().Perm() & 0o077
	if s.FromSystemd {
		others &^= 0o040
	}
	owner := -1
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		owner = int(stat.Uid)
	}
	switch {
	case !info.Mode().IsRegular():
		return fault.New(fault.Denied, "the secret %s is no regular file: %s is %s", name, path, kindOf(info.Mode()))
	case owner != 0 && owner != os.Geteuid():
		return fault.New(fault.Denied, "the secret %s belongs to the user %d, neither to root nor to the agent", name, owner).WithHint("chown root %s", path)
	case others != 0:
		return fault.New(fault.Denied, "the secret %s is open to others: %s has the mode %04o", name, path, info.Mode().Perm()).WithHint("chmod 0600 %s", path)
	case info.Size() > maxSecretBytes:
		return fault.New(fault.TooLarge, "the secret %s has %d bytes, more than %d", name, info.Size(), maxSecretBytes)
	}
	return nil
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSymlink != 0:
		return "a link"
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	}
	return "a special file"
}

// value cuts the newline that editors leave. What a redactor would not find
// again is refused: nothing could keep it out of a report.
func (s Secrets) value(name string, data []byte) (redact.Secret, error) {
	if len(data) > maxSecretBytes {
		return "", fault.New(fault.TooLarge, "the secret %s has more than %d bytes", name, maxSecretBytes)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	switch {
	case !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0:
		return "", fault.New(fault.Invalid, "the secret %s is not text", name)
	case strings.Contains(string(redact.New(text).Redact([]byte(text))), text):
		return "", fault.New(fault.Invalid, "the secret %s is too short, or too common a word, to be kept out of reports", name)
	}
	return redact.Secret(text), nil
}
