package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/plugins/mock"
)

// speaks is a plugin that writes the lines and waits.
func speaks(t *testing.T, lines string) Entry {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mock")
	if err := os.WriteFile(path, []byte("#!/bin/sh\ncat <<'EOF'\n"+lines+"\nEOF\nexec sleep 1000\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	sum, err := Checksum(path)
	if err != nil {
		t.Fatal(err)
	}
	return Entry{Name: "mock", Path: path, SHA256: sum, Allow: mock.Allow()}
}

func TestAnotherProtocolIsRefusedInPlainWords(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"1|2|unix|/tmp/x|grpc|":       "plugin mock speaks protocol 2, which is newer than 1",
		"1|0|unix|/tmp/x|grpc|":       "which this Secondline no longer does",
		"1|999999|unix|/tmp/x|grpc|x": "plugin mock speaks protocol 999999",
	} {
		h := open(t, Options{Entries: []Entry{speaks(t, line)}})
		_, err := h.Probes(t.Context())
		if !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestAWrongBinaryIsRefusedWhateverItSays(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string]string{
		"text":               "hello, I am no plugin",
		"half a handshake":   "1|1",
		"a flood":            strings.Repeat("x", 1<<20),
		"the first of two":   "usage: mock\n1|1|unix|/tmp/x|grpc|",
		"a socket of nobody": fmt.Sprintf("1|1|unix|%s|grpc|", "/no/such/socket"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t, Options{Entries: []Entry{speaks(t, lines)}})
			got, err := h.Probes(t.Context())
			if err == nil || len(got) > 0 || fault.Is(err, fault.Denied) {
				t.Errorf("%v, %v", got, err)
			}
			if s := h.Status()[0]; s.Running || s.Failures != 1 {
				t.Errorf("status is %+v", s)
			}
		})
	}
}
