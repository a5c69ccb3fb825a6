package expr

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"time"
)

// Limits of what one evaluation reads.
const (
	maxValues = 200_000 // scalars, lists and objects, in all
	maxDepth  = 32      // of objects without declared fields
)

// maxWholeDouble is the largest integer up to which every integer has a double
// of its own (IEEE 754: 53 bits); JSON numbers above it may have been rounded.
const maxWholeDouble = 1 << 53

// Coerce returns v as the fields declare it: numbers as int64 or float64,
// timestamps and durations parsed, unknown keys dropped, nulls and missing keys
// left out. What is not of its declared type becomes an Unknown that says so.
// It is for values that came through JSON, where an Unknown is {"unknown": why}.
func Coerce(f []Field, v map[string]any) map[string]any {
	c := &coercion{left: maxValues}
	return c.object("", f, v)
}

// coercion counts what it has copied.
type coercion struct {
	left int
}

func (c *coercion) object(path string, fields []Field, v map[string]any) map[string]any {
	out := make(map[string]any, len(fields))
	for _, f := range fields {
		raw, ok := v[f.Name]
		if !ok || raw == nil {
			continue
		}
		out[f.Name] = c.value(join(path, f.Name), f, raw)
	}
	return out
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// value returns raw as f declares it, or an Unknown.
func (c *coercion) value(path string, f Field, raw any) any {
	if c.left--; c.left < 0 {
		return Unknown{Why: fmt.Sprintf("%s is too large to read", path)}
	}
	if u, ok := asUnknown(f, raw); ok {
		return u
	}
	switch f.Type {
	case List:
		return c.list(path, f, raw)
	case Map:
		return c.stringMap(path, raw)
	case Object:
		m, ok := raw.(map[string]any)
		switch {
		case !ok:
			return mismatch(path, f, raw)
		case len(f.Elem) > 0:
			return c.object(path, f.Elem, m)
		}
		return c.anything(path, m, 1)
	case String, Int, Double, Bool, Timestamp, Duration:
	}
	if out, ok := scalar(f.Type, raw); ok {
		return out
	}
	return mismatch(path, f, raw)
}

func asUnknown(f Field, raw any) (Unknown, bool) {
	switch u := raw.(type) {
	case Unknown:
		return u, true
	case *Unknown:
		return *u, true
	case map[string]any:
		why, ok := u["unknown"].(string)
		return Unknown{Why: why}, ok && len(u) == 1 && f.Type != Map
	}
	return Unknown{}, false
}

func mismatch(path string, f Field, raw any) Unknown {
	return Unknown{Why: fmt.Sprintf("%s is a %T, not a %s", path, raw, f.Type)}
}

func (c *coercion) list(path string, f Field, raw any) any {
	v := reflect.ValueOf(raw)
	if v.Kind() != reflect.Slice || v.Type().Elem().Kind() == reflect.Uint8 {
		return mismatch(path, f, raw)
	}
	element := Field{Name: f.Name, Type: String}
	if len(f.Elem) > 0 {
		element = Field{Name: f.Name, Type: Object, Elem: f.Elem}
	}
	if v.Len() > c.left {
		return Unknown{Why: fmt.Sprintf("%s has %d elements, too many to read", path, v.Len())}
	}
	out := make([]any, v.Len())
	for i := range out {
		at := fmt.Sprintf("%s[%d]", path, i)
		item := c.value(at, element, v.Index(i).Interface())
		if u, ok := firstUnknown(item); ok {
			return u
		}
		out[i] = item
	}
	return out
}

// firstUnknown finds an Unknown in an element: cel has no way to mark a part of
// a list as unknown to a macro that runs over it.
func firstUnknown(v any) (Unknown, bool) {
	switch v := v.(type) {
	case Unknown:
		return v, true
	case map[string]any:
		for _, item := range v {
			if u, ok := firstUnknown(item); ok {
				return u, true
			}
		}
	}
	return Unknown{}, false
}

func (c *coercion) stringMap(path string, raw any) any {
	out := map[string]any{}
	switch m := raw.(type) {
	case map[string]string:
		c.left -= len(m)
		for k, v := range m {
			out[k] = v
		}
	case map[string]any:
		for k, v := range m {
			if v != nil {
				out[k] = c.value(path+"."+k, Field{Name: k, Type: String}, v)
			}
		}
	default:
		return mismatch(path, Field{Type: Map}, raw)
	}
	return out
}

// anything copies a value without a declaration, as JSON has it.
func (c *coercion) anything(path string, raw any, depth int) any {
	if c.left--; c.left < 0 || depth > maxDepth {
		return Unknown{Why: path + " is too large to read"}
	}
	switch v := raw.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, item := range v {
			if item != nil {
				out[k] = c.anything(join(path, k), item, depth+1)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = c.anything(path, item, depth+1)
			if u, ok := firstUnknown(out[i]); ok {
				return u
			}
		}
		return out
	case nil, Unknown, time.Time, time.Duration:
		return v
	}
	for _, t := range []Type{String, Bool, Int, Double} {
		if out, ok := scalar(t, raw); ok {
			return out
		}
	}
	return Unknown{Why: fmt.Sprintf("%s is a %T", path, raw)}
}

// scalar converts what JSON and Go write differently, and nothing else: a
// number in a string stays a string.
func scalar(t Type, raw any) (any, bool) {
	v := reflect.ValueOf(raw)
	switch t {
	case String:
		if _, number := raw.(json.Number); number || v.Kind() != reflect.String {
			return nil, false
		}
		return v.String(), true
	case Bool:
		return v.Kind() == reflect.Bool && v.Bool(), v.Kind() == reflect.Bool
	case Int:
		return whole(raw, v)
	case Double:
		return double(raw, v)
	case Timestamp:
		return timestamp(raw)
	case Duration:
		return duration(raw, v)
	case List, Map, Object:
	}
	return nil, false
}

func whole(raw any, v reflect.Value) (int64, bool) {
	if n, ok := raw.(json.Number); ok {
		if i, err := n.Int64(); err == nil {
			return i, true
		}
		f, err := n.Float64()
		return int64(f), err == nil && f == math.Trunc(f) && math.Abs(f) <= maxWholeDouble
	}
	switch {
	case v.CanInt():
		return v.Int(), true
	case v.CanUint():
		return int64(v.Uint()), v.Uint() <= math.MaxInt64
	case v.CanFloat():
		f := v.Float()
		return int64(f), f == math.Trunc(f) && math.Abs(f) <= maxWholeDouble
	}
	return 0, false
}

func double(raw any, v reflect.Value) (float64, bool) {
	if n, ok := raw.(json.Number); ok {
		f, err := n.Float64()
		return f, err == nil
	}
	switch {
	case v.CanFloat():
		return v.Float(), !math.IsNaN(v.Float())
	case v.CanInt():
		return float64(v.Int()), true
	case v.CanUint():
		return float64(v.Uint()), true
	}
	return 0, false
}

func timestamp(raw any) (time.Time, bool) {
	switch v := raw.(type) {
	case time.Time:
		return v, !v.IsZero()
	case string:
		at, err := time.Parse(time.RFC3339Nano, v)
		return at.UTC(), err == nil && !at.IsZero()
	}
	return time.Time{}, false
}

// duration takes what encoding/json makes of a time.Duration, nanoseconds, too.
func duration(raw any, v reflect.Value) (time.Duration, bool) {
	if text, ok := raw.(string); ok {
		d, err := time.ParseDuration(text)
		return d, err == nil
	}
	ns, ok := whole(raw, v)
	return time.Duration(ns), ok
}
