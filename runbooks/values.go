package runbooks

import (
	"encoding/json"
	"fmt"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/secondline-ops/secondline/internal/expr"
)

// Bounds of input values.
const (
	maxPathBytes  = 4096 // PATH_MAX, linux/limits.h
	maxUnitBytes  = 255  // UNIT_NAME_MAX, systemd src/basic/unit-name.h
	maxValueBytes = 4096
)

// InputTypes lists the types of inputs.
func InputTypes() []InputType {
	return []InputType{
		InputString, InputPath, InputUnit, InputPercent, InputInt, InputBool, InputDuration, InputBytes, InputArgv, InputPatterns,
	}
}

// exprType is the type under which expressions see an input.
func (t InputType) exprType() expr.Type {
	switch t {
	case InputPercent:
		return expr.Double
	case InputInt, InputBytes:
		return expr.Int
	case InputBool:
		return expr.Bool
	case InputArgv, InputPatterns:
		return expr.List
	case InputDuration:
		return expr.Duration
	case InputString, InputPath, InputUnit:
		return expr.String
	}
	panic("runbooks: input type " + string(t) + " has no expression type")
}

// parseValue reads text as a value of a type that is not a list. The error is
// a sentence part that follows the name of the input.
func parseValue(t InputType, text string) (any, error) {
	if len(text) > maxValueBytes {
		return nil, fmt.Errorf("is longer than %d bytes", maxValueBytes)
	}
	switch t {
	case InputString:
		return text, checkString(text)
	case InputPath:
		return text, checkPath(text)
	case InputUnit:
		return parseUnit(text)
	case InputPercent:
		return parsePercent(text)
	case InputInt:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("is %q, not a whole number", text)
		}
		return n, nil
	case InputBool:
		if text != "true" && text != "false" {
			return nil, fmt.Errorf("is %q, neither true nor false", text)
		}
		return text == "true", nil
	case InputDuration:
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return nil, fmt.Errorf("is %q, not a duration like 90s or 5m", text)
		}
		return d, nil
	case InputBytes:
		return parseBytes(text)
	case InputArgv, InputPatterns:
		return nil, fmt.Errorf("is of type %s, which only the inventory gives", t)
	}
	return nil, fmt.Errorf("is of the unknown type %q", t)
}

// showValue is the value as people and the plan's digest see it.
func showValue(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case time.Duration:
		return v.String()
	}
	text, err := json.Marshal(v) // a list of strings, which always marshals
	if err != nil {
		panic(fmt.Sprintf("runbooks: show value %T: %v", v, err))
	}
	return string(text)
}

// checkString refuses what an argument list or a terminal would misread: a
// leading dash turns a value into an option.
func checkString(s string) error {
	if strings.HasPrefix(s, "-") {
		return fmt.Errorf("is %q; a value that begins with a dash would be read as an option", s)
	}
	return checkText(s)
}

func checkText(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("is %q, which is not UTF-8", s)
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return fmt.Errorf("is %q, which holds control characters", s)
	}
	return nil
}

func checkPath(s string) error {
	switch {
	case len(s) >= maxPathBytes:
		return fmt.Errorf("is longer than a path can be (%d bytes)", maxPathBytes-1)
	case !strings.HasPrefix(s, "/"):
		return fmt.Errorf("is %q, not an absolute path", s)
	case path.Clean(s) != s:
		return fmt.Errorf("is %q, not a clean path; write %q", s, path.Clean(s))
	}
	return checkText(s)
}

// parseUnit checks a systemd unit name (systemd.unit(5)) and completes one
// without a type to .service, as systemctl(1) does.
func parseUnit(s string) (any, error) {
	if s == "" || strings.HasPrefix(s, "-") || strings.HasPrefix(s, ".") || strings.HasPrefix(s, "@") {
		return nil, fmt.Errorf("is %q, not a unit name", s)
	}
	for _, r := range s {
		ascii := r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r))
		if !ascii && !strings.ContainsRune(`:-_.\@`, r) {
			return nil, fmt.Errorf("is %q; a unit name holds no %q", s, r)
		}
	}
	switch path.Ext(s) {
	case ".service", ".socket", ".device", ".mount", ".automount", ".swap", ".target", ".path", ".timer", ".slice", ".scope":
	default:
		s += ".service"
	}
	if len(s) > maxUnitBytes {
		return nil, fmt.Errorf("is longer than a unit name can be (%d bytes)", maxUnitBytes)
	}
	return s, nil
}

