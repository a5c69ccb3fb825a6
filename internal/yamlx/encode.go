package yamlx

import (
	"encoding/json"
	"fmt"

	"gopkg.in/yaml.v3"
)

// Encode writes v as YAML with the names that its JSON has, so that the two
// forms of one answer cannot differ.
func Encode(v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var generic any
	if err := json.Unmarshal(raw, &generic); err != nil {
		return nil, fmt.Errorf("read back: %w", err)
	}
	return yaml.Marshal(generic)
}
