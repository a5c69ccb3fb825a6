package guard

import (
	"path"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/internal/yamlx"
)

type authored struct {
	Mode         string   `yaml:"mode"`
	Targets      []string `yaml:"targets"`
	CleanupRoots []string `yaml:"cleanup_roots"`
	Refuse       []string `yaml:"refuse"`
	AllowReboot  bool     `yaml:"allow_reboot"`
	MaxJobs      int      `yaml:"max_jobs"`
	ManagedFiles []string `yaml:"managed_files"`
	ReadDeny     []string `yaml:"read_deny"`
}

// Parse reads a guard file. What it does not name keeps the careful default.
func Parse(file string, data []byte) (Limits, error) {
	root, err := yamlx.Parse(file, data)
	if err != nil {
		return Limits{}, err
	}
	a := authored{Mode: string(Observe), CleanupRoots: DefaultCleanupRoots(), MaxJobs: DefaultMaxJobs}
	if err := root.Decode(&a); err != nil {
		return Limits{}, err
	}
	if a.Mode != string(Observe) && a.Mode != string(Act) {
		return Limits{}, root.Errorf("mode %q: observe or act", a.Mode)
	}
	if a.MaxJobs < 1 || a.MaxJobs > 64 {
		return Limits{}, root.Errorf("max_jobs %d: 1 to 64", a.MaxJobs)
	}
	for _, dir := range a.CleanupRoots {
		if !strings.HasPrefix(dir, "/") || path.Clean(dir) != dir || dir == "/" {
			return Limits{}, root.Errorf("cleanup_roots %q: an absolute path without .. that is not /", dir)
		}
	}
	for _, p := range slices.Concat(a.Refuse, a.ReadDeny, a.ManagedFiles) {
		for word := range strings.FieldsSeq(p) {
			if _, err := path.Match(word, ""); err != nil {
				return Limits{}, root.Errorf("pattern %q: %v", p, err)
			}
		}
	}
	return Limits{
		Mode: Mode(a.Mode), Targets: a.Targets, CleanupRoots: a.CleanupRoots, Refuse: a.Refuse,
		AllowReboot: a.AllowReboot, MaxJobs: a.MaxJobs, ReadDeny: a.ReadDeny, ManagedFiles: a.ManagedFiles,
	}, nil
}
