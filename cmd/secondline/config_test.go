package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller"
	"github.com/secondline-ops/secondline/internal/fault"
)

// checked runs "controller --check-config" with the file, more flags, and the
// variables.
func checked(t *testing.T, file string, variables map[string]string, flags ...string) (code int, out string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "controller.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	env := nowhere(&text)
	env.stderr = &text
	env.getenv = func(name string) string { return variables[name] }
	code = execute(t.Context(), env, append([]string{"controller", "--check-config", "--config", path}, flags...))
	return code, text.String()
}

func TestRetentionIsCheckedWithItsPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, file string
		variables  map[string]string
		flags      []string
		code       int
		want       []string
	}{
		{"nothing said", "{}", nil, nil, fault.ExitDone, []string{"configuration is good"}},
		{"days and hours", "retention: {bodies: 7d, incidents: 1h, bundles: 1d12h}", nil, nil, fault.ExitDone, nil},
		{"empty is the default", "retention: {bodies: }", nil, nil, fault.ExitDone, nil},
		{"zero", "retention:\n  bodies: 0s", nil, nil, fault.ExitUsage, []string{"controller.yaml:2:11: 0s is too short to keep anything; at least 1h is needed"}},
		{"negative", "retention:\n  bundles: -720h", nil, nil, fault.ExitUsage, []string{":2:12: -720h is too short"}},
		{"too short", "retention:\n  bodies: 59m", nil, nil, fault.ExitUsage, []string{":2:11: 59m is too short"}},
		{
			"both", "retention:\n  bodies: 1m\n  incidents: 20m", nil, nil, fault.ExitUsage,
			[]string{":2:11: 1m is too short", ":3:14: 20m is shorter than the 30m after which a resolved incident can no longer come back"},
		},
		{"no unit", "retention:\n  bodies: 30", nil, nil, fault.ExitUsage, []string{`:2:11: "30" is not a duration`, "say the unit"}},
		{"unknown", "retention:\n  body: 30d", nil, nil, fault.ExitUsage, []string{`unknown field "body"`, "known: bodies, incidents, bundles"}},
		{"flag", "{}", nil, []string{"--retention-incidents", "20m"}, fault.ExitUsage, []string{"retention.incidents: 20m is shorter than the 30m"}},
		{"flag that is none", "{}", nil, []string{"--retention-bodies", "1.5d"}, fault.ExitUsage, []string{"--retention-bodies", "is not a duration"}},
		{"variable", "{}", map[string]string{"SECONDLINE_RETENTION_BUNDLES": "5m"}, nil, fault.ExitUsage, []string{"retention.bundles: 5m is too short"}},
		{"variable in days", "{}", map[string]string{"SECONDLINE_RETENTION_BUNDLES": "10d"}, nil, fault.ExitDone, nil},
	} {
		code, out := checked(t, c.file, c.variables, c.flags...)
		if code != c.code {
			t.Errorf("%s: exit code %d, want %d: %s", c.name, code, c.code, out)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is not in %s", c.name, want, out)
			}
		}
	}
}

func TestFlagsWinOverTheFileOnRetention(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	path := filepath.Join(t.TempDir(), "controller.yaml")
	if err := os.WriteFile(path, []byte("retention: {bodies: 2d, incidents: 3d}"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := silent(t.TempDir())
	c := defaultConfig(env)
	fromFile, err := readConfig(path, c)
	if err != nil {
		t.Fatal(err)
	}
	if want := (retentionConfig{Bodies: 2 * day, Incidents: 3 * day, Bundles: 400 * day}); fromFile.Retention != want {
		t.Errorf("the file: %+v", fromFile.Retention)
	}
	cmd := &cobra.Command{}
	retentionFlags(cmd.Flags(), &c.Retention)
	if err := cmd.ParseFlags([]string{"--retention-bodies=9d", "--retention-incidents", "8d", "--retention-bundles", "7d12h"}); err != nil {
		t.Fatal(err)
	}
	if want := (retentionConfig{Bodies: 9 * day, Incidents: 8 * day, Bundles: 7*day + 12*time.Hour}); override(cmd, fromFile, c).Retention != want {
		t.Errorf("with flags: %+v", override(cmd, fromFile, c).Retention)
	}
	probes, err := builtinProbes()
	if err != nil {
		t.Fatal(err)
	}
	s, err := override(cmd, fromFile, c).settings(probes)
	if err != nil || s.Retention != (controller.Retention{Bodies: 9 * day, Incidents: 8 * day, Bundles: 7*day + 12*time.Hour}) {
		t.Errorf("settings: %+v, %v", s.Retention, err)
	}
}
