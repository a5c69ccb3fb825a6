package expr

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

// Field declares one name that an expression can read, or one field of an
// object. The same declaration makes the type check at load, the coercion of
// values that came through JSON, and the documentation.
type Field struct {
	Name     string
	Type     Type
	Doc      string // one line, with the unit and the source of the number
	Required bool   // of an input: must be given
	Optional bool   // of an output: may be missing; has(x.name) asks
	Elem     []Field
}
