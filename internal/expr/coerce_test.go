package expr

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCoerceAfterJSON(t *testing.T) {
	t.Parallel()
	in := values()
	in["hostile"] = "dropped"
	in["b"] = nil
	in["groups"] = Unknown{Why: "timed out"}
	raw, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var back map[string]any
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	got := Coerce(declared(), back)
	want := Coerce(declared(), in)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, ok := got["hostile"]; ok {
		t.Error("unknown key kept")
	}
	if _, ok := got["b"]; ok {
		t.Error("null kept")
	}
	if got["groups"] != (Unknown{Why: "timed out"}) {
		t.Errorf("unknown became %v", got["groups"])
	}
	if got["n"] != int64(0) || got["inputs"].(map[string]any)["limit"] != 90.0 {
		t.Errorf("numbers: %#v", got)
	}
}

func TestCoerceRefusesOtherTypes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typ  Type
		in   any
		want any // nil: an Unknown
	}{
		{Int, 5.0, int64(5)},
		{Int, 5.5, nil},
		{Int, 1e300, nil},
		{Int, "5", nil},
		{Int, uint64(1 << 63), nil},
		{Int, json.Number("9007199254740993"), int64(9007199254740993)},
		{Int, json.Number("x"), nil},
		{Double, int32(5), 5.0},
		{Double, json.Number("1.5"), 1.5},
		{Double, true, nil},
		{String, "x", "x"},
		{String, True, "true"},
		{String, 5, nil},
		{String, json.Number("5"), nil},
		{String, []byte("x"), nil},
		{Bool, true, true},
		{Bool, "true", nil},
		{Bool, 1, nil},
		{Timestamp, "2026-01-02T03:04:05Z", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		{Timestamp, "yesterday", nil},
		{Timestamp, time.Time{}, nil},
		{Timestamp, 5.0, nil},
		{Duration, "5m", 5 * time.Minute},
		{Duration, 3e11, 5 * time.Minute},
		{Duration, "5", nil},
		{Map, map[string]any{"unknown": "x"}, map[string]any{"unknown": "x"}},
		{Map, []any{}, nil},
		{List, []byte("x"), nil},
		{List, "x", nil},
		{List, []any{5}, nil},
		{Object, []any{}, nil},
	} {
		got := Coerce([]Field{{Name: "x", Type: c.typ}}, map[string]any{"x": c.in})["x"]
		if _, unknown := got.(Unknown); unknown != (c.want == nil) || (!unknown && !cmp.Equal(got, c.want)) {
			t.Errorf("%s of %#v: %#v, want %#v", c.typ, c.in, got, c.want)
		}
	}
}
