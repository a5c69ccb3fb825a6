package catalogue

import (
	"errors"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
)

// The folders of a catalogue, below Source.Path.
const (
	CausesDir   = "causes"
	RunbooksDir = "runbooks"
)

// Source is the place in a Git repository where causes and runbooks are written.
type Source struct {
	URL     string // https://…, ssh://…, user@host:path, file:///…, or an absolute path
	Ref     string // branch or tag; "" means what the repository's own HEAD names
	Path    string // folder in it that holds causes/ and runbooks/; "" means its root
	Signers string // file of allowed signers (ssh-keygen(1)); "" asks for no signature of the commit
}

// Validate names every field that cannot be used.
func (s Source) Validate() error {
	var errs []error
	if _, err := s.protocol(); err != nil {
		errs = append(errs, err)
	}
	if s.Ref != "" && !isRef(s.Ref) {
		errs = append(errs, fault.New(fault.Invalid, "catalogue.git.ref: %q is not the name of a branch or a tag", s.Ref).WithField("catalogue.git.ref"))
	}
	if s.Path != "" && (!filepath.IsLocal(s.Path) || path.Clean(s.Path) != s.Path || !isPlain(s.Path)) {
		errs = append(errs, fault.New(fault.Invalid, "catalogue.git.path: %q is not a folder inside the repository", s.Path).WithField("catalogue.git.path"))
	}
	if s.Signers != "" && !filepath.IsAbs(s.Signers) {
		errs = append(errs, fault.New(fault.Invalid, "catalogue.git.signers: %q is not an absolute path", s.Signers).WithField("catalogue.git.signers"))
	}
	return errors.Join(errs...)
}

// protocol returns the one protocol that git may speak for the URL, as
// GIT_ALLOW_PROTOCOL names it (git(1)). http and git are not among them, since
// anybody on the way could change what is fetched, and neither is ext, which
// starts a program.
func (s Source) protocol() (string, error) {
	refuse := func(why string) (string, error) {
		return "", fault.New(fault.Invalid, "catalogue.git.url: %s", why).WithField("catalogue.git.url").
			WithHint("such as https://git.example/ops/catalogue.git, git@git.example:ops/catalogue.git, or an absolute path")
	}
	if !isPlain(s.URL) || s.URL == "" {
		return refuse("it is empty, or has characters that no address has")
	}
	if path.IsAbs(s.URL) {
		return "file", nil
	}
	// git's own short form of ssh; see GIT URLS in git-fetch(1).
	if regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[A-Za-z0-9_/~][^:]*$`).MatchString(s.URL) {
		return "ssh", nil
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		return refuse("it cannot be read")
	}
	if _, secret := u.User.Password(); secret {
		return refuse("it holds a password, which the process list and error messages would show; use a credential helper (gitcredentials(7)) or an SSH key")
	}
	switch {
	case u.Scheme == "file" && u.Host == "" && path.IsAbs(u.Path):
		return "file", nil
	case (u.Scheme == "https" || u.Scheme == "ssh") && u.Host != "" && !strings.HasPrefix(u.Host, "-"):
		return u.Scheme, nil
	}
	return refuse("only https, ssh and files of this machine are fetched from")
}

// isRef keeps to names that cannot be an option, a refspec or a revision
// expression; git-check-ref-format(1) allows some more.
func isRef(name string) bool {
	return regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._/+-]*$`).MatchString(name) && !strings.Contains(name, "..")
}

// isPlain reports whether text is without control characters and backslashes.
func isPlain(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' })
}
