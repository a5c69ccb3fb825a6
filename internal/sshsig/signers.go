package sshsig

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/secondline-ops/secondline/internal/fault"
)

// maxSignersBytes bounds a file of allowed signers.
const maxSignersBytes = 1 << 20

// Signer is somebody who may sign, with the key that is theirs.
type Signer struct {
	Principals  string    // as the file has them: "ada@example.com"
	ValidAfter  time.Time // zero: since ever
	ValidBefore time.Time // zero: for ever
	Key         PublicKey

	namespaces []string // patterns; none means all
}

// Signers is a file of allowed signers, as ssh-keygen(1) describes it. It does
// not change and is safe for concurrent use.
type Signers struct{ list []Signer }

// ParseSigners reads the file; dates without Z are of the location. Lines with
// other keys than Ed25519 are passed over, since no signature of theirs is
// accepted. A line that cannot be read, and one with an authority
// (cert-authority), is a fault of kind Invalid.
func ParseSigners(data []byte, here *time.Location) (*Signers, error) {
	if len(data) > maxSignersBytes {
		return nil, fault.New(fault.TooLarge, "the file of allowed signers has %d bytes, more than %d", len(data), maxSignersBytes)
	}
	s := &Signers{}
	var errs []error
	number := 0
	for line := range bytes.Lines(data) {
		number++
		text := strings.TrimSpace(string(line))
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		signer, err := parseSigner(text, here)
		switch {
		case err != nil:
			errs = append(errs, fault.Wrap(fault.Invalid, err, "line %d of the allowed signers", number))
		case signer.Key.key.Type() == ssh.KeyAlgoED25519:
			s.list = append(s.list, signer)
		}
	}
	return s, errors.Join(errs...)
}

// parseSigner reads "principals [options] keytype key [comment]".
func parseSigner(line string, here *time.Location) (Signer, error) {
	principals, rest, ok := strings.Cut(line, " ")
	if quoted, isQuoted := strings.CutPrefix(line, `"`); isQuoted {
		principals, rest, ok = strings.Cut(quoted, `"`)
	}
	if !ok || principals == "" {
		return Signer{}, errors.New("there is no key behind the name")
	}
	key, _, options, more, err := ssh.ParseAuthorizedKey([]byte(strings.TrimSpace(rest)))
	if err != nil || len(more) > 0 {
		return Signer{}, errors.New("it has no key that can be read")
	}
	signer := Signer{Principals: principals, Key: PublicKey{key}}
	for _, option := range options {
		name, value, _ := strings.Cut(option, "=")
		value = strings.Trim(value, `"`)
		switch strings.ToLower(name) { // ssh-keygen takes them in any case
		case "namespaces":
			signer.namespaces = strings.Split(value, ",")
		case "valid-after":
			signer.ValidAfter, err = parseTime(value, here)
		case "valid-before":
			signer.ValidBefore, err = parseTime(value, here)
		default:
			err = fmt.Errorf("option %q is not supported", name)
		}
		if err != nil {
			return Signer{}, err
		}
	}
	return signer, nil
}

// parseTime reads YYYYMMDD[HHMM[SS]][Z].
func parseTime(text string, here *time.Location) (time.Time, error) {
	digits, utc := strings.CutSuffix(text, "Z")
	if utc {
		here = time.UTC
	}
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(digits) == len(layout) {
			return time.ParseInLocation(layout, digits, here)
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a date such as 20270131 or 20270131120000Z", text)
}

// Find returns the signer whose key it is, if that may sign for the namespace at
// the time. Everything else is a fault of kind Denied that says why.
func (s *Signers) Find(key PublicKey, namespace string, at time.Time) (Signer, error) {
	why := fault.New(fault.Denied, "it is signed by %s, which is no allowed signer", key.Fingerprint())
	for _, signer := range s.list {
		switch {
		case !signer.Key.Equal(key):
		case !signer.maySignFor(namespace):
			why = fault.New(fault.Denied, "%s may not sign for %s", signer.Principals, namespace)
		case !signer.ValidAfter.IsZero() && at.Before(signer.ValidAfter):
			why = fault.New(fault.Denied, "the key of %s counts only from %s on", signer.Principals, signer.ValidAfter.UTC().Format(time.RFC3339))
		case !signer.ValidBefore.IsZero() && at.After(signer.ValidBefore):
			why = fault.New(fault.Denied, "the key of %s has expired on %s", signer.Principals, signer.ValidBefore.UTC().Format(time.RFC3339))
		default:
			return signer, nil
		}
	}
	return Signer{}, why
}

// maySignFor compares with the patterns: * and ?, and ! before one that may not.
func (s Signer) maySignFor(namespace string) bool {
	found := len(s.namespaces) == 0
	for _, pattern := range s.namespaces {
		pattern, not := strings.CutPrefix(strings.TrimSpace(pattern), "!")
		if ok, err := path.Match(pattern, namespace); err != nil || !ok {
			continue
		}
		if not {
			return false
		}
		found = true
	}
	return found
}
