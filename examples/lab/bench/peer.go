package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// Peer is another tool that is measured: a program, started once for each case.
//
//   - Its standard input is a JSON array of bodies of Alertmanager's webhook,
//     version 4, in the order in which they came.
//   - HOSTRCA_SSH_CONFIG is an absolute path of an ssh_config(5) by which
//     "ssh -F FILE HOST" reaches every host as root, by its name.
//   - HOSTRCA_INVENTORY is an absolute path of the inventory, in YAML: the hosts
//     and what depends on what.
//   - HOSTRCA_DEADLINE is the number of seconds it has. Then it is killed.
//   - Its standard output is one Answer, and nothing else. It ends with 0. What
//     it writes to standard error is shown only when it fails.
//
// It may act on the hosts by the same SSH, and then says so in Answer.Actions.
type Peer struct {
	// Argv is the program, by path or looked up in PATH, and its arguments.
	Argv []string
	// Env is what its environment has besides HOSTRCA_*; nil is that of this
	// process.
	Env []string
	// Dir is its working folder; "" is that of this process.
	Dir string
}

// Task is what a peer is given for a case.
type Task struct {
	Alerts    []json.RawMessage // bodies of the webhook
	SSHConfig string
	Inventory string
	Deadline  time.Duration // whole seconds
}

// PeerError says how a peer failed. Stderr is the end of what it wrote there.
type PeerError struct {
	Err    error
	Stderr string
}

func (e *PeerError) Error() string {
	if e.Stderr == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("%v; it said: %s", e.Err, e.Stderr)
}

func (e *PeerError) Unwrap() error { return e.Err }

// ErrDeadline is that a peer did not end in time.
var ErrDeadline = errors.New("the tool was killed at its deadline")

const (
	maxStderrBytes = 4096
	// pipeGrace is how long a child that the peer left behind may hold its
	// output before the answer is read without it.
	pipeGrace = 2 * time.Second
)

// Ask gives the peer a task and waits for its answer. The peer is killed with
// its process group at the deadline, or when ctx ends; so are, after it has
// ended, the children that it left. One that made itself a session of its own
// escapes. A failure of the tool, an answer that cannot be read among them, is a
// *PeerError.
func (p Peer) Ask(ctx context.Context, task Task) (Answer, error) {
	if len(p.Argv) == 0 || task.Deadline < time.Second {
		return Answer{}, errors.New("a peer needs a program and a deadline of a second or more")
	}
	input, err := json.Marshal(append([]json.RawMessage{}, task.Alerts...)) // [] for none, not null
	if err != nil {
		return Answer{}, fmt.Errorf("write the alerts of a task: %w", err)
	}
	env, err := p.environment(task)
	if err != nil {
		return Answer{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, task.Deadline, ErrDeadline)
	defer cancel()
	stdout, stderr := &capped{limit: MaxAnswerBytes}, &tail{limit: maxStderrBytes}
	cmd := exec.CommandContext(ctx, p.Argv[0], p.Argv[1:]...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = env, p.Dir, pipeGrace
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	killGroup := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = killGroup
	if err := cmd.Start(); err != nil {
		return Answer{}, &PeerError{Err: fmt.Errorf("start %s: %w", p.Argv[0], err)}
	}
	err = cmd.Wait()
	// Process ids are given in turn, so that the group cannot be another's yet;
	// an empty one is no error.
	_ = killGroup()
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case stdout.full:
		err = fmt.Errorf("the answer has more than %d bytes", stdout.limit)
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return Answer{}, &PeerError{Err: fmt.Errorf("run %s: %w", p.Argv[0], err), Stderr: stderr.String()}
	}
	answer, err := ParseAnswer(stdout.kept.Bytes())
	if err != nil {
		return Answer{}, &PeerError{Err: err, Stderr: stderr.String()}
	}
	return answer, nil
}

func (p Peer) environment(task Task) ([]string, error) {
	env := p.Env
	if env == nil {
		env = os.Environ()
	}
	config, err := filepath.Abs(task.SSHConfig)
	if err != nil {
		return nil, err
	}
	inventory, err := filepath.Abs(task.Inventory)
	if err != nil {
		return nil, err
	}
	return append(slices.Clip(env),
		"HOSTRCA_SSH_CONFIG="+config,
		"HOSTRCA_INVENTORY="+inventory,
		"HOSTRCA_DEADLINE="+strconv.Itoa(int(task.Deadline/time.Second)),
	), nil
}

// Complaint is what stands for an alert where nobody's rule sees the fault: a
// body of the webhook with what a person says of a host.
func Complaint(host, text string, at time.Time) (json.RawMessage, error) {
	labels := map[string]string{"alertname": "Complaint", "instance": host, "severity": "warning"}
	annotations := map[string]string{"summary": text}
	body, err := json.Marshal(map[string]any{
		"version": "4", "receiver": "hostrca", "status": "firing", "truncatedAlerts": 0, "externalURL": "",
		"groupKey": fmt.Sprintf(`{}:{alertname="Complaint", instance=%q}`, host), "groupLabels": labels,
		"commonLabels": labels, "commonAnnotations": annotations,
		"alerts": []any{map[string]any{
			"status": "firing", "labels": labels, "annotations": annotations, "startsAt": at.UTC(), "endsAt": time.Time{},
			"generatorURL": "", "fingerprint": fmt.Sprintf("%016x", at.UnixNano()),
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("write a complaint: %w", err)
	}
	return body, nil
}

// capped takes so many bytes and refuses more, which ends the one who writes. It
// does not embed the buffer, whose ReadFrom would take everything.
type capped struct {
	kept  bytes.Buffer
	limit int
	full  bool
}

func (c *capped) Write(p []byte) (int, error) {
	if c.kept.Len()+len(p) > c.limit {
		c.full = true
		return 0, io.ErrShortWrite
	}
	return c.kept.Write(p)
}

// tail keeps the last bytes.
type tail struct {
	kept  []byte
	limit int
}

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - t.limit; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	return string(bytes.TrimSpace(bytes.ToValidUTF8(t.kept, []byte("?"))))
}
