package runbooks

// Form says what a value of a runbook looks like: JSON Schema, draft 2020-12,
// as far as runbooks need it. Editors complete and check by it while people
// write. The loader decides by itself: a form may take what the loader refuses,
// and never refuses what the loader takes.
type Form struct {
	Dialect string           `json:"$schema,omitempty"`
	Title   string           `json:"title,omitempty"`
	Doc     string           `json:"description,omitempty"`
	Ref     string           `json:"$ref,omitempty"` // "#/$defs/" and the name
	Types   []string         `json:"type,omitempty"`
	Words   []string         `json:"enum,omitempty"`
	Pattern string           `json:"pattern,omitempty"` // of text
	Least   *float64         `json:"minimum,omitempty"` // of numbers
	Most    *float64         `json:"maximum,omitempty"`
	Items   *Form            `json:"items,omitempty"`
	Fewest  int              `json:"minItems,omitempty"`
	Longest int              `json:"maxItems,omitempty"`
	Fields  map[string]*Form `json:"properties,omitempty"`
	Needed  []string         `json:"required,omitempty"`
	Names   *Form            `json:"propertyNames,omitempty"`
	Others  any              `json:"additionalProperties,omitempty"` // a *Form; false: Fields are all there is
	AnyOf   []*Form          `json:"anyOf,omitempty"`
	OneOf   []*Form          `json:"oneOf,omitempty"`
	AllOf   []*Form          `json:"allOf,omitempty"`
	If      *Form            `json:"if,omitempty"`
	Then    *Form            `json:"then,omitempty"`
	Defs    map[string]*Form `json:"$defs,omitempty"`
}

// Schemer is an extra ability of a Decoder: an action that says what its part
// of a step looks like. An editor takes any part of an action without it.
type Schemer interface {
	// Schema returns the form of what Decode reads; its Doc says in a few words
	// what the action does.
	Schema() *Form
}

// TextForm is a scalar that is read as it was written, with or without quotes.
func TextForm(doc string) *Form {
	return &Form{Doc: doc, Types: []string{"string", "number", "boolean"}}
}

// ExpressionForm is an expression of the language, which `true` is, too.
func ExpressionForm(doc string) *Form { return &Form{Doc: doc, Types: []string{"string", "boolean"}} }

// WordForm is one of the words.
func WordForm[T ~string](doc string, words ...T) *Form {
	return &Form{Doc: doc, Words: wordsOf(words)}
}

// DurationForm is a duration, as 90s, 5m or 1d12h; a plain number is only 0.
func DurationForm(doc string) *Form {
	return &Form{
		Doc: doc, Types: []string{"string", "integer"}, Least: new(0.0), Most: new(0.0),
		Pattern: `^([0-9]+d)?([0-9]*[.]?[0-9]*(ns|us|µs|ms|s|m|h))*$|^0$`,
	}
}

// WholeForm is a whole number.
func WholeForm(doc string, least, most int) *Form {
	return &Form{Doc: doc, Types: []string{"integer"}, Least: new(float64(least)), Most: new(float64(most))}
}

// FlagForm is true or false.
func FlagForm(doc string) *Form { return &Form{Doc: doc, Types: []string{"boolean"}} }

// ListForm is a list of at least fewest items; longest 0 sets no bound.
func ListForm(doc string, item *Form, fewest, longest int) *Form {
	return &Form{Doc: doc, Types: []string{"array"}, Items: item, Fewest: fewest, Longest: longest}
}

// ArgvForm is a list of arguments, the program first.
func ArgvForm(doc string) *Form { return ListForm(doc, TextForm(""), 1, 0) }

// FormField is a field of a mapping.
type FormField struct {
	Name   string
	Form   *Form
	needed bool
}

// Need is a field that must be there.
func Need(name string, f *Form) FormField { return FormField{name, f, true} }

// May is a field that may be left out.
func May(name string, f *Form) FormField { return FormField{name, f, false} }

// MappingForm is a mapping of these fields and no others.
func MappingForm(doc string, fields ...FormField) *Form {
	f := &Form{Doc: doc, Types: []string{"object"}, Fields: map[string]*Form{}, Others: false}
	for _, field := range fields {
		f.Fields[field.Name] = field.Form
		if field.needed {
			f.Needed = append(f.Needed, field.Name)
		}
	}
	return f
}

// EntriesForm is a mapping whose keys are the author's own, as the pattern says;
// "" takes every key.
func EntriesForm(doc, pattern string, entry *Form) *Form {
	f := &Form{Doc: doc, Types: []string{"object"}, Others: entry}
	if pattern != "" {
		f.Names = &Form{Pattern: pattern}
	}
	return f
}

// EitherForm is what one of the forms is.
func EitherForm(doc string, forms ...*Form) *Form { return &Form{Doc: doc, AnyOf: forms} }

// ExactlyOne narrows a mapping to those that have one of the keys.
func (f *Form) ExactlyOne(keys ...string) *Form {
	for _, key := range keys {
		f.OneOf = append(f.OneOf, &Form{Needed: []string{key}})
	}
	return f
}

func refForm(name string) *Form { return &Form{Ref: "#/$defs/" + name} }
