package expr

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Type is the type of a field that an expression can read.
type Type string

// The types of fields. A List holds objects with the fields of Field.Elem, or
// strings when Elem is empty; an Object has the fields of Elem, or any when Elem
// is empty, unchecked until it is read; a Map goes from string to string.
const (
	String    Type = "string"
	Int       Type = "int"
	Double    Type = "double"
	Bool      Type = "bool"
	Timestamp Type = "timestamp"
	Duration  Type = "duration"
	List      Type = "list"
	Map       Type = "map"
	Object    Type = "object"
)

// Unit says what a number counts.
type Unit string

// Bytes are shown to people as ByteText does.
const Bytes Unit = "bytes"

// CheckText says what is wrong with text that stands for a value of the type; a
// list stands there as a JSON array, an object or a map as a JSON object.
func (t Type) CheckText(text string) error {
	var err error
	switch t {
	case String:
		return nil
	case Int:
		_, err = strconv.ParseInt(text, 10, 64)
	case Double:
		_, err = strconv.ParseFloat(text, 64)
	case Bool:
		if text != "true" && text != "false" {
			err = strconv.ErrSyntax
		}
	case Timestamp:
		_, err = time.Parse(time.RFC3339, text)
	case Duration:
		_, err = time.ParseDuration(text)
	case List:
		err = json.Unmarshal([]byte(text), &[]any{})
	case Map, Object:
		err = json.Unmarshal([]byte(text), &map[string]any{})
	}
	if err != nil {
		return fmt.Errorf("%q is no %s", clip(text), t)
	}
	return nil
}

// Field declares one name that an expression can read, or one field of an
// object. The same declaration makes the type check at load, the coercion of
// values that came through JSON, and the documentation.
type Field struct {
	Name     string
	Type     Type
	Doc      string // one line, with the unit and the source of the number
	Unit     Unit   // how a number is shown to people; "" as it is
	Required bool   // of an input: must be given
	Optional bool   // of an output: may be missing; has(x.name) asks
	Elem     []Field
}
