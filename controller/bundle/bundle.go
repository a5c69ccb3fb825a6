// Package bundle is the root-cause report with its evidence as one archive: it
// is assembled from what the store holds, redacted once more, signed, written,
// read and verified. It decides nothing about the incident.
//
// The one thing to know: build makes everything in a bundle of its sources, the
// report too, and depends on nothing else. Verify therefore builds it again of
// the sources that are in it, and compares every byte.
package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
)

const (
	// Schema is the form of manifest.json.
	Schema = "secondline.bundle/v1"
	// Namespace is what the signature of manifest.json is made for:
	// ssh-keygen -Y verify -n secondline-bundle.
	Namespace = "secondline-bundle"

	manifestFile  = "manifest.json"
	signatureFile = "manifest.json.sig"
)

// Bounds of a bundle, for who writes and for who reads.
const (
	maxFiles      = 20_000
	maxFileBytes  = 64 << 20
	maxTotalBytes = 256 << 20
	maxNameBytes  = 240
	maxRecords    = 20_000 // events, facts, signals, entities: the report compares them with each other
)

// Manifest says what is in a bundle.
type Manifest struct {
	Schema     string         `json:"schema"`
	Tool       string         `json:"tool"`
	Version    string         `json:"version"` // of the tool
	MadeAt     time.Time      `json:"made_at"`
	Incident   IncidentRef    `json:"incident"`
	Items      []Item         `json:"items"` // in the order of their paths
	Redactions map[string]int `json:"redactions"`
	LeftOut    []string       `json:"left_out"` // sentences: what is not here, and why
}

// IncidentRef names the incident of a bundle.
type IncidentRef struct {
	ID     string `json:"id"`
	Number int64  `json:"number"`
	Title  string `json:"title"`
	Status string `json:"status"`
	Entity string `json:"entity"`
}

// Item is one file of a bundle. The fields from Name on say where the bytes
// come from, as far as they came from somewhere.
type Item struct {
	Path       string         `json:"path"`
	Bytes      int            `json:"bytes"`
	SHA256     string         `json:"sha256"`
	Redactions map[string]int `json:"redactions"` // made while bundling; the Runner's own are in the bytes as marks
	Name       string         `json:"name,omitempty"`
	Command    string         `json:"command,omitempty"`
	Host       string         `json:"host,omitempty"`
	Status     string         `json:"status,omitempty"`
	At         time.Time      `json:"at,omitzero"`
	Truncated  bool           `json:"truncated"`
	Facts      []string       `json:"facts"` // the facts that rest on it
}

// Bundle is a bundle in memory. It comes from Assemble or Read and does not
// change.
type Bundle struct {
	manifest  Manifest
	sealed    []byte // manifest.json as it is signed
	files     map[string][]byte
	signature []byte // armored; nil when unsigned
}

// Manifest returns what is in the bundle.
func (b *Bundle) Manifest() Manifest { return b.manifest }

// Number returns the incident's number.
func (b *Bundle) Number() int64 { return b.manifest.Incident.Number }

// File returns the content of one file, or an error of kind NotFound.
func (b *Bundle) File(path string) ([]byte, error) {
	switch path {
	case manifestFile:
		return b.sealed, nil
	case signatureFile:
		if b.signature != nil {
			return b.signature, nil
		}
	}
	if data, ok := b.files[path]; ok {
		return data, nil
	}
	return nil, fault.New(fault.NotFound, "the bundle has no file %q", path)
}

// Files returns the paths of all files but manifest and signature, sorted.
func (b *Bundle) Files() []string {
	paths := make([]string, 0, len(b.files))
	for path := range b.files {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

// Signer signs for a namespace in the SSH signature format; *sshsig.Key does.
type Signer interface {
	Sign(namespace string, message []byte) (armored []byte, err error)
}

func hexDigest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
