package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
)

func TestPrometheusIsChecked(t *testing.T) {
	t.Parallel()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, file string
		variables  map[string]string
		flags      []string
		code       int
		want       string
	}{
		{"one", "prometheus: [{url: http://prom:9090}]", nil, nil, fault.ExitDone, "configuration is good"},
		{"with a token", "prometheus: [{url: https://prom/path, token_file: " + token + "}]", nil, nil, fault.ExitDone, ""},
		{"without a URL", "prometheus: [{token_file: x}]", nil, nil, fault.ExitUsage, "url"},
		{"a secret in the URL", "prometheus: [{url: http://me:hunter2@prom}]", nil, nil, fault.ExitUsage, "a token goes into token_file"},
		{"no token", "prometheus: [{url: http://prom, token_file: none}]", nil, nil, fault.ExitRefused, "read the token"},
		{"twice", "prometheus: [{url: http://prom}, {url: http://prom/}]", nil, nil, fault.ExitUsage, "http://prom is there twice"},
		{"unknown", "prometheus: [{uri: http://prom}]", nil, nil, fault.ExitUsage, `did you mean "url"`},
		{"the flag wins over the file", "prometheus: [{url: nonsense}]", nil, []string{"--prometheus", "http://a", "--prometheus=http://b,http://c"}, fault.ExitDone, ""},
		{"a wrong flag", "{}", nil, []string{"--prometheus", "prom:9090"}, fault.ExitUsage, "the URL"},
		{"variable", "{}", map[string]string{"SECONDLINE_PROMETHEUS": "http://a, http://a"}, nil, fault.ExitUsage, "twice"},
	} {
		code, out := checked(t, c.file, c.variables, c.flags...)
		if code != c.code || !strings.Contains(out, c.want) || strings.Contains(out, "hunter2") {
			t.Errorf("%s: exit code %d, want %d with %q: %s", c.name, code, c.code, c.want, out)
		}
	}
}

func TestPrometheusTokenIsRelativeToTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "controller.yaml")
	if err := os.WriteFile(path, []byte("prometheus: [{url: http://prom, token_file: token}, {url: http://other}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := readConfig(path, defaultConfig(silent(t.TempDir())))
	if err != nil || c.Prometheus[0].TokenFile != filepath.Join(filepath.Dir(path), "token") || c.Prometheus[1].TokenFile != "" {
		t.Errorf("%+v, %v", c.Prometheus, err)
	}
}
