package plugins

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/secondline-ops/secondline/plugins/proto"
)

func TestValueSurvivesTheWire(t *testing.T) {
	t.Parallel()
	far := time.Date(9999, 12, 31, 23, 59, 59, 7, time.UTC)
	in := Value{
		"s": "text", "i": 42, "i64": int64(math.MinInt64), "f": 1.5, "b": true, "t": far, "zero": time.Time{},
		"l": []string{"a", "b"}, "m": map[string]string{"k": "v"}, "o": []map[string]any{{"n": 1}}, "bad": "\xff",
	}
	want := map[string]any{
		"s": "text", "i": int64(42), "i64": int64(math.MinInt64), "f": 1.5, "b": true, "t": far, "zero": time.Time{},
		"l": []any{"a", "b"}, "m": map[string]any{"k": "v"}, "o": []any{map[string]any{"n": int64(1)}}, "bad": "\uFFFD",
	}
	wire, err := valueToWire(in, 0)
	if err != nil {
		t.Fatal(err)
	}
	got, err := valueFromWire(wire, 0)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, %v", got, err)
	}
}

func TestValueThatTheWireDoesNotCarryIsAnError(t *testing.T) {
	t.Parallel()
	deep := any("x")
	for range maxDepth + 1 {
		deep = []any{deep}
	}
	for name, x := range map[string]any{"struct": struct{}{}, "nil": nil, "deep": deep, "uint64": uint64(1)} {
		if _, err := valueToWire(Value{"x": x}, 0); err == nil || !strings.HasPrefix(err.Error(), "x: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzValueFromWire(f *testing.F) {
	seed, err := valueToWire(Value{"a": []any{map[string]any{"b": 1}}, "t": time.Unix(1, 2)}, 0)
	if err != nil {
		f.Fatal(err)
	}
	b, err := proto.Marshal(&pb.ParseResponse{Value: seed, Status: "ok"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{})
	checker := NewChecker()
	spec := Spec{Name: "x", Title: "x", Outputs: []Field{{Name: "a", Type: List, Elem: []Field{{Name: "b", Type: Int}}}, {Name: "t", Type: Timestamp}}}
	f.Fuzz(func(t *testing.T, data []byte) {
		var resp pb.ParseResponse
		if proto.Unmarshal(data, &resp) != nil {
			return
		}
		v, err := valueFromWire(resp.GetValue(), 0)
		if err != nil || checker.Answer(spec, v, OK) != nil {
			return
		}
		// What was accepted is exactly what was declared, and goes back as it came.
		if len(v) != 2 {
			t.Errorf("accepted %v", v)
		}
		back, err := valueToWire(v, 0)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := valueFromWire(back, 0); err != nil || fmt.Sprint(again) != fmt.Sprint(v) {
			t.Errorf("%v came back as %v, %v", v, again, err)
		}
	})
}

func TestCheckerRefusesDeclarations(t *testing.T) {
	t.Parallel()
	c := NewChecker()
	good := func() (Info, Spec) {
		return Info{Name: "redis", Version: "1", Capabilities: []Capability{CapabilityRead}},
			Spec{Name: "memory", Title: "Memory", Outputs: []Field{{Name: "used", Type: Int}}}
	}
	info, spec := good()
	if err := c.Plugin(info, []Spec{spec}); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	nested := []Field{{Name: "x", Type: Int}}
	for range maxElem + 1 {
		nested = []Field{{Name: "x", Type: Object, Elem: nested}}
	}
	for name, bend := range map[string]func(*Info, *Spec){
		"name":             func(i *Info, _ *Spec) { i.Name = "Redis" },
		"name of a path":   func(i *Info, _ *Spec) { i.Name = "../redis" },
		"no capability":    func(i *Info, _ *Spec) { i.Capabilities = nil },
		"more capability":  func(i *Info, _ *Spec) { i.Capabilities = append(i.Capabilities, "write") },
		"other capability": func(i *Info, _ *Spec) { i.Capabilities[0] = "write" },
		"version":          func(i *Info, _ *Spec) { i.Version = strings.Repeat("1", 201) },
		"probe name":       func(_ *Info, s *Spec) { s.Name = "redis.memory" },
		"title":            func(_ *Info, s *Spec) { s.Title = "" },
		"doc":              func(_ *Info, s *Spec) { s.Doc = strings.Repeat("x", maxDocBytes) },
		"no outputs":       func(_ *Info, s *Spec) { s.Outputs = nil },
		"output type":      func(_ *Info, s *Spec) { s.Outputs[0].Type = "number" },
		"output twice":     func(_ *Info, s *Spec) { s.Outputs = append(s.Outputs, s.Outputs[0]) },
		"object of what":   func(_ *Info, s *Spec) { s.Outputs[0].Type = Object },
		"int with elem":    func(_ *Info, s *Spec) { s.Outputs[0].Elem = []Field{{Name: "x", Type: Int}} },
		"too deep":         func(_ *Info, s *Spec) { s.Outputs = nested },
		"too many":         func(_ *Info, s *Spec) { s.Outputs = make([]Field, maxFields+1) },
		"list as input":    func(_ *Info, s *Spec) { s.Inputs = []Field{{Name: "x", Type: List}} },
		"cost":             func(_ *Info, s *Spec) { s.CostSeconds = -1 },
		"cost is NaN":      func(_ *Info, s *Spec) { s.CostSeconds = math.NaN() },
	} {
		info, spec := good()
		bend(&info, &spec)
		if c.Plugin(info, []Spec{spec}) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	info, spec = good()
	if c.Plugin(info, []Spec{spec, spec}) == nil || c.Plugin(info, nil) == nil || c.Plugin(info, make([]Spec, maxProbes+1)) == nil {
		t.Error("two of a name, none, or too many probes were accepted")
	}
}

func TestCheckerRefusesAnswers(t *testing.T) {
	t.Parallel()
	c := NewChecker()
	s := Spec{Outputs: []Field{
		{Name: "n", Type: Int},
		{Name: "words", Type: List},
		{Name: "rows", Type: List, Elem: []Field{{Name: "k", Type: String}}},
		{Name: "labels", Type: Map, Optional: true},
	}}
	full := func() Value {
		return Value{"n": int64(1), "words": []any{"a"}, "rows": []any{map[string]any{"k": "v"}}, "labels": map[string]any{"a": "b"}}
	}
	if err := c.Answer(s, full(), OK); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	if err := c.Answer(s, nil, Failed); err != nil {
		t.Errorf("no value with failed: %v", err)
	}
	for name, bend := range map[string]func(Value){
		"missing":        func(v Value) { delete(v, "n") },
		"undeclared":     func(v Value) { v["x"] = "y" },
		"text for int":   func(v Value) { v["n"] = "1" },
		"double for int": func(v Value) { v["n"] = 1.0 },
		"word is int":    func(v Value) { v["words"] = []any{int64(1)} },
		"row is text":    func(v Value) { v["rows"] = []any{"x"} },
		"row is empty":   func(v Value) { v["rows"] = []any{map[string]any{}} },
		"label is int":   func(v Value) { v["labels"] = map[string]any{"a": int64(1)} },
		"labels is list": func(v Value) { v["labels"] = []any{} },
	} {
		v := full()
		bend(v)
		if c.Answer(s, v, OK) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if c.Answer(s, full(), "fine") == nil {
		t.Error("an unknown status was accepted")
	}
	if c.Raws([]Raw{{Name: "x", Status: "fine"}}) == nil || c.Raws([]Raw{{Status: OK}}) == nil || c.Raws(make([]Raw, maxRaws+1)) == nil {
		t.Error("bad raws were accepted")
	}
}

// counting is a Host that answers everything with nothing.
type counting struct{ Host }

func (counting) Stat(context.Context, string) (FileInfo, error) { return FileInfo{}, nil }

func TestHostServesOneReadAndOnlySoMuch(t *testing.T) {
	t.Parallel()
	s := newHostServer()
	if _, err := s.Stat(t.Context(), &pb.StatRequest{Session: 1}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("before any read: %v", err)
	}
	id, end := s.begin(t.Context(), counting{})
	for range maxSessionCalls {
		if _, err := s.Stat(t.Context(), &pb.StatRequest{Session: id}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Stat(t.Context(), &pb.StatRequest{Session: id}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("call %d of one read: %v", maxSessionCalls+1, err)
	}
	end()
	if _, err := s.Stat(t.Context(), &pb.StatRequest{Session: id}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("after the read: %v", err)
	}
	if len(s.sessions) != 0 {
		t.Error("a session stayed behind")
	}
}
