// Package schematest holds YAML against a JSON Schema, as an editor does. Only
// tests import it.
package schematest

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/secondline-ops/secondline/internal/yamlx"
)

// Schema is a JSON Schema that was found to be one.
type Schema struct{ compiled *jsonschema.Schema }

// Compile reads what is encoded as a schema, and holds it against draft 2020-12.
func Compile(t *testing.T, schema any) Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", plain(t, schema)); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return Schema{compiled}
}

// Validate returns what is wrong with a YAML document. One that is no YAML fails
// the test.
func (s Schema) Validate(t *testing.T, text string) error {
	t.Helper()
	node, err := yamlx.Parse("example.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := node.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return s.compiled.Validate(plain(t, v))
}

// plain is the value in the types that the validator reads.
func plain(t *testing.T, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}
