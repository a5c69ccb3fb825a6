package linux

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/remote"
)

// Exit statuses that say that a program was not started, not what it found
// (POSIX sh, 2.8.2; timeout(1) of coreutils).
const (
	exitTimedOut      = 124
	exitNotExecutable = 126
	exitNotFound      = 127
)

// commandTimeout bounds a command that has nothing to walk.
const commandTimeout = 10 * time.Second

// command is the argv with the environment of every probe: messages that can be
// parsed, times without a zone to guess.
func command(argv ...string) remote.Command {
	return remote.Command{
		Argv:    argv,
		Env:     map[string]string{"LC_ALL": "C", "TZ": "UTC"},
		Effect:  remote.Read,
		Timeout: commandTimeout,
	}
}

// cannotTellError says why a fact is neither OK nor a surprise.
type cannotTellError struct {
	status diagnostics.Status
	why    string
}

// Error implements error.
func (e *cannotTellError) Error() string { return e.why }

// cannotTell makes the fact have the status, with the sentence as its error.
func cannotTell(status diagnostics.Status, format string, args ...any) error {
	return &cannotTellError{status: status, why: fmt.Sprintf(format, args...)}
}

// readings is what Parse has to understand.
type readings struct {
	raws []diagnostics.Raw
	args diagnostics.Args
}

// raw returns the reading of the name, whatever its status.
func (in readings) raw(name string) (diagnostics.Raw, bool) {
	return diagnostics.FindRaw(in.raws, name)
}

// whole returns the reading of the name, or why it says nothing: it failed, was
// cut, or was never made. Absent stays Absent.
func (in readings) whole(name string) (diagnostics.Raw, error) {
	raw, ok := in.raw(name)
	switch {
	case !ok:
		return raw, cannotTell(diagnostics.Failed, "%s was not read", name)
	case raw.Truncated:
		return raw, cannotTell(diagnostics.Truncated, "%s: there was more than the bound", name)
	case raw.Status != diagnostics.OK:
		return raw, cannotTell(raw.Status, "%s: %s", name, raw.Error)
	}
	return raw, nil
}

// ran is the reading of a command that was started and ended by itself,
// whatever its exit status.
func (in readings) ran(name string) (diagnostics.Raw, error) {
	raw, err := in.whole(name)
	switch {
	case raw.Status == diagnostics.Absent || raw.ExitCode == exitNotFound || raw.ExitCode == exitNotExecutable:
		return raw, cannotTell(diagnostics.Failed, "%s: the program is not there", name)
	case err != nil:
		return raw, err
	case raw.ExitCode == exitTimedOut:
		return raw, cannotTell(diagnostics.TimedOut, "%s: ended by its time limit", name)
	}
	return raw, nil
}

// output is what a command printed that ended with exit status 0.
func (in readings) output(name string) ([]byte, error) {
	raw, err := in.ran(name)
	if err != nil {
		return nil, err
	}
	if raw.ExitCode != 0 {
		return nil, cannotTell(diagnostics.Failed, "%s: exit status %d: %s", name, raw.ExitCode, raw.Error)
	}
	return raw.Data, nil
}

// info is what was said of a path. Absent is an error of that status.
func (in readings) info(name string) (remote.FileInfo, error) {
	var info remote.FileInfo
	return info, in.decode(name, &info)
}

// decode fills into from the JSON of the reading.
func (in readings) decode(name string, into any) error {
	raw, err := in.whole(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw.Data, into); err != nil {
		return cannotTell(diagnostics.Failed, "%s: %v", name, err)
	}
	return nil
}

// isStatus reports whether err makes the fact have the status.
func isStatus(err error, status diagnostics.Status) bool {
	e, ok := errors.AsType[*cannotTellError](err)
	return ok && e.status == status
}
