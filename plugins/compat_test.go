package plugins

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/secondline-ops/secondline/plugins/proto"
)

func TestMain(m *testing.M) {
	flag.Bool("record", false, "record the protocol anew: only when its version becomes another, into a folder of that version")
	flag.Parse()
	os.Exit(m.Run())
}

// recordedDir is the protocol as it was first released. What is in there is
// never changed: a plugin built then must work with the agents of now.
func recordedDir() string {
	return filepath.Join("testdata", fmt.Sprintf("protocol-%d", ProtocolVersion))
}

func recording() bool { return flag.Lookup("record").Value.String() == "true" }

// lines are the fields of the wire, one a line.
func lines() []string {
	var all []string
	var walk func(protoreflect.MessageDescriptors)
	walk = func(messages protoreflect.MessageDescriptors) {
		for i := range messages.Len() {
			m := messages.Get(i)
			for j := range m.Fields().Len() {
				f := m.Fields().Get(j)
				kind := f.Kind().String()
				if f.Message() != nil {
					kind = string(f.Message().FullName())
				}
				all = append(all, fmt.Sprintf("%s.%s = %d %s %s", m.FullName(), f.Name(), f.Number(), f.Cardinality(), kind))
			}
			walk(m.Messages())
		}
	}
	walk(pb.File_plugin_proto.Messages())
	services := pb.File_plugin_proto.Services()
	for i := range services.Len() {
		for j := range services.Get(i).Methods().Len() {
			m := services.Get(i).Methods().Get(j)
			all = append(all, fmt.Sprintf("%s(%s) %s", m.FullName(), m.Input().FullName(), m.Output().FullName()))
		}
	}
	slices.Sort(all)
	return all
}

func TestFieldsOfTheWireAreOnlyAdded(t *testing.T) {
	t.Parallel()
	file := filepath.Join(recordedDir(), "fields.txt")
	now := lines()
	if recording() {
		save(t, file, []byte(strings.Join(now, "\n")+"\n"))
	}
	recorded, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(recorded)) {
		if !slices.Contains(now, strings.TrimSpace(line)) {
			t.Errorf("an old plugin counts on %s", line)
		}
	}
}

func save(t *testing.T, file string, data []byte) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(file), 0o750)
	if err == nil {
		err = os.WriteFile(file, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// described, raws and value are what the recorded messages say.
func described() *pb.DescribeResponse {
	return &pb.DescribeResponse{Name: "rooms", Version: "7", Capabilities: []string{"read", "run:psql", "file:/etc/rooms/**"}, Probes: []*pb.Spec{{
		Name: "heat", Title: "Heat", Doc: "In degrees.", CostSeconds: 0.5, Inputs: fieldsToWire([]Field{{Name: "room", Type: String, Required: true}}),
		Outputs: fieldsToWire([]Field{{Name: "rooms", Type: List, Elem: []Field{{Name: "degrees", Type: Double, Optional: true}}}}),
	}}}
}

func raws() []Raw {
	return []Raw{{Name: "a", Command: "cat x", Status: OK, ExitCode: 1, Error: "e", Data: []byte{0, 255}, Truncated: true, At: time.Unix(1e9, 5).UTC(), Took: time.Second}}
}

func value() Value {
	return Value{"t": "x", "i": int64(-1), "d": 0.0, "b": false, "at": time.Unix(1e9, 0).UTC(), "l": []any{"a", map[string]any{"n": int64(0)}}}
}

func messages(t *testing.T) map[string]proto.Message {
	t.Helper()
	v, err := valueToWire(value(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]proto.Message{
		"describe_response": described(),
		"read_request":      &pb.ReadRequest{Session: 9, Probe: "heat", Args: map[string]string{"room": "hall"}, TimeoutMs: 1000, Target: "db1"},
		"read_response":     &pb.ReadResponse{Raws: rawsToWire(raws()), Error: "late", TimedOut: true},
		"parse_response":    &pb.ParseResponse{Value: v, Status: "ok"},
		"run_request":       &pb.RunRequest{Session: 9, Argv: [][]byte{[]byte("psql"), {255}}, Stdin: []byte("x"), As: "postgres", TimeoutMs: 5, MaxOutputBytes: 6},
		"run_response":      &pb.RunResponse{Stdout: []byte("o"), Stderr: []byte("e"), ExitCode: -1, Signal: "KILL", Error: &pb.HostError{Class: "not_permitted", Message: "m"}},
	}
}

func TestRecordedMessagesMeanWhatTheyMeant(t *testing.T) {
	t.Parallel()
	for name, now := range messages(t) {
		file := filepath.Join(recordedDir(), name+".pb")
		if recording() {
			data, err := proto.MarshalOptions{Deterministic: true}.Marshal(now)
			if err != nil {
				t.Fatal(err)
			}
			save(t, file, data)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		old := now.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(data, old); err != nil || !proto.Equal(old, now) || len(old.ProtoReflect().GetUnknown()) > 0 {
			t.Errorf("%s: %v, read as %v", name, err, old)
		}
		switch old := old.(type) {
		case *pb.ReadResponse:
			if got := rawsFromWire(old.GetRaws()); !reflect.DeepEqual(got, raws()) {
				t.Errorf("raws are %+v", got)
			}
		case *pb.ParseResponse:
			if got, err := valueFromWire(old.GetValue(), 0); err != nil || !reflect.DeepEqual(Value(got), value()) {
				t.Errorf("value is %v, %v", got, err)
			}
		}
	}
}
