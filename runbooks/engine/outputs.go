package engine

import (
	"encoding/json"
	"strings"

	"github.com/secondline-ops/secondline/internal/expr"
)

// resultOf is what the outputs of a step read.
func resultOf(out Outcome) map[string]any {
	if out.Result != nil {
		return out.Result
	}
	result := map[string]any{
		"stdout": strings.ToValidUTF8(string(out.Stdout), "\uFFFD"), "stderr": strings.ToValidUTF8(string(out.Stderr), "\uFFFD"),
		"exit_code": int64(out.ExitCode),
	}
	var object map[string]any
	if err := json.Unmarshal(out.Stdout, &object); err != nil {
		result["json"] = expr.Unknown{Why: "it printed no JSON object: " + err.Error()}
		return result
	}
	result["json"] = object
	return result
}
