package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/plugins"
)

// Bounds of Verify. A probe is told less than it gets, see probeTimeout.
const (
	verifyTold  = time.Second
	verifyGiven = 10 * time.Second // a busy machine is late, too
)

// Finding is one thing that Verify has looked at.
type Finding struct {
	What    string `json:"what"`
	Problem string `json:"problem"` // "" when it is as it should be
}

// Verified is what became of a plugin in Verify.
type Verified struct {
	Info     plugins.Info
	Probes   []plugins.Spec
	Findings []Finding
}

// OK reports whether nothing was found wrong.
func (v Verified) OK() bool {
	for _, f := range v.Findings {
		if f.Problem != "" {
			return false
		}
	}
	return true
}

// Verify starts the file as an agent would, and tries whether it keeps the
// contract: what it declares, that each probe comes back in time from a server
// that does not answer, that it tells nothing when nothing was read or nothing
// may be looked at, and that it survives all that. It reaches no server. What
// the probes say of a real one is for "plugin run" and for plugintest. Of an entry
// that allows nothing but to read, what the plugin asks for is not held against it.
func (h *Host) Verify(ctx context.Context, name string) (Verified, error) {
	var v Verified
	s, err := h.slot(name)
	if err != nil {
		return v, err
	}
	if err := h.begin(); err != nil {
		return v, err
	}
	defer h.work.Done()
	p, err := h.startProcess(ctx, s.entry)
	v.note("starts and speaks protocol "+fmt.Sprint(plugins.ProtocolVersion), err)
	if err != nil {
		return v, nil
	}
	defer p.kill()
	v.Info, v.Probes = p.info, p.specs
	e := s.entry
	if len(e.Allow) == 1 { // nobody has decided yet: what it asks for is for people to read
		e.Allow = p.info.Capabilities
	}
	v.note("declares what the contract allows", h.accept(e, p))
	if !v.OK() {
		return v, nil
	}
	for _, spec := range p.specs {
		t := trial{h.checker, p.client, spec, placeholders(spec)}
		v.note(spec.Name+" comes back in time from a server that does not answer", t.silent(ctx))
		v.note(spec.Name+" tells nothing when it may not look", t.refused(ctx))
		v.note(spec.Name+" tells nothing when nothing was read", t.nothing(ctx))
		v.note(spec.Name+" keeps its types on any bytes", t.hostile(ctx))
	}
	_, _, err = p.client.Parse(ctx, "there_is_no_such_probe", nil, nil)
	switch status.Code(err) {
	case codes.OK:
		err = errors.New("it answers for a probe that it does not have")
	case codes.Unavailable:
		err = errors.New("it has ended")
	default:
		err = nil
	}
	v.note("is alive after all this, and refuses a probe that it does not have", err)
	return v, ctx.Err()
}

func (v *Verified) note(what string, err error) {
	f := Finding{What: what}
	if err != nil {
		f.Problem = err.Error()
	}
	v.Findings = append(v.Findings, f)
}

// placeholders are arguments for inputs that must be given.
func placeholders(spec plugins.Spec) plugins.Args {
	args := plugins.Args{}
	for _, in := range spec.Inputs {
		if !in.Required {
			continue
		}
		switch in.Type {
		case plugins.Int, plugins.Double:
			args[in.Name] = "1"
		case plugins.Bool:
			args[in.Name] = "true"
		case plugins.Timestamp:
			args[in.Name] = "2026-01-01T00:00:00Z"
		case plugins.String, plugins.List, plugins.Map, plugins.Object:
			args[in.Name] = "/verify"
		}
	}
	return args
}

// trial is one probe that is tried.
type trial struct {
	checker *plugins.Checker
	client  *plugins.Client
	spec    plugins.Spec
	args    plugins.Args
}

func (t trial) read(ctx context.Context, h plugins.Host) ([]plugins.Raw, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyGiven)
	defer cancel()
	raws, err := t.client.Read(ctx, plugins.Call{Probe: t.spec.Name, Args: t.args, Host: h, Timeout: verifyTold})
	if ctx.Err() != nil || status.Code(err) == codes.DeadlineExceeded {
		return nil, fmt.Errorf("it was told to take %s and had not come back after %s", verifyTold, verifyGiven)
	}
	if e, ok := errors.AsType[*plugins.ProbeError](err); ok {
		return nil, e
	}
	if err != nil {
		return nil, fmt.Errorf("the process failed: %w", err)
	}
	return raws, t.checker.Raws(raws)
}

// silent reads from a server that does not answer.
func (t trial) silent(ctx context.Context) error {
	raws, err := t.read(ctx, plugins.Silent())
	if _, ok := errors.AsType[*plugins.ProbeError](err); ok { // nothing could be looked at: that is an answer
		return nil
	}
	if err != nil {
		return err
	}
	return t.tellsNothing(ctx, raws)
}

// refused reads from a server on which nothing is allowed.
func (t trial) refused(ctx context.Context) error {
	raws, err := t.read(ctx, lent{nowhere{}, plugins.Info{Name: "verify"}})
	if _, ok := errors.AsType[*plugins.ProbeError](err); ok {
		return nil
	}
	if err != nil {
		return err
	}
	return t.tellsNothing(ctx, raws)
}

// nowhere is a server that is never reached, since nothing is declared.
type nowhere struct{ remote.Runner }

// Target implements remote.Runner.
func (nowhere) Target() string { return "nowhere" }

func (t trial) nothing(ctx context.Context) error { return t.tellsNothing(ctx, nil) }

func (t trial) tellsNothing(ctx context.Context, raws []plugins.Raw) error {
	_, status, err := t.parse(ctx, raws)
	if err == nil && status.Tells() {
		return fmt.Errorf("it says %q", status)
	}
	if _, ok := errors.AsType[*plugins.ProbeError](err); ok {
		return nil
	}
	return err
}

func (t trial) parse(ctx context.Context, raws []plugins.Raw) (plugins.Value, plugins.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyGiven)
	defer cancel()
	return t.client.Parse(ctx, t.spec.Name, raws, t.args)
}

// hostile parses what no honest server sends.
func (t trial) hostile(ctx context.Context) error {
	for _, data := range [][]byte{nil, {0}, []byte("\xff\xfe\n\x00\x1b[2J"), []byte("secondline\n")} {
		raws := []plugins.Raw{{Name: t.spec.Name, Command: "verify", Status: plugins.OK, Data: data, At: time.Unix(1e9, 0)}}
		value, status, err := t.parse(ctx, raws)
		if _, ok := errors.AsType[*plugins.ProbeError](err); ok {
			continue
		}
		if err == nil {
			err = t.checker.Answer(t.spec, value, status)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