func parsePercent(s string) (any, error) {
	p, err := strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
	if err != nil || math.IsNaN(p) || p < 0 || p > 100 {
		return nil, fmt.Errorf("is %q, not a percentage from 0 to 100", s)
	}
	return p, nil
}

// parseBytes reads a number of bytes, or one with a unit of powers of 1024
// (KiB) or 1000 (KB).
func parseBytes(s string) (any, error) {
	units := []struct {
		suffix string
		factor float64
	}{
		{"KiB", 1 << 10},
		{"MiB", 1 << 20},
		{"GiB", 1 << 30},
		{"TiB", 1 << 40},
		{"KB", 1e3},
		{"MB", 1e6},
		{"GB", 1e9},
		{"TB", 1e12},
		{"B", 1},
	}
	bad := fmt.Errorf("is %q, not a size like 1500 or 2GiB", s)
	for _, u := range units {
		number, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || math.IsNaN(f) || f < 0 || f*u.factor >= math.MaxInt64 {
			return nil, bad
		}
		return int64(f * u.factor), nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return nil, bad
	}
	return n, nil
}

// checkMax refuses a value above the input's max. Both were parsed with the
// input's type.
func checkMax(in Input, v any) error {
	if in.Max == "" {
		return nil
	}
	limit, err := parseValue(in.Type, in.Max)
	if err != nil {
		return fmt.Errorf("max %w", err)
	}
	var above bool
	switch in.Type {
	case InputPercent:
		above = v.(float64) > limit.(float64)
	case InputInt, InputBytes:
		above = v.(int64) > limit.(int64)
	case InputDuration:
		above = v.(time.Duration) > limit.(time.Duration)
	case InputString, InputPath, InputUnit, InputBool, InputArgv, InputPatterns:
		return fmt.Errorf("is of type %s, which has no max", in.Type)
	}
	if above {
		return fmt.Errorf("is %s, above its max of %s", showValue(v), in.Max)
	}
	return nil
}

// maxPatternBytes keeps a pattern one that people can read.
const maxPatternBytes = 500

// checkInputPattern refuses a pattern that is none, or of a type that is no text.
func checkInputPattern(in Input) error {
	switch in.Type {
	case InputString, InputPath, InputUnit:
	case InputPercent, InputInt, InputBool, InputDuration, InputBytes, InputArgv, InputPatterns:
		return fmt.Errorf("is of type %s, which has no pattern", in.Type)
	}
	if in.Pattern == "" || len(in.Pattern) > maxPatternBytes {
		return fmt.Errorf("is no regular expression of 1 to %d bytes", maxPatternBytes)
	}
	if _, err := wholePattern(in.Pattern); err != nil {
		return fmt.Errorf("is no regular expression (RE2): %w", err)
	}
	return nil
}

// wholePattern matches from the first byte to the last: a pattern that matched
// a part would let anything stand around it.
func wholePattern(pattern string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(pattern); err != nil { // alone, so that it cannot close the group around it
		return nil, err
	}
	return regexp.Compile(`\A(?:` + pattern + `)\z`)
}

// checkPattern refuses a text that its input's pattern does not match.
func checkPattern(in Input, v any) error {
	if in.Pattern == "" {
		return nil
	}
	pattern, err := wholePattern(in.Pattern)
	if err != nil {
		return fmt.Errorf("has a pattern that is none: %w", err)
	}
	if !pattern.MatchString(showValue(v)) {
		return fmt.Errorf("is %q, which does not match %s", showValue(v), in.Pattern)
	}
	return nil
}

// checkChoice refuses a value that is none of the input's choices.
func checkChoice(in Input, v any) error {
	if len(in.Choices) == 0 || slices.Contains(in.Choices, showValue(v)) {
		return nil
	}
	return fmt.Errorf("is %q; one of: %s", showValue(v), strings.Join(in.Choices, ", "))
}
