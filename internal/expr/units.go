package expr

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// maxNumberBytes bounds the text of a number: int64 has 19 digits.
const maxNumberBytes = 30

// ByteSize reads a number of bytes as the function bytesize does: "2GiB".
func ByteSize(text string) (int64, error) { return byteSize(text) }

// byteSize reads "2GiB" (1024 based) and "2GB" (1000 based, as vendors of disks
// and networks count); a number alone is bytes. The B may be left out.
func byteSize(s string) (int64, error) {
	unit := strings.TrimLeft(s, "0123456789.")
	number := s[:len(s)-len(unit)]
	factor := byteFactor(strings.TrimPrefix(unit, " "))
	value, ok := new(big.Rat).SetString(number)
	if factor == 0 || !ok || len(number) > maxNumberBytes || number[0] == '.' || number[len(number)-1] == '.' {
		return 0, fmt.Errorf("bytesize %q is not like 512MiB or 2GB", clip(s))
	}
	value.Mul(value, new(big.Rat).SetInt64(factor))
	whole := new(big.Int).Quo(value.Num(), value.Denom())
	if !whole.IsInt64() {
		return 0, fmt.Errorf("bytesize %q is too large", clip(s))
	}
	return whole.Int64(), nil
}

// byteFactor returns the bytes of a unit, or 0 if there is no such unit.
func byteFactor(unit string) int64 {
	unit = strings.TrimSuffix(unit, "B")
	base := int64(1000)
	if prefix, binary := strings.CutSuffix(unit, "i"); binary && prefix != "" {
		unit, base = prefix, 1024
	}
	power := strings.Index(binaryPrefixes, strings.Replace(unit, "k", "K", 1)) + 1
	switch {
	case unit == "":
		power = 0
	case len(unit) != 1 || power == 0:
		return 0
	}
	factor := int64(1) // EiB is 1<<60
	for range power {
		factor *= base
	}
	return factor
}

// ByteText shows a number of bytes to people: 20.0 MiB.
func ByteText(n int64) string {
	const step = 1024
	if n > -step && n < step {
		return fmt.Sprintf("%d B", n)
	}
	value, i := float64(n)/step, 0
	for math.Abs(value) >= step-0.05 && i < len(binaryPrefixes)-1 { // 1023.95 would be rounded to 1024.0
		value /= step
		i++
	}
	return fmt.Sprintf("%.1f %ciB", value, binaryPrefixes[i])
}

// binaryPrefixes each stand for 1024 of the one before (IEC 80000-13).
const binaryPrefixes = "KMGTPE"

// percentOf reads "90%" or "90".
func percentOf(s string) (float64, error) {
	f, err := strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
	if err != nil {
		return 0, fmt.Errorf("percent %q is not a number", clip(s))
	}
	return f, checkPercent(f)
}

// checkPercent allows more than 100: four busy processors are 400 percent of one.
func checkPercent(f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) || f < 0 {
		return errors.New("percent is below zero or no number")
	}
	return nil
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// glob matches the whole of s as a shell's case does: * is any run of
// characters, also of slashes, ? is one, [a-z] or [!a-z] one of a set, \ takes
// the next one as it is. It takes at most len(pattern) * len(s) steps.
func glob(pattern, s string) (bool, error) {
	tokens, err := parseGlob(pattern)
	if err != nil {
		return false, err
	}
	text := []rune(s)
	at, next, star, mark := 0, 0, -1, 0
	for at < len(text) {
		switch {
		case next < len(tokens) && tokens[next].star:
			star, mark = next, at
			next++
		case next < len(tokens) && tokens[next].takes(text[at]):
			at, next = at+1, next+1
		case star >= 0: // let the last star take one more
			mark++
			at, next = mark, star+1
		default:
			return false, nil
		}
	}
	for next < len(tokens) && tokens[next].star {
		next++
	}
	return next == len(tokens), nil
}

// globToken is one element of a pattern: a star, or one character of ranges.
type globToken struct {
	star   bool
	not    bool
	ranges [][2]rune
}

func (t globToken) takes(r rune) bool {
	for _, x := range t.ranges {
		if x[0] <= r && r <= x[1] {
			return !t.not
		}
	}
	return t.not
}

func parseGlob(pattern string) ([]globToken, error) {
	var tokens []globToken
	runes := []rune(pattern)
	for i := 0; i < len(runes); i++ {
		switch r := runes[i]; r {
		case '*':
			tokens = append(tokens, globToken{star: true})
		case '?':
			tokens = append(tokens, globToken{not: true})
		case '[':
			set, length := parseSet(runes[i+1:])
			if length < 0 {
				return nil, fmt.Errorf("glob %q has a [ without its ]", clip(pattern))
			}
			tokens = append(tokens, set)
			i += length
		case '\\':
			if i++; i == len(runes) {
				return nil, fmt.Errorf("glob %q ends with a backslash", clip(pattern))
			}
			tokens = append(tokens, globToken{ranges: [][2]rune{{runes[i], runes[i]}}})
		default:
			tokens = append(tokens, globToken{ranges: [][2]rune{{r, r}}})
		}
	}
	return tokens, nil
}

// parseSet reads what follows a [ and returns how many characters it took, -1
// if the ] is missing. A ] in the first place is a member.
func parseSet(runes []rune) (globToken, int) {
	var t globToken
	i := 0
	if i < len(runes) && (runes[i] == '!' || runes[i] == '^') {
		t.not = true
		i++
	}
	for first := i; i < len(runes); i++ {
		if runes[i] == ']' && i > first {
			return t, i + 1
		}
		low := runes[i]
		if i+2 < len(runes) && runes[i+1] == '-' && runes[i+2] != ']' {
			i += 2
		}
		t.ranges = append(t.ranges, [2]rune{low, runes[i]})
	}
	return t, -1
}
