package remote

import (
	"context"
	"errors"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
)

// DefaultMaxParallel is how many things are asked of one server at once: sshd
// refuses the 11th session of a connection (MaxSessions 10), and a sick host
// needs its breath.
const DefaultMaxParallel = 8

// MaxReadBytes bounds one file read.
const MaxReadBytes = 16 << 20

// Options put the rules in front of a transport.
type Options struct {
	Name        string   // of the target, in errors and records; "" keeps the transport's
	Gate        Gate     // required
	Redactor    Redactor // required
	Audit       Audit    // may be nil
	MaxParallel int      // 0 means DefaultMaxParallel
	Now         func() time.Time
}

// Server is a Runner with its rules: gate, limit, redaction, audit, in that
// order, for every method. It does not own the transport.
type Server struct {
	o     Options
	t     Transport
	slots chan struct{}
}

var _ Runner = (*Server)(nil)

// Open returns the Runner over a transport. A missing gate or redactor is a
// bug of the caller: it panics.
func Open(t Transport, o Options) *Server {
	if o.Gate == nil || o.Redactor == nil {
		panic("remote.Open: a Runner without gate or redactor")
	}
	if o.Name == "" {
		o.Name = t.Target()
	}
	if o.MaxParallel <= 0 {
		o.MaxParallel = DefaultMaxParallel
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Server{o: o, t: t, slots: make(chan struct{}, o.MaxParallel)}
}

// Target implements Runner.
func (s *Server) Target() string { return s.o.Name }

// Run implements Runner.
func (s *Server) Run(ctx context.Context, cmd Command) (Result, error) {
	if cmd.Effect == "" {
		cmd.Effect = Write
	}
	if cmd.Timeout <= 0 {
		cmd.Timeout = DefaultTimeout
	}
	cmd.Timeout = min(cmd.Timeout, MaxTimeout)
	if cmd.MaxOutputBytes <= 0 {
		cmd.MaxOutputBytes = DefaultMaxOutputBytes
	}
	cmd.MaxOutputBytes = min(cmd.MaxOutputBytes, MaxOutputBytes)
	var res Result
	err := s.guarded(ctx, "run "+first(cmd.Argv), cmd, func() (int, bool, error) {
		var err error
		stop := s.watch(cmd.Watch)
		res, err = s.t.Run(ctx, widen(cmd.handOver()))
		stop()
		res = s.tidy(res, cmd.MaxOutputBytes)
		return len(res.Stdout) + len(res.Stderr), res.Truncated, err
	}, func() Result { return res })
	return res, err
}

// maxCutToken is how much of the end is dropped from what the transport cut: a
// secret cut there has lost the shape that betrays it.
const maxCutToken = 16 << 10

func widen(cmd Command) Command {
	cmd.MaxOutputBytes += RedactionSlack
	return cmd
}

// tidy redacts, then cuts: the other way round the cut could leave the
// beginning of a secret that no detector knows.
func (s *Server) tidy(r Result, limit int) Result {
	var cutOut, cutErr bool
	r.Stdout, cutOut = s.clean(r.Stdout, limit)
	r.Stderr, cutErr = s.clean(r.Stderr, limit)
	r.Truncated = r.Truncated || cutOut || cutErr
	return r
}

func (s *Server) clean(raw []byte, limit int) (data []byte, cut bool) {
	data = s.o.Redactor.Redact(raw)
	if len(raw) >= limit+RedactionSlack {
		data, cut = data[:max(0, len(data)-maxCutToken)], true
	}
	if len(data) > limit {
		return data[:limit:limit], true
	}
	return data, cut
}

// ReadFile implements Runner.
func (s *Server) ReadFile(ctx context.Context, path string, maxBytes int) (data []byte, truncated bool, err error) {
	if maxBytes <= 0 || maxBytes > MaxReadBytes {
		maxBytes = MaxReadBytes
	}
	err = s.read(ctx, "read-file", path, func() (int, bool, error) {
		raw, more, err := s.t.ReadFile(ctx, path, maxBytes+RedactionSlack)
		var cut bool
		data, cut = s.clean(raw, maxBytes)
		truncated = more || cut
		return len(data), truncated, err
	})
	return data, truncated, err
}

// Stat implements Runner.
func (s *Server) Stat(ctx context.Context, path string) (info FileInfo, err error) {
	err = s.read(ctx, "stat", path, func() (int, bool, error) {
		info, err = s.t.Stat(ctx, path)
		return 0, false, err
	})
	return info, err
}

// Statfs implements Runner.
func (s *Server) Statfs(ctx context.Context, path string) (info FSInfo, err error) {
	err = s.read(ctx, "statfs", path, func() (int, bool, error) {
		info, err = s.t.Statfs(ctx, path)
		return 0, false, err
	})
	return info, err
}

// ReadDir implements Runner. Names are not redacted: they are looked up again.
func (s *Server) ReadDir(ctx context.Context, path string, max int) (entries []FileInfo, truncated bool, err error) {
	err = s.read(ctx, "read-dir", path, func() (int, bool, error) {
		entries, truncated, err = s.t.ReadDir(ctx, path, max)
		return 0, truncated, err
	})
	return entries, truncated, err
}

func (s *Server) read(ctx context.Context, verb, path string, do func() (int, bool, error)) error {
	cmd := Command{Argv: []string{verb, path}, Effect: Read, Timeout: DefaultTimeout}
	checked := func() (int, bool, error) {
		if err := ValidatePath(verb+" "+path, path); err != nil {
			return 0, false, err
		}
		return do()
	}
	return s.guarded(ctx, verb+" "+path, cmd, checked, func() Result { return Result{} })
}

// guarded is the one way to the transport.
func (s *Server) guarded(ctx context.Context, doing string, cmd Command, do func() (int, bool, error), ended func() Result) error {
	record := Record{At: s.o.Now(), Target: s.o.Name, Argv: RedactArgv(s.o.Redactor, cmd.Argv), As: cmd.As, Effect: cmd.Effect}
	err := s.admit(ctx, doing, cmd)
	if err == nil {
		start := s.o.Now()
		record.OutBytes, record.Truncated, err = do()
		<-s.slots
		record.Took, record.ExitCode = s.o.Now().Sub(start), ended().ExitCode
		err = s.name(doing, err)
	}
	told := err
	if told == nil {
		told = ended().Err()
	}
	if e, ok := errors.AsType[*Error](told); ok {
		record.Class = e.Class
	}
	if s.o.Audit != nil {
		s.o.Audit.Record(ctx, record)
	}
	return err
}

// admit checks the command, asks the gate and takes a slot.
func (s *Server) admit(ctx context.Context, doing string, cmd Command) error {
	if err := cmd.Validate(); err != nil {
		return s.name(doing, err)
	}
	if err := s.o.Gate.Allow(ctx, s.o.Name, cmd); err != nil {
		return s.fail(doing, NotPermitted, err)
	}
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return s.fail(doing, Refused, ctx.Err())
	}
}

