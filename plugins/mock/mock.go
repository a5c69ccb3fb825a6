// Package mock is a plugin with a knob for every way in which a plugin can go
// wrong, and one probe that behaves. It exists so that hosts can be tested
// against real processes; it has no use on a server.
package mock

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/plugins"
)

// Knob is something that the plugin does wrong.
type Knob string

// The knobs. Those of the process are arguments of "plugin serve mock"; those
// of a reading are the input "knob" of the probe.
const (
	ExitEarly   Knob = "exit_early" // process: ends before it speaks
	BadSpec     Knob = "bad_spec"   // process: declares nonsense
	AsksWrite   Knob = "asks_write" // process: declares a capability that there is not
	OtherName   Knob = "other_name" // process: is not the plugin it is configured as
	CrashRead   Knob = "crash_on_read"
	PanicRead   Knob = "panic_on_read"
	Hang        Knob = "hang"    // ignores its deadline
	Slow        Knob = "slow"    // waits until its deadline, and keeps it
	Huge        Knob = "huge"    // answers 100 MB
	Garbage     Knob = "garbage" // yields what it did not declare
	PanicParse  Knob = "panic_on_parse"
	Late        Knob = "late"         // calls its host again after its Read has ended
	LateOutcome Knob = "late_outcome" // fails with what became of that
	Liar        Knob = "liar"         // says that it knows, whatever was read
	FloodHost   Knob = "flood_host"   // calls its host without end
	FloodStderr Knob = "flood_stderr" // process: writes to standard error without end
)

// Always returns the knob of the process that turns the one of a reading on for
// all of them.
func Always(of Knob) Knob { return Knob(alwaysPrefix) + of }

const alwaysPrefix = "always_"

const hugeBytes = 100 << 20

// Serve serves the plugin with the knobs of the process set.
func Serve(knobs ...string) {
	if slices.Contains(knobs, string(ExitEarly)) {
		fmt.Fprintln(os.Stderr, "mock: leaving early, as asked")
		return
	}
	info, probes := Plugin(knobs...)
	plugins.Serve(info, probes...)
}

// Allow is what the plugin asks for: any file, and no program.
func Allow() plugins.Capabilities {
	return plugins.Capabilities{plugins.CapabilityRead, plugins.MayRead("/**")}
}

// Plugin returns the plugin with the knobs of the process set.
func Plugin(knobs ...string) (plugins.Info, []plugins.Probe) {
	info := plugins.Info{Name: "mock", Version: "1", Capabilities: Allow()}
	p := &probe{late: make(chan error, 1)}
	for _, k := range knobs {
		switch Knob(k) {
		case BadSpec:
			p.badSpec = true
		case AsksWrite:
			info.Capabilities = append(info.Capabilities, "write")
		case OtherName:
			info.Name = "somebody_else"
		case FloodStderr:
			go flood()
		case ExitEarly, CrashRead, PanicRead, Hang, Slow, Huge, Garbage, PanicParse, Late, LateOutcome, Liar, FloodHost:
		default:
			of, _ := strings.CutPrefix(k, alwaysPrefix)
			p.always = Knob(of)
		}
	}
	return info, []plugins.Probe{p}
}

func flood() {
	line := bytes.Repeat([]byte("x"), 1<<16)
	for {
		if _, err := os.Stderr.Write(line); err != nil {
			return
		}
	}
}

// probe counts the lines of a file, unless told to misbehave.
type probe struct {
	badSpec bool
	always  Knob
	late    chan error // what became of the last Late read; holds one
}

var _ plugins.Probe = (*probe)(nil)

