package plugins

import (
	"strings"
	"testing"
)

func TestCapabilitiesAreWordsWithOneMeaning(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"read": true, "run:psql": true, "run:/usr/bin/psql": true, "file:/**": true, "file:/etc/*.conf": true, "as:postgres": true, "as:*": true,
		"": false, "write": false, "read:": false, "run:": false, "run:../x": false, "run:*": false, "run:-x": false, "run:a=b": false,
		"file:etc": false, "file:/a/../b": false, "file:/[": false, "as:": false, "as:p*": false, "as:a b": false,
		"run:" + Capability("x").repeat(400): false,
	} {
		if err := Capability(text).Check(); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := (Capabilities{MayRun("psql")}).Check(); err == nil {
		t.Error("without read")
	}
}

func (c Capability) repeat(n int) string { return strings.Repeat(string(c), n) }

func TestFilesAreMatchedByFolder(t *testing.T) {
	t.Parallel()
	for pattern, cases := range map[string]map[string]bool{
		"/**":              {"/": true, "/etc/shadow": true, "etc": false, "/a/../b": false, "/a/": false},
		"/etc/nginx/**":    {"/etc/nginx": true, "/etc/nginx/a/b": true, "/etc/nginx2": false, "/etc": false},
		"/var/log/*/error": {"/var/log/a/error": true, "/var/log/a/b/error": false},
		"/proc/*/fd/**":    {"/proc/1/fd/2": true, "/proc/1/mem": false},
	} {
		for name, want := range cases {
			if got := (Capabilities{MayRead(pattern)}).MayRead(name); got != want {
				t.Errorf("%s of %s: %t", name, pattern, got)
			}
		}
	}
}

func TestBeyondWhatIsAllowed(t *testing.T) {
	t.Parallel()
	allowed := Capabilities{CapabilityRead, MayRun("psql"), MayRead("/etc/**"), MayRead("/var/*/x"), MayBe("postgres")}
	for asked, want := range map[Capability]bool{
		MayRun("psql"): true, MayRun("/usr/bin/psql"): false, MayRead("/etc/nginx/*"): true, MayRead("/etc/**"): true, MayRead("/**"): false,
		MayRead("/var/a/x"): false, MayRead("/var/*/x"): true, MayBe("postgres"): true, MayBe(AnyUser): false,
	} {
		if got := len(Capabilities{asked}.Beyond(allowed)) == 0; got != want {
			t.Errorf("%s: %t", asked, got)
		}
	}
	if len((Capabilities{MayBe("x")}).Beyond(Capabilities{MayBe(AnyUser)})) > 0 {
		t.Error("any user does not cover one")
	}
}
