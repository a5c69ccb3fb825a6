package sources_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/intake"
	"github.com/secondline-ops/secondline/controller/intake/sources"
)

// payloads is the folder of real bodies: from the environment, or beside the
// repository. It is test input that is not part of the project.
func payloads(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("SECONDLINE_PAYLOADS")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "..", "shared", "payloads")
	}
	if _, err := os.Stat(filepath.Join(folder, "EXPECT.tsv")); err != nil {
		if os.Getenv("SECONDLINE_REQUIRE_REAL") == "1" {
			t.Fatalf("SECONDLINE_PAYLOADS: %v", err)
		}
		t.Skipf("needs the payload folder (SECONDLINE_PAYLOADS): %v", err)
	}
	return folder
}

// description is the JSON of `secondline signal test` as its readers see it.
type description struct {
	Signals []struct {
		Kind        string                         `json:"kind"`
		State       string                         `json:"state"`
		SeverityRaw string                         `json:"severity_raw"`
		Title       string                         `json:"title"`
		Resources   []struct{ Value, From string } `json:"resources"`
		Identity    string                         `json:"identity"`
	} `json:"signals"`
	Unmapped bool `json:"unmapped"`
}

func TestRealBodiesOfKnownSources(t *testing.T) {
	t.Parallel()
	folder := payloads(t)
	table, err := os.ReadFile(filepath.Join(folder, "EXPECT.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(table)), "\n")
	names := strings.Split(lines[0], "\t")
	tested := 0
	for _, line := range lines[1:] {
		want := map[string]string{}
		for i, cell := range strings.Split(line, "\t") {
			want[names[i]] = cell
		}
		parser, _, err := sources.Find(want["source"])
		if err != nil {
			continue // a source that is not there yet
		}
		tested++
		t.Run(want["file"], func(t *testing.T) {
			t.Parallel()
			body, err := os.ReadFile(filepath.Join(folder, want["file"]))
			if err != nil {
				t.Fatal(err)
			}
			signals, err := parser.Parse(body, "application/json", time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC))
			raw, jsonErr := json.Marshal(intake.Describe(signals, err))
			if jsonErr != nil {
				t.Fatal(jsonErr)
			}
			var got description
			if err := json.Unmarshal(raw, &got); err != nil {
				t.Fatal(err)
			}
			check(t, got, want)
		})
	}
	if tested < 6 {
		t.Fatalf("%d bodies were tested, there are 6 of Alertmanager", tested)
	}
}

func check(t *testing.T, got description, want map[string]string) {
	t.Helper()
	if strconv.Itoa(len(got.Signals)) != want["n"] || got.Unmapped {
		t.Fatalf("%d signals, unmapped %v, want %s", len(got.Signals), got.Unmapped, want["n"])
	}
	var resources, identities []string
	for _, s := range got.Signals {
		if s.Kind != want["kind"] || s.State != want["state"] || s.SeverityRaw != want["severity_raw"] || s.Title != want["title"] {
			t.Errorf("%s %s %q %q, want %s %s %q %q", s.Kind, s.State, s.SeverityRaw, s.Title,
				want["kind"], want["state"], want["severity_raw"], want["title"])
		}
		if len(s.Resources) > 0 {
			resources = append(resources, s.Resources[0].Value)
		}
		identities = append(identities, s.Identity)
	}
	slices.Sort(resources)
	slices.Sort(identities)
	if r := strings.Join(resources, "|"); r != want["resource"] {
		t.Errorf("resources %q, want %q", r, want["resource"])
	}
	if id := strings.Join(identities, "|"); strings.Contains(want["notes"], "no fingerprint") {
		if len(id) != 64 {
			t.Errorf("without a fingerprint the identity is %q, want a SHA-256", id)
		}
	} else if id != want["dedup_hint"] {
		t.Errorf("identities %q, want %q", id, want["dedup_hint"])
	}
}

func TestNamesAreUnique(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, p := range sources.All() {
		for _, n := range append(p.Aliases(), p.Name()) {
			if seen[n] || n != strings.ToLower(n) || strings.Contains(n, "/") {
				t.Errorf("the name %q is taken twice, or not fit for an address", n)
			}
			seen[n] = true
		}
	}
}