// RedactArgv redacts each argument, alone and beside the one before it, which
// may say that a secret follows ("--password", "hunter2").
func RedactArgv(r Redactor, argv []string) []string {
	redact := func(text string) string { return string(r.Redact([]byte(text))) }
	out := make([]string, len(argv))
	for i, arg := range argv {
		out[i] = redact(arg)
		if i == 0 || out[i] != arg {
			continue
		}
		if redact(argv[i-1]+" "+arg) != redact(argv[i-1])+" "+arg {
			out[i] = "[redacted:argument]"
		}
	}
	return out
}

func (s *Server) redactText(text string) string { return string(s.o.Redactor.Redact([]byte(text))) }

func (s *Server) fail(doing string, class Class, err error) error {
	e := &Error{Class: class, Err: err}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		e.Hint = f.Hint
	}
	return s.name(doing, e)
}

// name fills in what the transport could not know, and takes out what an error
// must not show: it may quote the server.
func (s *Server) name(doing string, err error) error {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*Error](err)
	if !ok { // a transport that did not say what happened: the careful reading
		e = &Error{Class: BrokenServer, Err: err}
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			e.Class = TimedOut
		}
	}
	c := *e
	c.Target = s.o.Name
	if c.Doing == "" {
		c.Doing = doing
	}
	c.Doing, c.Hint = s.redactText(c.Doing), s.redactText(c.Hint)
	if c.Err != nil {
		if text := s.redactText(c.Err.Error()); text != c.Err.Error() {
			c.Err = errors.New(text)
		}
	}
	if c.Result != nil {
		r := s.tidy(*c.Result, MaxOutputBytes)
		c.Result = &r
	}
	return &c
}
