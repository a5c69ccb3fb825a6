package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/controller/incident"
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

// Result is what Verify found.
type Result struct {
	Signature SignatureState      `json:"signature"`
	Signer    string              `json:"signer"` // fingerprint; "" when unsigned or bad
	Problems  []string            `json:"problems"`
	Claims    []diagnostics.Claim `json:"claims"`
}

// Intact reports whether every file is as the manifest says, every claim holds,
// and the signature is not bad. It does not say that the signer is trusted.
func (r Result) Intact() bool {
	return len(r.Problems) == 0 && r.Held() == len(r.Claims) && r.Signature != SignatureBad
}

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
	files := "all files intact"
	if n := len(r.Problems); n > 0 {
		files = fmt.Sprintf("%d problems with files", n)
	}
	return fmt.Sprintf("%d of %d claims hold, %s, signature %s", r.Held(), len(r.Claims), files, strings.ReplaceAll(string(r.Signature), "_", " "))
}

// Verify checks everything that can be checked without the controller: the
// signature, the digest of each file, the raw digests of each fact, that the
// report names the diagnosis, and each claim of the diagnosis, made again from
// the raw bytes with the causes in the bundle.
func Verify(b *Bundle, probes *diagnostics.ProbeSet, keys []sshsig.PublicKey) Result {
	v := verifier{b: b, probes: probes, result: Result{Problems: []string{}, Claims: []diagnostics.Claim{}}}
	v.signature(keys)
	v.items()
	v.content()
	return v.result
}

type verifier struct {
	b      *Bundle
	probes *diagnostics.ProbeSet
	result Result
}

func (v *verifier) problem(format string, args ...any) {
	v.result.Problems = append(v.result.Problems, fmt.Sprintf(format, args...))
}

func (v *verifier) signature(keys []sshsig.PublicKey) {
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
	if slices.ContainsFunc(keys, signer.Equal) {
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

func (v *verifier) content() {
	var in incident.Incident
	var subject diagnostics.Subject
	var report Report
	facts := []diagnostics.Fact{}
	for name, into := range map[string]any{"incident.json": &in, "subject.json": &subject, "report.json": &report} {
		if err := json.Unmarshal(v.b.files[name], into); err != nil {
			v.problem("%q cannot be read: %v", name, err)
		}
	}
	d := json.NewDecoder(bytes.NewReader(v.b.files["facts.jsonl"]))
	for {
		var f diagnostics.Fact
		err := d.Decode(&f)
		if err == io.EOF {
			break
		}
		if err != nil {
			v.problem("%q cannot be read: %v", "facts.jsonl", err)
			break
		}
		facts = append(facts, f)
	}
	v.raws(facts)
	if in.Diagnosis == nil {
		return
	}
	v.report(report, *in.Diagnosis)
	cat, err := diagnostics.NewCatalogue(v.causes())
	if err != nil {
		v.problem("the causes cannot be used: %v", err)
		return
	}
	v.result.Claims = diagnostics.Recheck(cat, v.probes, roundOf(facts, *in.Diagnosis), subject, *in.Diagnosis)
}

// raws gives the facts their bytes back, as far as they are here. Whether they
// have the digest that the fact cites is checked here for all facts; Recheck
// looks only at those that its claims rest on.
func (v *verifier) raws(facts []diagnostics.Fact) {
	for i := range facts {
		for j := range facts[i].Raws {
			raw := &facts[i].Raws[j]
			data, ok := v.b.files[rawPath(raw.SHA256)]
			if !ok {
				continue // named in left_out; a claim that needs it will not hold
			}
			raw.Data = data
			if hexDigest(data) != raw.SHA256 {
				v.problem("%q of fact %s does not have the digest that the fact cites", raw.Name, facts[i].ID)
			}
		}
	}
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
		cause, err := diagnostics.ParseCause(path.Base(name), v.b.files[name], v.probes)
		if err != nil {
			v.problem("%q cannot be read with the probes that are here: %v", name, err)
			continue
		}
		causes = append(causes, cause)
	}
	return causes
}

// report checks that people are told what the diagnosis says.
func (v *verifier) report(r Report, d diagnostics.Diagnosis) {
	told := slices.Clone(r.Others)
	if r.Cause != nil {
		told = append([]Hypothesis{*r.Cause}, told...)
	}
	if (r.Cause == nil) != (d.Unknown || len(d.Hypotheses) == 0) || len(told) != len(d.Hypotheses) {
		v.problem("report.json tells of other hypotheses than the diagnosis")
		return
	}
	for i, h := range d.Hypotheses {
		got, gotErr := json.Marshal(told[i])
		want, wantErr := json.Marshal(hypothesis(h))
		if gotErr != nil || wantErr != nil || !bytes.Equal(got, want) {
			v.problem("report.json says something else of %s than the diagnosis", h.Cause)
		}
	}
}
