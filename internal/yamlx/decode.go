package yamlx

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Decoder is a type that reads itself from a node. It reports mistakes with
// Node.Errorf; other errors get the position of the node.
type Decoder interface {
	DecodeYAML(n *Node) error
}

// Decode reads n into what the pointer points to, strictly: a struct takes only
// keys named by its `yaml:"name"` tags ("name,required" must be there; embedded
// structs without a tag are part of the outer one), a null leaves the value as
// it was. It goes into structs, pointers, slices, map[string]T, strings, bools,
// numbers, time.Duration, any, *Node, Decoder and encoding.TextUnmarshaler; for
// other types it panics, since that is a bug of the caller. All mistakes are
// reported, not the first.
func (n *Node) Decode(into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		panic(fmt.Sprintf("yamlx: Decode into %T, not a pointer", into))
	}
	d := &decoding{}
	d.value(n, v.Elem())
	return join(d.errs)
}

// decoding gathers the mistakes of one Decode.
type decoding struct {
	errs []*Error
}

func (d *decoding) report(e *Error) {
	if len(d.errs) < maxErrors {
		d.errs = append(d.errs, e)
	}
}

func (d *decoding) value(n *Node, v reflect.Value) {
	if v.Type() == reflect.TypeFor[*Node]() {
		v.Set(reflect.ValueOf(n))
		return
	}
	if v.Kind() == reflect.Pointer {
		if n.Kind() == Null {
			return
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, v.Elem())
		return
	}
	if d.custom(n, v) || n.Kind() == Null {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v)
	case reflect.Slice:
		d.slice(n, v)
	case reflect.Map:
		d.mapping(n, v)
	case reflect.Interface:
		if v.NumMethod() != 0 {
			panic("yamlx: Decode into " + v.Type().String())
		}
		if plain := d.anything(n); plain != nil {
			v.Set(reflect.ValueOf(plain))
		}
	default:
		d.scalar(n, v)
	}
}

// custom lets types read themselves.
func (d *decoding) custom(n *Node, v reflect.Value) bool {
	if !v.CanAddr() {
		return false
	}
	switch self := v.Addr().Interface().(type) {
	case Decoder:
		d.foreign(n, self.DecodeYAML(n))
		return true
	case *Node:
		*self = *n
		return true
	case encoding.TextUnmarshaler:
		if n.Kind() == Null {
			return true
		}
		if text, ok := d.text(n); ok {
			d.foreign(n, self.UnmarshalText([]byte(text)))
		}
		return true
	}
	return false
}

// foreign reports an error of a type's own reader.
func (d *decoding) foreign(n *Node, err error) {
	if err == nil {
		return
	}
	own := Errors(err)
	for _, e := range own {
		d.report(e)
	}
	if len(own) == 0 {
		d.report(n.Errorf("%v", err).WithRule(RuleType))
	}
}

func (d *decoding) wrongType(n *Node, want string) {
	have := string(n.Kind())
	if text, ok := n.Scalar(); ok && n.Kind() == Scalar {
		have = fmt.Sprintf("%q", printable(text))
	}
	d.report(n.Errorf("%s expected, not %s", want, have).WithRule(RuleType))
}

func (d *decoding) structure(n *Node, v reflect.Value) {
	if n.Kind() != Mapping {
		d.wrongType(n, "mapping")
		return
	}
	fields := fieldsOf(v)
	var known []string
	for _, f := range fields {
		known = append(known, f.name)
	}
	for key, raw := range n.pairs() {
		at := slices.Index(known, key.Value)
		if at >= 0 {
			d.value(newNode(n.src, raw), fields[at].value)
			continue
		}
		e := n.src.at(key.Line, key.Column, fmt.Sprintf("unknown field %q", printable(key.Value))).WithRule(RuleUnknownField)
		if e.Hint = didYouMean(key.Value, known); e.Hint == "" {
			e.Hint = "known: " + strings.Join(known, ", ")
		}
		d.report(e)
	}
	for _, f := range fields {
		if got, ok := n.Get(f.name); f.required && (!ok || got.Kind() == Null) {
			d.report(n.Errorf("field %q is missing", f.name).WithRule(RuleMissingField))
		}
	}
}

// field is one field of a struct under its YAML name.
type field struct {
	name     string
	required bool
	value    reflect.Value
}

func fieldsOf(v reflect.Value) []field {
	var fields []field
	for i := range v.NumField() {
		f := v.Type().Field(i)
		tag, tagged := f.Tag.Lookup("yaml")
		name, option, _ := strings.Cut(tag, ",")
		switch {
		case f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct:
			fields = append(fields, fieldsOf(v.Field(i))...)
		case name == "" || name == "-":
		case !f.IsExported() || (option != "" && option != "required"):
			panic(fmt.Sprintf("yamlx: bad tag on %s.%s", v.Type(), f.Name))
		default:
			fields = append(fields, field{name: name, required: option == "required", value: v.Field(i)})
		}
	}
	return fields
}

func (d *decoding) slice(n *Node, v reflect.Value) {
	if n.Kind() != List {
		d.wrongType(n, "list")
		return
	}
	items := n.Items()
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		d.value(item, v.Index(i))
	}
}

func (d *decoding) mapping(n *Node, v reflect.Value) {
	if v.Type().Key().Kind() != reflect.String {
		panic("yamlx: Decode into " + v.Type().String())
	}
	if n.Kind() != Mapping {
		d.wrongType(n, "mapping")
		return
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for key, raw := range n.pairs() {
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(newNode(n.src, raw), element)
		v.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), element)
	}
}

// anything reads plain Go values: map[string]any, []any, string, bool, int64,
// float64 or nil.
func (d *decoding) anything(n *Node) any {
	switch n.Kind() {
	case Null:
		return nil
	case Mapping:
		m := map[string]any{}
		for key, raw := range n.pairs() {
			m[key.Value] = d.anything(newNode(n.src, raw))
		}
		return m
	case List:
		list := []any{}
		for _, item := range n.Items() {
			list = append(list, d.anything(item))
		}
		return list
	case Scalar:
	}
	if n.plain() {
		switch n.raw.ShortTag() {
		case "!!bool":
			return strings.EqualFold(n.raw.Value, "true")
		case "!!int":
			i, _ := d.integer(n, 64)
			return i
		case "!!float":
			f, _ := d.float(n)
			return f
		}
	}
	text, _ := d.text(n)
	return text
}

func (d *decoding) scalar(n *Node, v reflect.Value) {
	if v.Type() == reflect.TypeFor[time.Duration]() {
		if duration, ok := d.duration(n); ok {
			v.SetInt(int64(duration))
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		if text, ok := d.text(n); ok {
			v.SetString(text)
		}
	case reflect.Bool:
		if b, ok := d.boolean(n); ok {
			v.SetBool(b)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if i, ok := d.integer(n, v.Type().Bits()); ok {
			v.SetInt(i)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if i, ok := d.integer(n, 64); ok {
			if i < 0 || v.OverflowUint(uint64(i)) {
				d.report(n.Errorf("%s does not fit", n.raw.Value).WithRule(RuleNumber))
				return
			}
			v.SetUint(uint64(i))
		}
	case reflect.Float32, reflect.Float64:
		if f, ok := d.float(n); ok {
			v.SetFloat(f)
		}
	default:
		panic("yamlx: Decode into " + v.Type().String())
	}
}