// Spec implements plugins.Probe.
func (p *probe) Spec() plugins.Spec {
	if p.badSpec {
		return plugins.Spec{Name: "Lines; rm", Outputs: []plugins.Field{{Name: "n", Type: "number"}, {Name: "n", Type: plugins.Int}}}
	}
	return plugins.Spec{
		Name: "lines", Title: "Lines of a file", Doc: "Counts line feeds; for tests of plugin hosts.", CostSeconds: 0.01,
		Inputs: []plugins.Field{
			{Name: "path", Type: plugins.String, Doc: "file to count", Required: true},
			{Name: "knob", Type: plugins.String, Doc: "how to misbehave"},
		},
		Outputs: []plugins.Field{
			{Name: "lines", Type: plugins.Int, Doc: "number of line feeds"},
			{Name: "name", Type: plugins.String, Doc: "base name of the file"},
			{Name: "words", Type: plugins.List, Doc: "words of the first line", Optional: true},
			{Name: "modified_at", Type: plugins.Timestamp, Doc: "mtime", Optional: true},
			{Name: "pid", Type: plugins.Int, Doc: "of the plugin process", Optional: true},
		},
	}
}

// Read implements plugins.Probe.
func (p *probe) Read(ctx context.Context, h plugins.Host, args plugins.Args) ([]plugins.Raw, error) {
	rec := plugins.NewRecorder(h)
	switch p.knob(args) {
	case CrashRead:
		go panic("mock: crashing, as asked") // in a goroutine of its own nothing recovers it
		<-ctx.Done()
	case PanicRead:
		panic("mock: panicking, as asked")
	case Hang:
		select {}
	case Slow:
		<-ctx.Done()
		return nil, ctx.Err()
	case Huge:
		return []plugins.Raw{{Name: "file", Command: "huge", Status: plugins.OK, Data: make([]byte, hugeBytes)}}, nil
	case Late:
		go p.readLate(ctx, h, args["path"])
		return nil, nil
	case LateOutcome:
		return nil, fmt.Errorf("late read: %w", <-p.late)
	case FloodHost:
		for {
			if _, _, err := h.ReadFile(ctx, args["path"], 1); err != nil {
				return nil, err
			}
		}
	case ExitEarly, BadSpec, AsksWrite, OtherName, Garbage, PanicParse, Liar, FloodStderr:
	}
	rec.ReadFile(ctx, "file", args["path"], 1<<20)
	return rec.Raws(), nil
}

func (p *probe) knob(args plugins.Args) Knob {
	if p.always != "" {
		return p.always
	}
	return Knob(args["knob"])
}

// readLate keeps its host beyond the Read that lent it.
func (p *probe) readLate(ctx context.Context, h plugins.Host, path string) {
	<-ctx.Done() // the context ends when the Read does
	_, _, err := h.ReadFile(context.WithoutCancel(ctx), path, 1)
	p.late <- err
}

// Parse implements plugins.Probe.
func (p *probe) Parse(raws []plugins.Raw, args plugins.Args) (plugins.Value, plugins.Status, error) {
	switch p.knob(args) {
	case Liar:
		return plugins.Value{"lines": 1, "name": "x"}, plugins.OK, nil
	case Garbage:
		return plugins.Value{"lines": "many", "surprise": []any{map[string]any{"deep": true}}}, plugins.OK, nil
	case PanicParse:
		panic("mock: panicking, as asked")
	case ExitEarly, BadSpec, AsksWrite, OtherName, CrashRead, PanicRead, Hang, Slow, Huge, Late, LateOutcome, FloodHost, FloodStderr:
	}
	raw, ok := plugins.Find(raws, "file")
	if !ok {
		return nil, plugins.Failed, errors.New("nothing was read")
	}
	if raw.Status != plugins.OK {
		return nil, raw.Status, nil
	}
	first, _, _ := strings.Cut(string(raw.Data), "\n")
	return plugins.Value{
		"lines": bytes.Count(raw.Data, []byte("\n")), "name": filepath.Base(args["path"]),
		"words": strings.Fields(first), "modified_at": raw.At.Truncate(time.Second), "pid": os.Getpid(),
	}, plugins.OK, nil
}
