package host

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/plugins"
)

// call lends a running process of the plugin to do. A process that died, or did
// not answer before its deadline, is killed, and the plugin is held back for a
// while that doubles with each failure in a row.
func (h *Host) call(ctx context.Context, s *slot, do func(ctx context.Context, p *process) error) error {
	if err := h.begin(); err != nil {
		return err
	}
	defer h.work.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.life, cancel)()
	select {
	case s.calls <- struct{}{}:
		defer func() { <-s.calls }()
	case <-time.After(h.opts.CallTimeout):
		return fault.New(fault.Overloaded, "plugin %s is busy with %d calls", s.entry.Name, maxCalls)
	case <-ctx.Done():
		return fault.Wrap(fault.Overloaded, ctx.Err(), "wait for plugin %s, busy with %d calls", s.entry.Name, maxCalls)
	}
	p, err := h.acquire(ctx, s)
	if err != nil {
		return err
	}
	ctx, cancel = context.WithTimeout(ctx, h.opts.CallTimeout)
	defer cancel()
	err = do(ctx, p)
	if err == nil && errors.Is(ctx.Err(), context.Canceled) {
		err = ctx.Err() // its calls to the target ended with the caller: what it has is cut short
	}
	broken := isBroken(ctx, err) || p.exited()
	h.release(s, p, broken)
	return classify(s, err, broken)
}

func (h *Host) begin() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return fault.New(fault.Transient, "plugins are being stopped")
	}
	h.work.Add(1)
	return nil
}

// isBroken reports whether the error speaks against the process. A caller that
// lost interest does not; a deadline does, because the probe was given an
// earlier one of its own.
func isBroken(ctx context.Context, err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.Internal, codes.Unimplemented, codes.NotFound:
		return ctx.Err() == nil || ctx.Err() == context.DeadlineExceeded
	case codes.DeadlineExceeded:
		return true
	}
	return false
}

// classify turns an error of gRPC into one of ours; others pass.
func classify(s *slot, err error, broken bool) error {
	st, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	switch {
	case st.Code() == codes.DeadlineExceeded:
		return fault.Wrap(fault.Timeout, err, "plugin %s ignored its deadline and was killed", s.entry.Name)
	case st.Code() == codes.ResourceExhausted:
		return fault.Wrap(fault.TooLarge, err, "plugin %s answered more than its limit", s.entry.Name)
	case st.Code() == codes.Canceled:
		return fault.Wrap(fault.Transient, context.Canceled, "call plugin %s", s.entry.Name)
	case broken:
		return fault.Wrap(fault.Unreachable, err, "plugin %s died", s.entry.Name)
	}
	return fault.Wrap(fault.Internal, err, "call plugin %s", s.entry.Name)
}

// acquire returns the plugin's process, started if need be, and counts the
// caller as using it.
func (h *Host) acquire(ctx context.Context, s *slot) (*process, error) {
	select {
	case s.gate <- struct{}{}:
		defer func() { <-s.gate }()
	case <-ctx.Done():
		return nil, fault.Wrap(fault.Timeout, ctx.Err(), "wait for plugin %s to start", s.entry.Name)
	}
	dead, p, err := h.running(s)
	if dead != nil {
		dead.kill()
	}
	if p != nil || err != nil {
		return p, err
	}
	if err := h.makeRoom(s); err != nil {
		return nil, err
	}
	p, err = h.startProcess(ctx, s.entry)
	if err == nil {
		if err = h.accept(s.entry, p); err != nil {
			p.kill()
		}
	}
	if err != nil && ctx.Err() != nil { // the caller lost patience; that says nothing of the plugin
		return nil, fault.Wrap(fault.Timeout, ctx.Err(), "start plugin %s", s.entry.Name)
	}
	return p, h.started(s, p, err)
}

// running returns the live process of the slot, if there is one, counted as
// used; or the dead one that is to be cleared away; or why none may be started.
func (h *Host) running(s *slot) (dead, live *process, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.process != nil && !s.process.exited() {
		s.active++
		return nil, s.process, nil
	}
	dead, s.process = s.process, nil
	now := h.opts.Now()
	if dead != nil { // it died between calls: that counts, but does not keep this call waiting
		h.fail(s, now)
		return dead, nil, nil
	}
	if wait := s.notBefore.Sub(now); wait > 0 {
		return nil, nil, fault.New(fault.Unreachable, "plugin %s is held back for %s after %d failures in a row", s.entry.Name, wait.Round(time.Second), s.failures)
	}
	return nil, nil, nil
}

