package bundle

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/sshsig"
)

// SignatureState says what is known of who made a bundle.
type SignatureState string

// The states of a signature.
const (
	SignatureValid SignatureState = "valid"    // made by one of the given keys
	SignatureNoKey SignatureState = "no_key"   // consistent, but by a key that is not among the given ones
	SignatureNone  SignatureState = "unsigned" // there is none: anybody may have made or changed the bundle
	SignatureBad   SignatureState = "bad"      // it does not fit the manifest
)

// maxProblems is how many problems are named; a hostile bundle can have any number.
const maxProblems = 100

// Check is what a bundle is verified with.
type Check struct {
	Probes  *diagnostics.ProbeSet
	Keys    []sshsig.PublicKey // that are trusted
	Version string             // of the tool that verifies
}

// Result is what Verify found.
type Result struct {
	Signature  SignatureState      `json:"signature"`
	Signer     string              `json:"signer"`     // fingerprint; "" when unsigned or bad
	WrittenBy  string              `json:"written_by"` // version of the tool, as the manifest says
	Uncompared []string            `json:"uncompared"` // files with wording of another version, which differs from ours
	Problems   []string            `json:"problems"`
	Claims     []diagnostics.Claim `json:"claims"`
}

// Intact reports whether the bundle contradicts itself nowhere: every file is
// as the manifest says and as the bundle's own records give it, every claim
// holds, and the signature is not bad. Who made it, it does not say: a bundle
// that somebody made up from beginning to end can be intact.
func (r Result) Intact() bool {
	return len(r.Problems) == 0 && r.Held() == len(r.Claims) && r.Signature != SignatureBad
}

// Verified reports whether the bundle is intact and signed by one of the given keys.
func (r Result) Verified() bool { return r.Intact() && r.Signature == SignatureValid }

// VerifiedUnsigned reports whether the bundle is as good as one without a
// trusted signature can be: intact, with every word compared. What another
// version worded, only a signature can vouch for.
func (r Result) VerifiedUnsigned() bool { return r.Intact() && len(r.Uncompared) == 0 }

// Held returns how many claims hold.
func (r Result) Held() int {
	n := 0
	for _, c := range r.Claims {
		if c.Holds {
			n++
		}
	}
	return n
}

// String says it in one line: "41 of 41 claims hold, all files intact, signature valid".
func (r Result) String() string {
	claims := fmt.Sprintf("%d of %d claims hold", r.Held(), len(r.Claims))
	if len(r.Claims) == 0 {
		claims = "it makes no claim, so nothing in it is proven"
	}
	files := "all files intact"
	if n := len(r.Problems); n > 0 {
		files = fmt.Sprintf("%d problems", n)
	}
	if len(r.Uncompared) > 0 {
		files += fmt.Sprintf(", written by version %s: rendered text not compared", r.WrittenBy)
	}
	return fmt.Sprintf("%s, %s, signature %s", claims, files, strings.ReplaceAll(string(r.Signature), "_", " "))
}

// Verify checks everything that can be checked without the controller: the
// signature, the digest of each file, that report, plans, transcripts and
// manifest are what the records in the bundle give when they are made again,
// and each claim of the diagnosis, made again from the raw bytes with the
// causes in the bundle. It is pure.
func Verify(b *Bundle, c Check) Result {
	v := verifier{b: b, check: c, result: Result{
		WrittenBy: b.manifest.Version, Uncompared: []string{}, Problems: []string{}, Claims: []diagnostics.Claim{},
	}}
	v.signature()
	v.items()
	if s, ok := v.sources(); ok {
		v.rebuild(s)
		v.claims(s.input)
	}
	return v.result
}

type verifier struct {
	b      *Bundle
	check  Check
	result Result
}

func (v *verifier) problem(format string, args ...any) {
	switch n := len(v.result.Problems); {
	case n < maxProblems:
		v.result.Problems = append(v.result.Problems, fmt.Sprintf(format, args...))
	case n == maxProblems:
		v.result.Problems = append(v.result.Problems, "there are more problems, which are not named")
	}
}

