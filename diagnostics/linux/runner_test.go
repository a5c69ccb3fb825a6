package linux

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/local"
)

// refusing is a runner that must not be asked anything.
type refusing struct{ t *testing.T }

func (refusing) Target() string { return "refusing" }

func (r refusing) Run(_ context.Context, cmd remote.Command) (remote.Result, error) {
	r.t.Errorf("ran %q", cmd.Argv)
	return remote.Result{}, errors.ErrUnsupported
}

func (r refusing) ReadFile(_ context.Context, path string, _ int) ([]byte, bool, error) {
	r.t.Errorf("read %s", path)
	return nil, false, errors.ErrUnsupported
}

func (r refusing) Stat(_ context.Context, path string) (remote.FileInfo, error) {
	r.t.Errorf("looked at %s", path)
	return remote.FileInfo{}, errors.ErrUnsupported
}

func (r refusing) Statfs(_ context.Context, path string) (remote.FSInfo, error) {
	r.t.Errorf("measured %s", path)
	return remote.FSInfo{}, errors.ErrUnsupported
}

func (r refusing) ReadDir(_ context.Context, path string, _ int) ([]remote.FileInfo, bool, error) {
	r.t.Errorf("listed %s", path)
	return nil, false, errors.ErrUnsupported
}

// host is this machine as an agent reads it: through the real transport, behind
// the gate for reading and the redactor. It keeps the commands, for the tests
// that look at them.
type host struct {
	*remote.Server
	commands []remote.Command
}

func here() *host {
	return &host{Server: remote.Open(local.New(), remote.Options{Gate: remote.ReadOnly(), Redactor: redact.New()})}
}

// Run implements remote.Runner.
func (h *host) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	h.commands = append(h.commands, cmd)
	return h.Server.Run(ctx, cmd)
}

// readHere reads a probe on this machine and understands it.
func readHere(t *testing.T, probe string, args diagnostics.Args) (diagnostics.Value, diagnostics.Status) {
	t.Helper()
	p := probeNamed(t, probe)
	raws, err := p.Read(t.Context(), here(), args)
	if err != nil {
		t.Fatal(err)
	}
	return checkParsed(t, p, raws, args)
}

// requireReal skips the test, or fails it where everything real must be there.
func requireReal(t *testing.T, present bool, what string) {
	t.Helper()
	switch {
	case present:
	case os.Getenv("SECONDLINE_REQUIRE_REAL") == "1":
		t.Fatalf("%s is missing", what)
	default:
		t.Skipf("%s is missing", what)
	}
}

func TestNothingFromOutsideIsPartOfAScript(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), `a'"; touch pwned; $(reboot) *`)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	scripts := []string{
		boundedFind, writersFind, sumFind, countFind, journalScript, validatorScript, cmdlinesScript, topScript,
		kernelScript, memoryScript, mountsScript, fstabScript, ioScript, poolsScript, nodesScript,
		cpuScript, ceilingsScript, statsScript, lingerScript, openFilesScript, holderScript, throttlingScript, halfwayScript, changesScript, declaredScript, liveScript, collationScript, progressScript,
		countersScript, firewallScript, askScript, webConfigScript, sudoScript,
	}
	for _, p := range Probes(time.Now) {
		h := here()
		args := diagnostics.Args{}
		for _, f := range p.Spec().Inputs {
			switch f.Name {
			case argUnit:
				args[f.Name] = `-x@\x2d.service`
			case argURL:
				args[f.Name] = "http://127.0.0.1:1/$(reboot)'"
			case argDevice:
				args[f.Name] = "/dev/x'; $(reboot)"
			case argMatch:
				args[f.Name] = `["$(reboot)", "'; reboot"]`
			case argPID:
				args[f.Name] = "1"
			case argName, argServerName, argUser: // nothing odd passes as one of these
				args[f.Name] = "reboot_-x.example"
			case argAddress:
				args[f.Name] = "reboot_-x.example:1"
			default:
				args[f.Name] = dir
			}
		}
		if _, err := p.Read(t.Context(), h, args); err != nil {
			t.Errorf("%s: %v", p.Spec().Name, err)
		}
		for _, cmd := range h.commands {
			if slices.Contains([]string{"sh", "bash"}, cmd.Argv[0]) && (cmd.Argv[1] != "-c" || !slices.Contains(scripts, cmd.Argv[2])) {
				t.Errorf("%s: script %q", p.Spec().Name, cmd.Argv)
			}
			if cmd.Effect != remote.Read || cmd.Timeout <= 0 || cmd.Timeout > time.Minute || cmd.Env["LC_ALL"] != "C" || cmd.MaxOutputBytes > remote.MaxOutputBytes {
				t.Errorf("%s: %+v", p.Spec().Name, cmd)
			}
			names := slices.Index(cmd.Argv, "--") // behind it, nothing is an option
			if cmd.Argv[0] == "systemctl" && cmd.Argv[1] == "show" && (names < 0 || slices.Contains(cmd.Argv[:names], args[argUnit])) {
				t.Errorf("%s: a name may pass for an option: %q", p.Spec().Name, cmd.Argv)
			}
		}
	}
}
