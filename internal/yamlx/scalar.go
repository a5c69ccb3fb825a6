package yamlx

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// text reads a string. Numbers and dates without quotes are taken as they were
// written, so that 1.10 and 0644 keep their zeros; only words that some reader
// would turn into a boolean must be quoted.
func (d *decoding) text(n *Node) (string, bool) {
	if n.Kind() != Scalar {
		d.wrongType(n, "string")
		return "", false
	}
	if n.plain() && isBooleanWord(n.raw.Value) {
		d.report(n.Errorf("%s is a boolean, not a string", n.raw.Value).WithRule(RuleBoolean).
			WithHint("quote it if it is text: %q", n.raw.Value))
		return "", false
	}
	return n.raw.Value, true
}

func (d *decoding) boolean(n *Node) (value, ok bool) {
	switch {
	case n.Kind() != Scalar || !isBooleanWord(n.raw.Value):
		d.wrongType(n, "true or false")
		return false, false
	case !n.plain():
		d.report(n.Errorf("%q in quotes is a string, not a boolean", n.raw.Value).WithRule(RuleType).WithHint("remove the quotes"))
		return false, false
	case n.raw.ShortTag() != "!!bool":
		meant := "true"
		if w := strings.ToLower(n.raw.Value); w == "no" || w == "off" {
			meant = "false"
		}
		d.report(n.Errorf("%s is not a boolean here", n.raw.Value).WithRule(RuleBoolean).WithHint("write %s", meant))
		return false, false
	}
	return strings.EqualFold(n.raw.Value, "true"), true
}

// number returns the text of a plain decimal number, refusing the forms that
// YAML 1.1 and 1.2 read differently.
func (d *decoding) number(n *Node, want string) (string, bool) {
	if n.Kind() != Scalar {
		d.wrongType(n, want)
		return "", false
	}
	text := n.raw.Value
	digits := strings.TrimLeft(text, "+-")
	switch {
	case !n.plain():
		d.wrongType(n, want)
		if _, err := strconv.ParseFloat(text, 64); err == nil && len(d.errs) > 0 {
			d.errs[len(d.errs)-1].Hint = "remove the quotes"
		}
		return "", false
	case strings.Contains(text, "_") && n.raw.ShortTag() != "!!str":
		d.report(n.Errorf("%s has underscores, which not every reader takes", text).WithRule(RuleNumber).
			WithHint("write %s", strings.ReplaceAll(text, "_", "")))
		return "", false
	case len(digits) > 1 && digits[0] == '0' && digits[1] != '.' && digits[1] != 'e' && digits[1] != 'E' && n.raw.ShortTag() != "!!str":
		e := n.Errorf("%s is octal, hexadecimal or decimal, depending on the reader", text).WithRule(RuleNumber)
		if i, err := strconv.ParseInt(text, 0, 64); err == nil {
			e = e.WithHint("write the number in decimal: %d", i)
		}
		d.report(e)
		return "", false
	}
	return text, true
}

func (d *decoding) integer(n *Node, bits int) (int64, bool) {
	text, ok := d.number(n, "whole number")
	if !ok {
		return 0, false
	}
	i, err := strconv.ParseInt(text, 10, bits)
	switch {
	case err == nil:
		return i, true
	case n.raw.ShortTag() == "!!int":
		d.report(n.Errorf("%s does not fit", text).WithRule(RuleNumber))
	default:
		d.wrongType(n, "whole number")
	}
	return 0, false
}

func (d *decoding) float(n *Node) (float64, bool) {
	text, ok := d.number(n, "number")
	if !ok {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		d.wrongType(n, "number")
		return 0, false
	}
	return f, true
}

func (d *decoding) duration(n *Node) (time.Duration, bool) {
	if n.Kind() != Scalar {
		d.wrongType(n, "duration")
		return 0, false
	}
	duration, err := ParseDuration(n.raw.Value)
	if err == nil {
		return duration, true
	}
	hint := "write it with its units: 90s, 5m, 1h30m, 30d"
	if _, err := strconv.ParseFloat(n.raw.Value, 64); err == nil {
		hint = fmt.Sprintf("say the unit: %[1]ss, %[1]sm or %[1]sh", n.raw.Value)
	}
	d.report(n.Errorf("%q is not a duration", printable(n.raw.Value)).WithRule(RuleType).WithHint("%s", hint))
	return 0, false
}