// makeRoom stops the idle process that was used longest ago when there are as
// many as there may be.
func (h *Host) makeRoom(want *slot) error {
	h.mu.Lock()
	n := 0
	var idle *slot
	for _, s := range h.slots {
		if s == want || s.process == nil {
			continue
		}
		n++
		if s.active == 0 && (idle == nil || s.usedAt.Before(idle.usedAt)) {
			idle = s
		}
	}
	if n < h.opts.MaxRunning {
		h.mu.Unlock()
		return nil
	}
	if idle == nil {
		h.mu.Unlock()
		return fault.New(fault.Overloaded, "start plugin %s: %d plugins are running and all are busy", want.entry.Name, n)
	}
	p := idle.process
	idle.process = nil
	h.mu.Unlock()
	p.kill()
	return nil
}

// started puts a new process into its slot, or counts the failure.
func (h *Host) started(s *slot, p *process, err error) error {
	h.mu.Lock()
	if err != nil {
		h.fail(s, h.opts.Now())
		h.mu.Unlock()
		return err
	}
	if h.closed {
		h.mu.Unlock()
		p.kill()
		return fault.New(fault.Transient, "plugins are being stopped")
	}
	s.process, s.usedAt = p, h.opts.Now()
	s.active++
	h.mu.Unlock()
	h.opts.Logger.Info("plugin started", "plugin", s.entry.Name, "version", p.info.Version, "pid", p.command.ID())
	return nil
}

// release counts the caller out, and clears a broken process away.
func (h *Host) release(s *slot, p *process, broken bool) {
	h.mu.Lock()
	s.active--
	now := h.opts.Now()
	s.usedAt = now
	mine := s.process == p // else another caller, or Close, has dealt with it
	switch {
	case broken && mine:
		s.process = nil
		h.fail(s, now)
	case !broken:
		s.failures, s.notBefore = 0, time.Time{}
	}
	h.mu.Unlock()
	if broken && mine {
		p.kill()
		h.opts.Logger.Warn("plugin killed", "plugin", s.entry.Name)
	}
}

// fail counts a failure; the caller holds h.mu.
func (h *Host) fail(s *slot, now time.Time) {
	s.notBefore = now.Add(min(maxBackoff, firstBackoff<<min(s.failures, 10)))
	s.failures++
}

// stopIdleProcesses is the janitor.
func (h *Host) stopIdleProcesses() {
	tick := time.NewTicker(h.opts.IdleStop / 5)
	defer tick.Stop()
	for {
		select {
		case <-h.life.Done():
			return
		case <-tick.C:
			h.stopIdle()
		}
	}
}

// stopIdle stops the processes that nobody has used for long enough.
func (h *Host) stopIdle() {
	h.mu.Lock()
	var idle []*process
	for _, s := range h.slots {
		if s.process != nil && s.active == 0 && h.opts.Now().Sub(s.usedAt) >= h.opts.IdleStop {
			idle = append(idle, s.process)
			s.process = nil
		}
	}
	h.mu.Unlock()
	for _, p := range idle {
		p.kill()
	}
}

// accept refuses a plugin whose declaration does not keep the contract.
func (h *Host) accept(e Entry, p *process) error {
	if err := h.checker.Plugin(p.info, p.specs); err != nil {
		return fault.Wrap(fault.Denied, err, "plugin %s is refused", e.Name)
	}
	if p.info.Name != e.Name {
		return fault.New(fault.Denied, "plugin %s is refused: it calls itself %s", e.Name, p.info.Name)
	}
	if beyond := p.info.Capabilities.Beyond(e.Allow); len(beyond) > 0 {
		return fault.New(fault.Denied, "plugin %s is refused: it asks for %q, which is not allowed", e.Name, []plugins.Capability(beyond)).
			WithHint("if it may, add it to allow of the plugin")
	}
	if len(e.Probes) > 0 && !slices.EqualFunc(e.Probes, p.specs, sameSpec) {
		return fault.New(fault.Denied, "plugin %s is refused: it declares other probes than it is known for", e.Name)
	}
	return nil
}

// sameSpec compares what a plugin is known to declare with what its process
// does; empty and missing lists are the same on the wire.
func sameSpec(a, b plugins.Spec) bool {
	return a.Name == b.Name && a.Title == b.Title && a.Doc == b.Doc && a.CostSeconds == b.CostSeconds &&
		slices.EqualFunc(a.Inputs, b.Inputs, sameField) && slices.EqualFunc(a.Outputs, b.Outputs, sameField)
}

func sameField(a, b plugins.Field) bool {
	return a.Name == b.Name && a.Type == b.Type && a.Doc == b.Doc && a.Required == b.Required && a.Optional == b.Optional &&
		slices.EqualFunc(a.Elem, b.Elem, sameField)
}
