package plugins

import (
	"errors"
	"fmt"
	"strings"
	"time"

	pb "github.com/secondline-ops/secondline/plugins/proto"
)

// Limits of what crosses the wire. A plugin is foreign code: nothing that it
// sends is unbounded.
const (
	// MaxReplyBytes bounds one answer of a plugin: two full streams of a command
	// (16 MiB each, the agent's limit) or half a dozen ordinary readings.
	MaxReplyBytes = 32 << 20

	maxRequestBytes = 40 << 20 // a Parse carries what a Read answered, and its arguments
	maxHostRequest  = 4 << 20  // argv and stdin of one command
	maxErrorBytes   = 1000
	maxDepth        = 8 // of a Value
)

func timeToWire(t time.Time) *pb.Time {
	if t.IsZero() {
		return nil
	}
	return &pb.Time{Seconds: t.Unix(), Nanos: int32(t.Nanosecond())}
}

func timeFromWire(t *pb.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return time.Unix(t.GetSeconds(), int64(t.GetNanos())).UTC()
}

// clip bounds a text of foreign origin and makes it valid UTF-8, which the wire
// insists on.
func clip(s string) string {
	if len(s) > maxErrorBytes {
		s = s[:maxErrorBytes]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func fieldsToWire(fields []Field) []*pb.Field {
	out := make([]*pb.Field, len(fields))
	for i, f := range fields {
		out[i] = &pb.Field{
			Name: f.Name, Type: string(f.Type), Doc: f.Doc,
			Required: f.Required, Optional: f.Optional, Elem: fieldsToWire(f.Elem),
		}
	}
	return out
}

// fieldsFromWire stops at the depth that no valid spec reaches; what is cut off
// there makes the spec invalid, not shorter.
func fieldsFromWire(fields []*pb.Field, depth int) []Field {
	if depth > maxDepth || len(fields) == 0 {
		return nil
	}
	out := make([]Field, len(fields))
	for i, f := range fields {
		out[i] = Field{
			Name: f.GetName(), Type: Type(f.GetType()), Doc: f.GetDoc(), Required: f.GetRequired(),
			Optional: f.GetOptional(), Elem: fieldsFromWire(f.GetElem(), depth+1),
		}
	}
	return out
}

func rawsToWire(raws []Raw) []*pb.Raw {
	out := make([]*pb.Raw, len(raws))
	for i, r := range raws {
		out[i] = &pb.Raw{
			Name: valid(r.Name), Command: valid(r.Command), Status: valid(string(r.Status)), ExitCode: int32(r.ExitCode),
			Error: clip(r.Error), Data: r.Data, Truncated: r.Truncated, At: timeToWire(r.At), TookNs: int64(r.Took),
		}
	}
	return out
}

func rawsFromWire(raws []*pb.Raw) []Raw {
	out := make([]Raw, len(raws))
	for i, r := range raws {
		out[i] = Raw{
			Name: r.GetName(), Command: r.GetCommand(), Status: Status(r.GetStatus()), ExitCode: int(r.GetExitCode()),
			Error: clip(r.GetError()), Data: r.GetData(), Truncated: r.GetTruncated(), At: timeFromWire(r.GetAt()), Took: time.Duration(r.GetTookNs()),
		}
	}
	return out
}

// Carried returns the value as it comes off the wire: with the Go types that a
// host sees. An error names what the wire does not carry.
func Carried(v Value) (Value, error) {
	wire, err := valueToWire(v, 0)
	if err != nil {
		return nil, err
	}
	return valueFromWire(wire, 0)
}

func valueToWire(v map[string]any, depth int) (map[string]*pb.Value, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("value is nested deeper than %d", maxDepth)
	}
	out := make(map[string]*pb.Value, len(v))
	for name, x := range v {
		w, err := oneToWire(x, depth)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[valid(name)] = w
	}
	return out, nil
}

func oneToWire(x any, depth int) (*pb.Value, error) {
	switch x := x.(type) {
	case string:
		return &pb.Value{Kind: &pb.Value_Text{Text: valid(x)}}, nil
	case bool:
		return &pb.Value{Kind: &pb.Value_Bool{Bool: x}}, nil
	case int:
		return &pb.Value{Kind: &pb.Value_Int{Int: int64(x)}}, nil
	case int32:
		return &pb.Value{Kind: &pb.Value_Int{Int: int64(x)}}, nil
	case int64:
		return &pb.Value{Kind: &pb.Value_Int{Int: x}}, nil
	case float32:
		return &pb.Value{Kind: &pb.Value_Double{Double: float64(x)}}, nil
	case float64:
		return &pb.Value{Kind: &pb.Value_Double{Double: x}}, nil
	case time.Time:
		return &pb.Value{Kind: &pb.Value_Time{Time: &pb.Time{Seconds: x.Unix(), Nanos: int32(x.Nanosecond())}}}, nil
	case []string:
		return listToWire(x, depth)
	case []any:
		return listToWire(x, depth)
	case []map[string]any:
		return listToWire(x, depth)
	case map[string]string:
		m := make(map[string]any, len(x))
		for k, s := range x {
			m[k] = s
		}
		return oneToWire(m, depth)
	case map[string]any:
		m, err := valueToWire(x, depth+1)
		return &pb.Value{Kind: &pb.Value_Map{Map: &pb.Map{Fields: m}}}, err
	}
	return nil, fmt.Errorf("type %T is none of the wire", x)
}

func listToWire[T any](list []T, depth int) (*pb.Value, error) {
	if depth >= maxDepth {
		return nil, fmt.Errorf("value is nested deeper than %d", maxDepth)
	}
	out := make([]*pb.Value, len(list))
	for i, x := range list {
		w, err := oneToWire(x, depth+1)
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
		out[i] = w
	}
	return &pb.Value{Kind: &pb.Value_List{List: &pb.List{Values: out}}}, nil
}

var errBadValue = errors.New("value is empty or nested too deep")

func valueFromWire(v map[string]*pb.Value, depth int) (map[string]any, error) {
	if depth > maxDepth {
		return nil, errBadValue
	}
	out := make(map[string]any, len(v))
	for name, w := range v {
		x, err := oneFromWire(w, depth)
		if err != nil {
			return nil, err
		}
		out[name] = x
	}
	return out, nil
}

func oneFromWire(w *pb.Value, depth int) (any, error) {
	switch k := w.GetKind().(type) {
	case *pb.Value_Text:
		return k.Text, nil
	case *pb.Value_Int:
		return k.Int, nil
	case *pb.Value_Double:
		return k.Double, nil
	case *pb.Value_Bool:
		return k.Bool, nil
	case *pb.Value_Time:
		return timeFromWire(k.Time), nil
	case *pb.Value_Map:
		return valueFromWire(k.Map.GetFields(), depth+1)
	case *pb.Value_List:
		if depth >= maxDepth {
			return nil, errBadValue
		}
		list := make([]any, len(k.List.GetValues()))
		for i, e := range k.List.GetValues() {
			x, err := oneFromWire(e, depth+1)
			if err != nil {
				return nil, err
			}
			list[i] = x
		}
		return list, nil
	}
	return nil, errBadValue
}

func fileInfoToWire(i FileInfo) *pb.FileInfo {
	return &pb.FileInfo{
		Name: []byte(i.Name), Size: i.Size, Blocks: i.Blocks, Mode: uint32(i.Mode), Uid: i.UID, Gid: i.GID,
		Dev: i.Dev, Inode: i.Inode, Links: i.Links, ModifiedAt: timeToWire(i.ModifiedAt), LinkTarget: []byte(i.LinkTarget),
	}
}