func (v *verifier) signature() {
	if v.b.signature == nil {
		v.result.Signature = SignatureNone
		return
	}
	signer, err := sshsig.Verify(v.b.signature, v.b.sealed, Namespace)
	if err != nil {
		v.result.Signature = SignatureBad
		v.problem("the signature does not fit %s: %v", manifestFile, err)
		return
	}
	v.result.Signature, v.result.Signer = SignatureNoKey, signer.Fingerprint()
	if slices.ContainsFunc(v.check.Keys, signer.Equal) {
		v.result.Signature = SignatureValid
	}
}

func (v *verifier) items() {
	listed := map[string]bool{}
	for _, item := range v.b.manifest.Items {
		data, ok := v.b.files[item.Path]
		switch {
		case listed[item.Path]:
			v.problem("%q is in the manifest twice", item.Path)
		case !ok:
			v.problem("%q is in the manifest and missing", item.Path)
		case len(data) != item.Bytes || hexDigest(data) != item.SHA256:
			v.problem("%q is not as the manifest says", item.Path)
		}
		listed[item.Path] = true
	}
	for _, name := range v.b.Files() {
		if !listed[name] {
			v.problem("%q is not in the manifest", name)
		}
	}
}

// claims makes each claim of the diagnosis again.
func (v *verifier) claims(in Input) {
	facts := v.withData(in.Facts)
	d := in.Incident.Diagnosis
	if d == nil {
		return
	}
	cat, err := diagnostics.NewCatalogue(v.causes())
	if err != nil {
		v.problem("the causes cannot be used: %v", err)
		return
	}
	v.result.Claims = diagnostics.Recheck(cat, v.check.Probes, roundOf(facts, *d), in.Subject(), *d)
}

// withData returns the facts with their bytes, as far as they are here. Whether
// they have the digest that the fact cites is checked here for all facts;
// Recheck looks only at those that its claims rest on.
func (v *verifier) withData(facts []diagnostics.Fact) []diagnostics.Fact {
	whole := slices.Clone(facts)
	for i := range whole {
		whole[i].Raws = slices.Clone(whole[i].Raws)
		for j := range whole[i].Raws {
			raw := &whole[i].Raws[j]
			data, ok := v.b.files[rawPath(raw.SHA256)]
			if !ok {
				continue // named in left_out; a claim that needs it will not hold
			}
			raw.Data = data
			if hexDigest(data) != raw.SHA256 {
				v.problem("%q of fact %s does not have the digest that the fact cites", raw.Name, whole[i].ID)
			}
		}
	}
	return whole
}

// roundOf returns the facts that the diagnosis was made of. A controller marks
// the facts of one round with a common prefix, "3:disk.usage#1"; those of other
// rounds were not known to it.
func roundOf(facts []diagnostics.Fact, d diagnostics.Diagnosis) []diagnostics.Fact {
	round, _, ok := strings.Cut(firstCited(d), ":")
	if !ok {
		return facts
	}
	return slices.DeleteFunc(slices.Clone(facts), func(f diagnostics.Fact) bool { return !strings.HasPrefix(f.ID, round+":") })
}

// firstCited returns a fact that the diagnosis cites, "" when it cites none.
func firstCited(d diagnostics.Diagnosis) string {
	for _, h := range d.Hypotheses {
		for _, e := range slices.Concat(h.For, h.Against, h.CannotTell) {
			if len(e.Facts) > 0 {
				return e.Facts[0]
			}
		}
	}
	return ""
}

func (v *verifier) causes() []*diagnostics.Cause {
	causes := []*diagnostics.Cause{}
	for _, name := range v.b.Files() {
		if path.Dir(name) != "causes" {
			continue
		}
		cause, err := diagnostics.ParseCause(path.Base(name), v.b.files[name], v.check.Probes)
		if err != nil {
			v.problem("%q cannot be read with the probes that are here: %v", name, err)
			continue
		}
		causes = append(causes, cause)
	}
	return causes
}
